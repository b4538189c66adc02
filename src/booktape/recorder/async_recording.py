"""A `RecordingSession` for an event loop: one task at a time uses it, and the loop never waits for the disk.

Records are handled in the loop. A flush runs in a thread, so that stamps and pings continue however slow the disk is;
in the meantime records wait in the queue, which is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog

from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import Disconnected, TapeRecord
from booktape.errors import WriteFailed
from booktape.net.clock import Clock
from booktape.reconstruct import Output
from booktape.store.layout import segment_end_ns
from booktape.store.patience import Patience
from booktape.store.segment_writer import SegmentWriter
from booktape.store.session import RecordingSession

SET_BACK_NS: Final = 60 * 10**9
"""A record stamped this long before its segment began did not merely wait: the clock was set back. Then a new segment
begins, so that rows are filed under the date that the clock now shows."""

log = structlog.get_logger()


class AsyncRecording:
    """Drives `session`, and starts a new segment when the time of the current one is up."""

    def __init__(self, session: RecordingSession, clock: Clock, segment_s: float) -> None:
        self.session = session
        self._clock = clock
        self._segment_ns = round(segment_s * 1e9)
        self._begun_ns = clock.now_ns()
        self._ends_ns = segment_end_ns(self._begun_ns, self._segment_ns)
        self._sealing: list[asyncio.Task[None]] = []
        self._ended: list[SegmentWriter] = []  # and not sealed yet
        self._sealed_bytes = 0
        self._has_ended = False
        self._lock = asyncio.Lock()
        self._under_way: asyncio.Future[None] | None = None

    @property
    def written_bytes(self) -> int:
        """What this recording has written to the disk so far."""
        unsealed = (*self._ended, self.session.writer)
        return self._sealed_bytes + sum(writer.written_bytes for writer in unsealed)

    async def handle(self, records: list[TapeRecord], on_output: Callable[[Output], None]) -> None:
        """Write records to the tape, and pass their outputs to `on_output`. Waits while the disk is behind.

        Each record is removed from `records` as it is handled. So after a cancellation the list holds the rest, and
        the outputs of the others have been passed on.
        """
        async with self._lock:
            while records:
                now_ns = records[0].received_ns
                # The second case: the segment lies ahead of the clock, because the clock was set back.
                if now_ns >= self._ends_ns or now_ns < self._begun_ns - SET_BACK_NS:
                    await self._rotate(now_ns)
                for output in self.session.handle(records.pop(0)):
                    on_output(output)
        await self._keep_pace()

    async def _keep_pace(self) -> None:
        """Wait while the disk is behind, so that rows do not pile up in memory."""
        if self.session.writer.wants_flush:
            await self.flush()
        backlog = self.session.writer.backlog
        if backlog:
            # Not awaited directly: cancelling this task would then cancel the work and lose its rows.
            await asyncio.wait({asyncio.wrap_future(backlog)})

    def raise_failed(self) -> None:
        """Raise StoreError if a segment that has ended could not be sealed."""
        while self._sealing and self._sealing[0].done():
            self._sealing.pop(0).result()

    async def flush(self) -> None:
        """Hand the tape to the operating system. Raises StoreError."""
        async with self._lock:
            await self._finish(self._flush())

    def flush_at_once(self) -> None:
        """Hand the tape to the operating system right before the process ends, unless a flush is under way."""
        under_way = self._under_way is not None and not self._under_way.done()
        if self._lock.locked() or under_way or self._has_ended:
            return
        try:
            self.session.writer.flush()
        except WriteFailed as error:
            # The process ends all the same; the next start recovers what has reached the disk.
            log.warning("the tape could not be flushed", why=error.why)

    def give_up(self) -> None:
        """Seal nothing more; the next start recovers what is unsealed."""
        for sealing in self._sealing:
            sealing.cancel()

    async def seal(
        self,
        remaining: list[TapeRecord],
        on_output: Callable[[Output], None],
        follow_up: Callable[[TapeRecord], list[Disconnected]],
    ) -> None:
        """Handle the remaining records, end the recording, and wait until every file has its final name.

        The records may be a whole queue, so they are handled at the pace of the disk, and removed from the list.
        Their outputs go to `on_output` one by one: all of them at once may be too much for memory.
        `follow_up` returns the ends of connections whose events take too much memory after a record.
        """
        if self._under_way is not None:
            await self._under_way
        while remaining:
            record = remaining.pop(0)
            for output in self.session.handle(record):
                on_output(output)
            for gone in follow_up(record):
                for output in self.session.handle(gone):
                    on_output(output)
            await self._keep_pace()
            await asyncio.sleep(0)  # thousands may remain, and a second signal must be handled
        log.info("sealing", segment=self.session.writer.segment.name)
        self.session.end(STOPPED)
        await self._finish(self._flush())
        self._has_ended = True
        self._seal_ended()
        for sealed in self._sealing:
            await sealed

    async def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Finish this work even if the caller is cancelled; `seal` then waits for it."""
        self._under_way = asyncio.ensure_future(work)
        await asyncio.shield(self._under_way)

    async def _flush(self) -> None:
        """Flush in a thread. While the disk is full, wait; arriving records go into the queue."""
        await self._retry_while_full(lambda: asyncio.to_thread(self.session.writer.flush))

    def _seal_ended(self) -> None:
        """Seal the segments that have ended, while the next one is written."""
        for writer in self.session.take_ended():
            self._ended.append(writer)
            sealing = asyncio.create_task(self._seal(writer))
            # If another error ends the recording first, this task's error is never read.
            sealing.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._sealing.append(sealing)

    async def _seal(self, writer: SegmentWriter) -> None:
        await self._retry_while_full(lambda: asyncio.wrap_future(writer.seal()))
        self._ended.remove(writer)
        self._sealed_bytes += writer.written_bytes

    async def _retry_while_full(self, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat the work while the disk is full, for as long as `Patience` allows."""
        patience = Patience()
        while True:
            try:
                return await work()
            except WriteFailed as error:
                pause_s = patience.pause_s(error)
            await self._clock.pause(pause_s)

    async def _rotate(self, now_ns: int) -> None:
        self._begun_ns = now_ns
        self._ends_ns = segment_end_ns(now_ns, self._segment_ns)
        await self._finish(self._begin_next(now_ns))
        log.info("new segment", segment=self.session.writer.segment.name)

    async def _begin_next(self, now_ns: int) -> None:
        """Write a checkpoint of every book, one per turn of the loop, which must not wait for all of them."""
        self.session.rotate(now_ns)
        while self.session.write_next_of_opening():
            if self.session.writer.wants_flush:
                await self._flush()
            await asyncio.sleep(0)
        await self._flush()
        self._seal_ended()
