"""Where frames wait, in order, between the doors and the recorder. Bounded, and nothing is dropped."""

from __future__ import annotations

import asyncio

from booktape.core.frames import Frame


class Inbox(asyncio.Queue[Frame]):
    """A queue; whoever finds it full waits until half of it is empty.

    Were he woken for each place that becomes free, readers and recorder would wake each other for
    every frame, just when the recorder is behind. Known weakness: frames that wait outside meanwhile
    are stamped later, by as long as half an inbox takes.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._open = asyncio.Event()
        self._open.set()

    async def put(self, item: Frame) -> None:
        """Wait for room, and put it in."""
        while self.full() or not self._open.is_set():
            self._open.clear()
            await self._open.wait()
        self.put_nowait(item)

    def get_nowait(self) -> Frame:
        """The oldest one; `get` comes through here as well."""
        item = super().get_nowait()
        if 2 * self.qsize() <= self.maxsize:
            self._open.set()
        return item
