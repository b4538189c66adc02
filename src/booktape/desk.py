"""The desk at which one recording is kept: by one hand at a time, and never waiting for the disk.

Frames are handled in the loop. A flush runs in a thread, so that stamps and pings go on however slow
the disk is; meanwhile frames wait in the inbox, which is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Final

import structlog

from booktape.core.frames import STOPPED, Frame, HoldExpired
from booktape.errors import WriteFailed
from booktape.net.clock import Clock
from booktape.reconstruct import Output
from booktape.store.layout import segment_end_ns
from booktape.store.recording import Recording

FULL_DISK_GRACE_S: Final = 30
"""How long a full disk is waited for before the recorder gives up."""

HOLD_NS: Final = 3 * 10**9
"""How long an event that runs ahead waits for another connection to bring the one before it."""

log = structlog.get_logger()


class Desk:
    """Keeps `recording`, and begins a new segment on the clock."""

    def __init__(self, recording: Recording, clock: Clock, segment_s: float) -> None:
        self.recording = recording
        self._clock = clock
        self._segment_ns = round(segment_s * 1e9)
        self._ends_ns = segment_end_ns(clock.now_ns(), self._segment_ns)
        self._sealing: list[Future[None]] = []
        self._hand = asyncio.Lock()
        self._flushing: asyncio.Future[None] | None = None

    async def take(self, frames: list[Frame]) -> list[Output]:
        """Write frames down and follow them. Waits while the disk is behind.

        `frames` is empty as soon as they are taken: after a cancellation it says what was not.
        """
        async with self._hand:
            outputs = [output for frame in frames for output in self._handle(frame)]
            frames.clear()
        if self.recording.writer.wants_flush:
            await self.flush()
        busy = self.recording.writer.busy
        if busy:
            await asyncio.wrap_future(busy)
        return outputs

    async def mark_time(self, now_ns: int) -> list[Output]:
        """What time alone decides is written down as a frame: the function reads no clock."""
        async with self._hand:
            waiting = self.recording.books.merge.waiting_since_ns()
            expired = [s for s, since_ns in waiting.items() if now_ns - since_ns >= HOLD_NS]
            notes = [HoldExpired(now_ns, symbol) for symbol in expired]
            outputs = [output for note in notes for output in self._handle(note)]
            if now_ns >= self._ends_ns:
                self._rotate(now_ns)
            while self._sealing and self._sealing[0].done():
                self._sealing.pop(0).result()
        return outputs

    async def flush(self) -> None:
        """Bring the tape to the disk. Raises StoreError.

        A full disk is waited for, as long as the inbox can take what arrives, and a little longer.
        """
        async with self._hand:
            for left_s in range(FULL_DISK_GRACE_S, -1, -1):
                loop = asyncio.get_running_loop()
                self._flushing = loop.run_in_executor(None, self.recording.writer.flush)
                try:
                    # Shielded: should we be cancelled, `seal` waits for it.
                    await asyncio.shield(self._flushing)
                except WriteFailed as error:
                    if not (error.full and left_s):
                        raise
                    log.warning("the disk is full", giving_up_in_s=left_s)
                    await self._clock.pause(1)
                else:
                    return

    def leave_at_once(self) -> None:
        """Whoever is about to leave brings the tape to the disk, unless a thread is just doing so."""
        if not self._hand.locked():
            self.recording.writer.flush()

    async def seal(self, rest: Sequence[Frame]) -> None:
        """Take what is left, end the recording, and wait until every file has its final name."""
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        for frame in rest:
            for _ in self._handle(frame):
                pass
        log.info("sealing", segment=self.recording.writer.segment.name)
        self._sealing.append(self.recording.end(STOPPED))
        for sealed in self._sealing:
            await asyncio.wrap_future(sealed)

    def _handle(self, frame: Frame) -> Iterator[Output]:
        if frame.received_ns >= self._ends_ns:
            self._rotate(frame.received_ns)
        yield from self.recording.take(frame)

    def _rotate(self, now_ns: int) -> None:
        self._sealing.append(self.recording.rotate(now_ns))
        self._ends_ns = segment_end_ns(now_ns, self._segment_ns)
        log.info("new segment", segment=self.recording.writer.segment.name)
