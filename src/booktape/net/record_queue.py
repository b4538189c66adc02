"""Where records wait, in order, between the doors and the recorder. Bounded, and nothing is dropped.

The bound is a number of records and of their bytes, whichever is reached first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import Final

from booktape.core.tape_records import DepthAnswer, StreamMessage, TapeRecord

_HEAVY: Final = (StreamMessage, DepthAnswer)


class RecordQueue:
    """A queue from which the recorder takes some records at a time. Its length is how many wait.

    It is full with `most` records, and with the one that makes their payloads `most_bytes` long.
    Whoever finds it full waits until half of it is empty. Were he woken for each place that becomes
    free, readers and recorder would wake each other for every record, just when the recorder is
    behind. Known weakness: records that wait outside meanwhile are stamped later, by as long as half
    an queue takes.

    asyncio's own queue would do, but it counts, wakes and looks again for each record.
    """

    def __init__(self, most: int, most_bytes: float = inf) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._frames: deque[TapeRecord] = deque()
        self._some = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    def __len__(self) -> int:
        return len(self._frames)

    async def put(self, record: TapeRecord) -> None:
        """Wait for room, and put it in."""
        while (
            len(self._frames) >= self._most
            or self._bytes >= self._most_bytes
            or not self._open.is_set()
        ):
            self._open.clear()
            await self._open.wait()
        self._frames.append(record)
        self._bytes += size_bytes(record)
        self._some.set()

    async def take(self, most: int, most_bytes: int) -> list[TapeRecord]:
        """The oldest ones, as soon as there is one; no more once they hold so many bytes."""
        while not self._frames:
            self._some.clear()
            await self._some.wait()
        taken: list[TapeRecord] = []
        while self._frames and len(taken) < most and most_bytes > 0:
            taken.append(self._frames.popleft())
            taken_bytes = size_bytes(taken[-1])
            most_bytes -= taken_bytes
            self._bytes -= taken_bytes
        if 2 * len(self._frames) <= self._most and 2 * self._bytes <= self._most_bytes:
            self._open.set()
        return taken

    def drain(self) -> list[TapeRecord]:
        """All that wait, handed over to whoever ends. Nobody may put anything in afterwards."""
        records, self._frames = list(self._frames), deque()
        return records


def size_bytes(record: TapeRecord) -> int:
    """Of a message or an answer: what it holds of memory, and a rough measure of how long it takes."""
    return len(record.payload) if isinstance(record, _HEAVY) else 0
