"""The async_recording at which one recording is kept: by one hand at a time, and never waiting for the disk.

Frames are handled in the loop. A flush runs in a thread, so that stamps and pings go on however slow
the disk is; meanwhile records wait in the queue, which is bounded.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

import structlog

from booktape.core.tape_records import STOPPED, TapeRecord
from booktape.errors import WriteFailed
from booktape.net.clock import Clock
from booktape.reconstruct import Output
from booktape.store.layout import segment_end_ns
from booktape.store.patience import Patience
from booktape.store.segment_writer import SegmentWriter
from booktape.store.session import RecordingSession

SET_BACK_NS: Final = 60 * 10**9
"""A record stamped so long before its segment began came after the clock was set back, not while it
waited: a new segment begins, so that rows stand under the date that the clock says now."""

log = structlog.get_logger()


class AsyncRecording:
    """Keeps `session`, and begins a new segment on the clock."""

    def __init__(self, recording: RecordingSession, clock: Clock, segment_s: float) -> None:
        self.session = recording
        self._clock = clock
        self._segment_ns = round(segment_s * 1e9)
        self._begun_ns = clock.now_ns()
        self._ends_ns = segment_end_ns(self._begun_ns, self._segment_ns)
        self._sealing: list[asyncio.Task[None]] = []
        self._is_over = False
        self._lock = asyncio.Lock()
        self._under_way: asyncio.Future[None] | None = None

    async def handle(self, records: list[TapeRecord]) -> list[Output]:
        """Write records down and follow them. Waits while the disk is behind.

        `records` loses each one as it is taken: after a cancellation it says what was not.
        """
        outputs: list[Output] = []
        async with self._lock:
            while records:
                if self._must_rotate(records[0].received_ns):
                    await self._rotate(records[0].received_ns)
                outputs += self.session.handle(records.pop(0))
        await self._keep_pace()
        return outputs

    async def _keep_pace(self) -> None:
        """Wait while the disk is behind, so that rows do not pile up in memory."""
        if self.session.writer.wants_flush:
            await self.flush()
        busy = self.session.writer.busy
        if busy:
            # Not awaited itself: who is cancelled then would cancel the work, and its rows.
            await asyncio.wait({asyncio.wrap_future(busy)})

    def raise_failed(self) -> None:
        """Raise StoreError, if a segment that ended could not be sealed."""
        while self._sealing and self._sealing[0].done():
            self._sealing.pop(0).result()

    async def flush(self) -> None:
        """Bring the tape to the disk. Raises StoreError."""
        async with self._lock:
            await self._finish(self._flush())

    def flush_at_once(self) -> None:
        """Whoever is about to leave brings the tape to the disk, unless that is under way."""
        under_way = self._under_way is not None and not self._under_way.done()
        if self._lock.locked() or under_way or self._is_over:
            return
        try:
            self.session.writer.flush()
        except WriteFailed as error:
            # It leaves all the same: the next start recovers what has reached the disk.
            log.warning("the tape could not be flushed", why=error.why)

    def give_up(self) -> None:
        """Seal nothing more: what is unsealed stays for the next start to recover."""
        for sealing in self._sealing:
            sealing.cancel()

    async def seal(self, rest: Iterable[TapeRecord]) -> None:
        """Take what is left, end the recording, and wait until every file has its final name.

        What is left is taken at the pace of the disk, as ever: it may be a whole queue.
        """
        if self._under_way is not None:
            await self._under_way
        left = deque(rest)
        del rest  # or each record would stay in memory until the last one is taken
        while left:
            self.session.handle(left.popleft())
            await self._keep_pace()
            await asyncio.sleep(0)  # there may be thousands, and a second signal wants to be heard
        log.info("sealing", segment=self.session.writer.segment.name)
        self.session.end(STOPPED)
        await self._finish(self._flush())
        self._is_over = True
        self._seal_ended()
        for sealed in self._sealing:
            await sealed

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what must not be left half-done: should we be cancelled, `seal` waits for it."""
        self._under_way = asyncio.ensure_future(work)
        await asyncio.shield(self._under_way)

    async def _flush(self) -> None:
        """In a thread. A full disk is waited for, while the queue can take what arrives."""
        await self._retry_while_full(lambda: asyncio.to_thread(self.session.writer.flush))

    def _seal_ended(self) -> None:
        """Seal what has ended, while the next segment is written."""
        for writer in self.session.ended():
            sealing = asyncio.create_task(self._seal(writer))
            # Should another error end the recording first, nobody asks for this one.
            sealing.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._sealing.append(sealing)

    async def _seal(self, writer: SegmentWriter) -> None:
        await self._retry_while_full(lambda: asyncio.wrap_future(writer.seal()))

    async def _retry_while_full(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it again while the disk is full, as long as that is waited for."""
        patience = Patience()
        while True:
            try:
                return await work()
            except WriteFailed as error:
                pause_s = patience.pause_s(error)
            await self._clock.pause(pause_s)

    def _must_rotate(self, now_ns: int) -> bool:
        """Whether the segment has ended on the clock, or lies ahead of it since the clock was set back."""
        return now_ns >= self._ends_ns or now_ns < self._begun_ns - SET_BACK_NS

    async def _rotate(self, now_ns: int) -> None:
        self._begun_ns = now_ns
        self._ends_ns = segment_end_ns(now_ns, self._segment_ns)
        await self._finish(self._begin_next(now_ns))
        log.info("new segment", segment=self.session.writer.segment.name)

    async def _begin_next(self, now_ns: int) -> None:
        """Write every book down, and serve the loop in between: it must not wait for all of them."""
        self.session.rotate(now_ns)
        while self.session.write_next_of_opening():
            if self.session.writer.wants_flush:
                await self._flush()
            await asyncio.sleep(0)
        await self._flush()
        self._seal_ended()
