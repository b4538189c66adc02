"""Where frames wait, in order, between the doors and the recorder. Bounded, and nothing is dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from booktape.core.frames import Frame, RestFrame, StreamFrame

_HEAVY: Final = (StreamFrame, RestFrame)


class Inbox:
    """A queue from which the recorder takes some frames at a time. Its length is how many wait.

    Whoever finds it full waits until half of it is empty. Were he woken for each place that becomes
    free, readers and recorder would wake each other for every frame, just when the recorder is
    behind. Known weakness: frames that wait outside meanwhile are stamped later, by as long as half
    an inbox takes.

    asyncio's own queue would do, but it counts, wakes and looks again for each frame.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._frames: deque[Frame] = deque()
        self._some = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    def __len__(self) -> int:
        return len(self._frames)

    async def put(self, frame: Frame) -> None:
        """Wait for room, and put it in."""
        while len(self._frames) >= self._most or not self._open.is_set():
            self._open.clear()
            await self._open.wait()
        self._frames.append(frame)
        self._some.set()

    async def take(self, most: int, most_bytes: int) -> list[Frame]:
        """The oldest ones, as soon as there is one; no more once they hold so many bytes."""
        while not self._frames:
            self._some.clear()
            await self._some.wait()
        taken: list[Frame] = []
        while self._frames and len(taken) < most and most_bytes > 0:
            taken.append(self._frames.popleft())
            most_bytes -= _size_bytes(taken[-1])
        if 2 * len(self._frames) <= self._most:
            self._open.set()
        return taken

    def rest(self) -> list[Frame]:
        """All that wait, for whoever ends. Nobody may put anything in afterwards."""
        return list(self._frames)


def _size_bytes(frame: Frame) -> int:
    """Of a message or an answer: a rough measure of how long it takes."""
    return len(frame.payload) if isinstance(frame, _HEAVY) else 0
