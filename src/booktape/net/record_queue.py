"""The bounded queue between `net` and the recorder: it keeps the order, and drops nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import Final

from booktape.core.tape_records import DepthAnswer, StreamMessage, TapeRecord, TradesAnswer

_HEAVY: Final = (StreamMessage, DepthAnswer, TradesAnswer)


class RecordQueue:
    """A queue from which the recorder takes some records at a time. Its length is the number of waiting records.

    It is full with `most` records, or with the record that makes their payloads `most_bytes` long. A task that finds
    it full waits until half of it is empty. If each free place woke a task, readers and recorder would wake each
    other for every record, just when the recorder is behind. Known weakness: messages that wait outside the queue
    are stamped later, by as long as it takes to handle half a queue.

    asyncio's own queue would work, but it counts, wakes and checks again for each record.
    """

    def __init__(self, most: int, most_bytes: float = inf) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._records: deque[TapeRecord] = deque()
        self._has_records = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def __len__(self) -> int:
        return len(self._records)

    async def put(self, record: TapeRecord) -> None:
        """Wait for room, and append the record."""
        while (
            len(self._records) >= self._most
            or self._bytes >= self._most_bytes
            or not self._has_room.is_set()
        ):
            self._has_room.clear()
            await self._has_room.wait()
        self._records.append(record)
        self._bytes += size_bytes(record)
        self._has_records.set()

    async def take(self, most: int, most_bytes: int) -> list[TapeRecord]:
        """The oldest records, as soon as there is one: at most `most`, and no more once they hold `most_bytes`."""
        while not self._records:
            self._has_records.clear()
            await self._has_records.wait()
        taken: list[TapeRecord] = []
        while self._records and len(taken) < most and most_bytes > 0:
            taken.append(self._records.popleft())
            taken_bytes = size_bytes(taken[-1])
            most_bytes -= taken_bytes
            self._bytes -= taken_bytes
        if 2 * len(self._records) <= self._most and 2 * self._bytes <= self._most_bytes:
            self._has_room.set()
        return taken

    def drain(self) -> list[TapeRecord]:
        """Remove and return all records, at the end. Nothing may be put in afterwards."""
        records, self._records = list(self._records), deque()
        return records


def size_bytes(record: TapeRecord) -> int:
    """Memory of a message or an answer, which is also a rough measure of the time that it takes to handle."""
    return len(record.payload) if isinstance(record, _HEAVY) else 0
