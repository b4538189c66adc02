"""The hall, where doors, function and pantry meet.

A record comes in at a door (`net`), is written down and followed (`store.Recording`), and what it
asks of the exchange goes back to a door. The rest of this file is starting and stopping right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import structlog

from booktape.checks.stall_detector import STALL_CHECK_S, StallDetector
from booktape.core.events import FetchSnapshot, Note, ReplaceConnection
from booktape.core.tape_records import (
    DELISTED,
    DISCONNECTED,
    Disconnected,
    SegmentStart,
    TapeRecord,
)
from booktape.errors import NothingRecorded, StoreError
from booktape.net.clock import Clock, SystemClock
from booktape.net.clock_offset import OffsetMeter
from booktape.net.context import NetContext
from booktape.net.feed import FeedLimits, FeedSet, check_descriptors
from booktape.net.pulse import PulseClient
from booktape.net.record_queue import RecordQueue, size_bytes
from booktape.net.request_pause import RequestPause
from booktape.net.rest_client import RestClient
from booktape.net.session import open_session
from booktape.net.symbol_status import ListingState, SymbolStatusPoller
from booktape.net.ticks import Ticks
from booktape.reconstruct import Output
from booktape.recorder.async_recording import AsyncRecording
from booktape.recorder.settings import Settings
from booktape.recorder.status import RecorderStatus
from booktape.recorder.telemetry import Telemetry
from booktape.store.archive import Archive, join_archive, own_archive
from booktape.store.layout import can_be_stored
from booktape.wire.exchange_info import ExchangeInfo

FLUSH_S: Final = 0.5
"""How often the tape reaches the disk: the most that a `kill -9` can take."""

INBOX_FRAMES: Final = 10_000
INBOX_BYTES: Final = 128 << 20
"""What may wait; when it is full the sockets are not read, and nothing is dropped here."""

WAITING_BYTES_MAX: Final = 128 << 20
"""Of all events that wait for a snapshot or for the one before them. With more, connections end."""

BYTES_OF_A_BYTE: Final = 20
"""What a byte of a message takes of memory at most, once it is decoded: `["1","1"],` is 120 bytes."""

TURN_FRAMES: Final = 20
TURN_BYTES: Final = 32 << 10
BREATH_BOOKS: Final = 50
"""What is handled, or looked at, before the doors get a turn, so that stamps stay honest under load."""

T = TypeVar("T")
log = structlog.get_logger()


class Recorder:
    """Records until `stop`, or until the duration is over.

    `run` raises BooktapeError for what the user can mend; files that were sealed are intact then. So it
    raises NothingRecorded where no book became known before the duration was over.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._stopped = asyncio.Event()
        self._telemetry = Telemetry()
        self._left_out: set[str] = set()
        self._turn: list[TapeRecord] = []
        self._joined: set[str] = set()
        self._duration_over = False
        self._waiting_bytes = 0  # of events that wait, at most
        self._feeds: FeedSet
        self._async_recording: AsyncRecording
        self._rest: RestClient
        self._pulse: PulseClient

    def stop(self) -> None:
        """Seal everything and return from `run`."""
        self._stopped.set()

    async def run(self) -> None:
        """The whole life of a recording."""
        if self._settings.duration_s is not None:
            asyncio.get_running_loop().call_later(self._settings.duration_s, self._end_duration)
        queue = RecordQueue(INBOX_FRAMES, INBOX_BYTES)
        settings = self._settings
        silence = RequestPause(self._clock, settings.share.pause_memory)
        async with open_session(silence) as session:
            ticks = Ticks(self._clock, queue)
            context = NetContext(
                settings.venue, session, self._clock, queue, silence, ticks, settings.suffixes
            )
            self._rest = RestClient(context, settings.share.count)
            found = await self._until_stopped(self._rest.look_up(settings.symbols))
            if self._stopped.is_set():
                self._check_recorded()
                return
            listed = settings.checked(found)
            check_descriptors(context, self._wanted(listed), settings.connections)
            own_or_join = join_archive if settings.share.run else own_archive
            with own_or_join(settings.out) as archive:
                for _ in archive.repair():
                    await asyncio.sleep(0)
                    if self._stopped.is_set():
                        self._check_recorded()
                        return
                start = settings.start(self._clock.now_ns(), self._wanted(listed))
                await self._begin(archive, start)
                settings.warn_of_large_sizes(listed, start.symbols)
                await self._record(context, found)
                if start.symbols:  # a worker may have none
                    self._check_recorded()

    def status(self) -> RecorderStatus | None:
        """How it stands; None before the recording has begun, and once it shall end.

        Then connections close, and a book that nobody listens for is cold; that says nothing of it.
        """
        if self._stopped.is_set() or not hasattr(self, "_async_recording"):
            return None
        recording, requests = self._async_recording.session, self._rest.http.requests
        return self._telemetry.status(recording.books, requests, recording.writer.segment.name)

    def flush(self) -> None:
        """Bring the tape to the disk, for whoever is about to leave at once."""
        if hasattr(self, "_async_recording"):
            self._async_recording.flush_at_once()

    def _end_duration(self) -> None:
        # A signal that came first is the user's wish to end, whatever there was to record.
        self._duration_over = not self._stopped.is_set()
        self.stop()

    def _check_recorded(self) -> None:
        """Raises NothingRecorded."""
        if self._duration_over and not self._telemetry.any_book_synced:
            venue = self._settings.venue
            where = ", ".join((*venue.rest_urls, *venue.ws_urls))
            raise NothingRecorded(
                f"No book became known in {self._settings.duration_s:g} s, so no row was written. "
                f"The log says what came from {venue.title} ({where}). "
                "Check the network and the addresses, or record for longer; --exchange sim needs neither."
            )

    # ── starting and stopping ───────────────────────────────────────────────────────────────

    async def _until_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of `work`, or None when `stop` came first."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        return None

    def _wanted(self, info: ExchangeInfo) -> tuple[str, ...]:
        """What is to be recorded and can be stored; what cannot is left out, and said once."""
        wanted = self._settings.wanted(info)
        too_long = {symbol for symbol in wanted if not can_be_stored(symbol)}
        for symbol in sorted(too_long - self._left_out):
            log.warning("left out: no file can have so long a name", symbol=symbol)
        self._left_out |= too_long
        return tuple(symbol for symbol in wanted if symbol not in too_long)

    def _join(self, info: ExchangeInfo) -> None:
        """Record what has been listed since."""
        recorded = {*self._async_recording.session.books.symbols, *self._joined}
        new = tuple(symbol for symbol in self._wanted(info) if symbol not in recorded)
        if new:
            # They are recorded only once their connection stands.
            self._joined.update(new)
            log.info("newly listed", symbols=" ".join(new))
            self._settings.warn_of_large_sizes(info, new)
            self._feeds.add(new)

    async def _begin(self, archive: Archive, start: SegmentStart) -> None:
        settings, share = self._settings, self._settings.share
        # In a thread: it looks for the newest rows of every symbol, in an archive of years perhaps.
        recording = await asyncio.to_thread(archive.begin, start, share.tag, share.owns)
        async_recording = AsyncRecording(recording, self._clock, settings.segment_s)
        await async_recording.flush()
        self._async_recording = async_recording

    async def _record(self, context: NetContext, listed: ExchangeInfo | None) -> None:
        """Run the doors until stopped, then seal.

        After a disk that failed, or a bug, nothing is sealed: the next start does it, by the tape.
        """
        settings = self._settings
        books = self._async_recording.session.books
        everything = not settings.symbols
        statuses = SymbolStatusPoller(
            context, self._rest, self._known, self._join, new_ones=everything
        )
        on_names = statuses.on_pulse_names if everything else None
        self._pulse = PulseClient(
            context, self._rest, settings.pulse_s, books.quiet_since, on_names
        )
        limits = FeedLimits(books.arbiter.covers, settings.connection_life_s, settings.share.count)
        self._feeds = FeedSet(
            context, books.symbols, settings.connections, limits, settings.rollover_at_s
        )
        try:
            async with asyncio.TaskGroup() as group:
                jobs = [self._feeds.run(), self._rest.run(), self._keep_vigil()]
                jobs += [self._consume(context.queue), self._flush_often(), statuses.run(listed)]
                jobs += [context.ticks.run(), OffsetMeter(context, self._rest).run()]
                jobs += [self._pulse.run()] if settings.pulse_s else []
                tasks = [group.create_task(job) for job in jobs]
                await self._stopped.wait()
                for task in tasks:
                    task.cancel()
            await self._async_recording.seal([*self._turn, *context.queue.drain()])
        except* StoreError as errors:
            self._async_recording.give_up()
            raise errors.exceptions[0] from None  # one sentence is enough for the user
        log.info("sealed", out=str(settings.out), snapshots=self._telemetry.rows.total())

    def _known(self) -> dict[str, ListingState]:
        """What is written down of each symbol."""
        listings = self._async_recording.session.books.listings()
        return {symbol: ListingState(*listing) for symbol, listing in listings.items()}

    # ── while it runs ───────────────────────────────────────────────────────────────────────

    async def _consume(self, queue: RecordQueue) -> None:
        """Handle records, in order. Rows that outrun the disk make it wait, and the queue fill."""
        while True:
            turn = self._turn = await queue.take(TURN_FRAMES, TURN_BYTES)
            count, last_ns = len(turn), turn[-1].received_ns
            came_bytes = sum(map(size_bytes, turn))
            for output in await self._async_recording.handle(turn):
                self._act(output)
            await self._relieve(came_bytes, last_ns)
            self._telemetry.count_records(count, len(queue), self._clock.now_ns() - last_ns)
            await asyncio.sleep(0)

    async def _relieve(self, came_bytes: int, now_ns: int) -> None:
        """End the connections for which most events wait, while all that wait are too many.

        As after any lost connection a gap says what is lost with them. `now_ns` stamps the end, which
        stands before what is left of them in the queue: that belongs to nobody any more.
        """
        # Counted only once it can be too much: to look at thousands of books takes a while.
        self._waiting_bytes += came_bytes * BYTES_OF_A_BYTE
        if self._waiting_bytes <= WAITING_BYTES_MAX:
            return
        books = self._async_recording.session.books
        waiting = books.waiting_bytes()
        self._waiting_bytes = sum(waiting.values())
        for symbol in sorted(waiting, key=waiting.__getitem__, reverse=True):
            if self._waiting_bytes <= WAITING_BYTES_MAX:
                return
            self._waiting_bytes -= waiting[symbol]
            why = f"{symbol}: {waiting[symbol] >> 20} MiB of events wait, and none can be applied"
            for connection in sorted(books.arbiter.feeds[symbol].last_by_connection):
                log.warning("ending a connection", connection=connection, why=why)
                self._feeds.end(connection)
                gone = Disconnected(now_ns, connection, now_ns, DISCONNECTED, why)
                for output in await self._async_recording.handle([gone]):
                    self._act(output)

    async def _flush_often(self) -> None:
        """Bring the tape to the disk, and end where a segment could not be sealed."""
        while True:
            await self._clock.pause(FLUSH_S)
            await self._async_recording.flush()
            self._async_recording.raise_failed()

    async def _keep_vigil(self) -> None:
        """Have silent connections replaced."""
        detector = StallDetector()
        while True:
            await self._clock.pause(STALL_CHECK_S)
            now_s, feeds = self._clock.steady_s(), self._async_recording.session.books.arbiter.feeds
            for number, (symbol, feed) in enumerate(list(feeds.items())):
                if not number % BREATH_BOOKS:
                    await asyncio.sleep(0)
                for connection, why in detector.find_stalled(symbol, feed, now_s):
                    self._feeds.replace(connection, why)
                    # Or is it halted, or gone?
                    self._rest.recheck_listing.set()

    def _act(self, output: Output) -> None:
        """Carry out what the function asks of the doors."""
        self._telemetry.record(output)
        if isinstance(output, FetchSnapshot):
            self._rest.request_snapshot(output)
        elif isinstance(output, ReplaceConnection):
            self._feeds.replace(output.connection, output.why)
            if output.silent:
                # Or is it halted, or gone? And are the quiet books still the exchange's?
                self._rest.recheck_listing.set()
                self._pulse.hurry()
        elif isinstance(output, Note) and output.symbol and output.detail == DELISTED:
            self._rest.forget(output.symbol)
