"""The recorder: messages of the exchange in, files out, and requests back to the exchange.

`net` stamps records and puts them into a queue. The recorder takes them out in order; a `RecordingSession` writes
each one to the tape and applies it. The outputs are counted, and requests among them (fetch
a snapshot, replace a connection) go back to `net`. The rest of this file starts and stops all this in the right order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import structlog

from booktape.checks.stall_detector import STALL_CHECK_S, StallDetector
from booktape.core.events import CancelRequests, FetchSnapshot, ReplaceConnection
from booktape.core.gap_reasons import DISCONNECTED
from booktape.core.sync import State
from booktape.core.tape_records import Disconnected, TapeRecord
from booktape.core.trades import FetchTrades
from booktape.errors import NothingRecorded, StoreError
from booktape.net.clock import Clock, SystemClock
from booktape.net.clock_offset import OffsetMeter
from booktape.net.connection_keeper import ConnectionKeepers, ConnectionLimits, check_descriptors
from booktape.net.context import NetContext
from booktape.net.pulse import PulseClient
from booktape.net.record_queue import RecordQueue, size_bytes
from booktape.net.request_pause import RequestPause
from booktape.net.rest_client import RestClient
from booktape.net.session import open_session
from booktape.net.symbol_status import ListingState, SymbolStatusPoller
from booktape.net.ticks import Ticks
from booktape.net.trades import TradeClient
from booktape.processes.terminal import lost_lines
from booktape.reader.book_view import BookView, view_book
from booktape.reconstruct import Output
from booktape.recorder.async_recording import AsyncRecording
from booktape.recorder.settings import Settings
from booktape.recorder.status import SHOWN, RecorderStatus
from booktape.recorder.telemetry import Telemetry
from booktape.store.archive import Archive, lock_archive
from booktape.store.layout import can_be_stored
from booktape.wire.exchange_info import ExchangeInfo

FLUSH_S: Final = 0.5
"""The pause between two flushes of the tape. A `kill -9` loses what came since the last flush, and what is still
waiting in the queue: little, while the disk keeps up."""

QUEUE_RECORDS: Final = 10_000
QUEUE_BYTES: Final = 128 << 20
"""The most that the queue holds. While it is full, the sockets are not read, and nothing is dropped here."""

WAITING_BYTES_MAX: Final = 128 << 20
"""The most memory for all waiting events: held for a snapshot, or buffered for an earlier event.

Above it, connections are ended."""

DECODED_PER_BYTE: Final = 20
"""The most memory that a byte of a message takes once it is decoded: `["1","1"],` takes 120 bytes."""

TURN_RECORDS: Final = 20
TURN_BYTES: Final = 32 << 10
TURN_BOOKS: Final = 50
"""The most that is handled or examined before the loop serves the sockets again: stamps are late by that time."""

T = TypeVar("T")
log = structlog.get_logger()


@asynccontextmanager
async def open_exchange(settings: Settings, clock: Clock) -> AsyncIterator[RestClient]:
    """The client of the exchange's REST interface, with the context that all of `net` shares. It sends nothing yet."""
    queue = RecordQueue(QUEUE_RECORDS, QUEUE_BYTES)
    pause = RequestPause(clock, settings.partition.pause_memory)
    async with open_session(pause) as http_session:
        ticks = Ticks(clock, queue)
        context = NetContext(
            settings.venue, http_session, clock, queue, pause, ticks, settings.suffixes
        )
        yield RestClient(context, settings.partition.count)


class Recorder:
    """Records until `stop`, or until the duration is over.

    `run` raises BooktapeError for what the user can fix; files that were already sealed stay intact. It raises
    NothingRecorded if no book was synced before the duration was over.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._telemetry = Telemetry()
        self._stopped = asyncio.Event()
        self._duration_over = False
        self._too_long: set[str] = set()
        self._symbols: tuple[str, ...] | None = None  # None before they were looked up
        self._live: _LiveRecording | None = None

    def stop(self) -> None:
        """Seal everything and return from `run`."""
        self._stopped.set()

    async def run(self) -> None:
        """Check the symbols, repair the archive, record, seal."""
        settings = self._settings
        if settings.duration_s is not None:
            asyncio.get_running_loop().call_later(settings.duration_s, self._end_duration)
        async with open_exchange(settings, self._clock) as rest_client:
            listing = await self._until_stopped(rest_client.look_up(settings.symbols))
            if not self._stopped.is_set():
                await self._record(rest_client, listing)
        self._check_recorded()

    async def _record(self, rest_client: RestClient, listing: ExchangeInfo | None) -> None:
        """Do everything after the symbols were looked up. `listing`: None if the exchange has no list."""
        settings = self._settings
        listed = settings.checked(listing)
        self._symbols = symbols = self._wanted(listed)
        check_descriptors(rest_client.context, symbols, settings.connections)
        as_worker = bool(settings.partition.run)
        with lock_archive(settings.out, as_worker=as_worker) as archive:
            await asyncio.to_thread(archive.repair, self._stopped.is_set)
            if self._stopped.is_set():
                return
            self._live = await self._begin(archive, symbols, rest_client)
            settings.warn_of_large_sizes(listed, symbols)
            await self._live.run(self._stopped, listing)

    def status(self, shown: int = SHOWN) -> RecorderStatus | None:
        """The state of the recording, with the levels of `shown` books; None before it has begun, and after `stop`.

        After a stop, closing connections turns books COLD, so their state would mislead.
        """
        return None if self._live is None or self._stopped.is_set() else self._live.status(shown)

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        """A known book, around its mid; None if the book is not known or the symbol is not recorded."""
        is_live = self._live is not None and not self._stopped.is_set()
        return self._live.view(symbol, reach_bps) if self._live and is_live else None

    def flush(self) -> None:
        """Hand the tape to the operating system, because the process is about to end at once."""
        if self._live is not None:
            self._live.recording.flush_at_once()

    def _end_duration(self) -> None:
        # If a signal came first, the user wanted to stop, whether or not anything was recorded.
        self._duration_over = not self._stopped.is_set()
        self.stop()

    def _check_recorded(self) -> None:
        """Raises NothingRecorded if the duration is over and no book was synced."""
        has_symbols = self._symbols != ()  # one of many workers may have none
        if self._duration_over and has_symbols and not self._telemetry.any_book_synced:
            venue = self._settings.venue
            where = ", ".join((*venue.rest_urls, *venue.ws_urls))
            raise NothingRecorded(
                f"No book became known in {self._settings.duration_s:g} s, so no row was written. "
                f"The log says what came from {venue.title} ({where}). "
                "Check the network and the addresses, or record for longer; --exchange sim needs neither."
            )

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
        """The symbols to record. Those whose names are too long for a file are left out and logged once."""
        wanted = self._settings.wanted(info)
        too_long = {symbol for symbol in wanted if not can_be_stored(symbol)}
        for symbol in sorted(too_long - self._too_long):
            log.warning("left out: its name is too long for a file", symbol=symbol)
        self._too_long |= too_long
        return tuple(symbol for symbol in wanted if symbol not in too_long)

    async def _begin(
        self, archive: Archive, symbols: tuple[str, ...], rest_client: RestClient
    ) -> _LiveRecording:
        settings, partition = self._settings, self._settings.partition
        start = settings.start(self._clock.now_ns(), symbols)
        # In a thread: it looks for the newest rows of every symbol, perhaps in an archive of years.
        session = await asyncio.to_thread(archive.begin, start, partition.tag, partition.owns)
        recording = AsyncRecording(session, self._clock, settings.segment_s)
        await recording.flush()
        return _LiveRecording(settings, rest_client, recording, self._telemetry, self._wanted)


class _LiveRecording:
    """What exists while a recorder records: the parts of `net`, the recording, and the loops between them."""

    def __init__(
        self,
        settings: Settings,
        rest_client: RestClient,
        recording: AsyncRecording,
        telemetry: Telemetry,
        wanted: Callable[[ExchangeInfo], tuple[str, ...]],
    ) -> None:
        self.recording = recording
        context = rest_client.context
        self._settings = settings
        self._context = context
        self._clock = context.clock
        self._rest_client = rest_client
        self._telemetry = telemetry
        self._wanted = wanted
        telemetry.started_ns = context.clock.now_ns()
        self._added: set[str] = set()
        self._unhandled: list[TapeRecord] = []
        self._waiting_bytes = 0  # an upper bound; counted exactly when it is above the limit
        books, everything = recording.session.books, not settings.symbols
        self._statuses = SymbolStatusPoller(
            rest_client, self._listings, self._add_listed, new_ones=everything
        )
        on_names = self._statuses.on_pulse_names if everything else None
        self._pulse = PulseClient(rest_client, settings.pulse_s, books.quiet_since, on_names)
        self._trades = TradeClient(rest_client)
        limits = ConnectionLimits(
            books.arbiter.covers, settings.connection_life_s, settings.partition.count
        )
        self._keepers = ConnectionKeepers(
            context, books.symbols, settings.connections, limits, settings.rollover_at_s
        )

    async def run(self, stopped: asyncio.Event, first_list: ExchangeInfo | None) -> None:
        """Run all parts until stopped, then seal. `first_list`: None if the exchange has no list.

        After a disk failure or a bug, nothing is sealed: the next start does that, from the tape.
        """
        jobs = [
            self._keepers.run(),
            self._rest_client.run(),
            self._statuses.run(first_list),
            self._context.ticks.run(),
            OffsetMeter(self._rest_client).run(),
            self._handle_records(),
            self._flush_often(),
            self._replace_stalled(),
        ]
        if self._settings.pulse_s:
            jobs.append(self._pulse.run())
        if self._settings.trades:
            jobs.append(self._trades.run())
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(job) for job in jobs]
                await stopped.wait()
                for task in tasks:
                    task.cancel()
            remaining = [*self._unhandled, *self._context.queue.drain()]
            await self.recording.seal(remaining, self._telemetry.record, self._ends_after)
        except* StoreError as errors:
            self.recording.give_up()
            raise errors.exceptions[0] from None  # one sentence is enough for the user
        log.info("sealed", out=str(self._settings.out), rows=self._telemetry.rows.total())

    def status(self, shown: int) -> RecorderStatus:
        """The state of every book, and the counters."""
        session, telemetry = self.recording.session, self._telemetry
        at_ns = self._clock.now_ns()
        return RecorderStatus(
            at_ns,
            telemetry.started_ns,
            telemetry.books(session.books, at_ns, shown),
            telemetry.records,
            telemetry.waiting,
            telemetry.lag_ns / 1e6,
            len(session.books.arbiter.connections),
            self._rest_client.http.requests,
            self.recording.written_bytes,
            session.writer.segment.name,
            lost_lines(),
        )

    def view(self, symbol: str, reach_bps: int) -> BookView | None:
        """A known book. Viewing it sorts its pending changes, as writing a row does."""
        sync = self.recording.session.books.syncs.get(symbol)
        if sync is None or sync.state is not State.LIVE:
            return None
        times_us = (sync.stamp_ns // 1_000, sync.event_time_us)
        return view_book(times_us, sync.update_id, sync.epoch, sync.book.columns(), reach_bps)

    def _listings(self) -> dict[str, ListingState]:
        """What the tape says about each symbol's listing."""
        listings = self.recording.session.books.listings()
        return {symbol: ListingState(*listing) for symbol, listing in listings.items()}

    def _add_listed(self, info: ExchangeInfo) -> None:
        """Record symbols that have been listed since the start."""
        # A symbol is among the books only once its connection is established.
        recorded = self._added.union(self.recording.session.books.symbols)
        new = tuple(symbol for symbol in self._wanted(info) if symbol not in recorded)
        if new:
            self._added.update(new)
            log.info("newly listed", symbols=" ".join(new))
            self._settings.warn_of_large_sizes(info, new)
            self._keepers.add(new)

    async def _handle_records(self) -> None:
        """Handle records in order. Waits while the disk is behind, so that the queue fills."""
        queue = self._context.queue
        while True:
            # Handling empties this list. `run` seals whatever a cancellation leaves in it.
            records = self._unhandled = await queue.take(TURN_RECORDS, TURN_BYTES)
            count, last_ns = len(records), records[-1].received_ns
            came_bytes = sum(map(size_bytes, records))
            await self.recording.handle(records, self._on_output)
            # New connections replace those that end, as after any loss.
            for gone in self._ends_to_free_memory(came_bytes, last_ns):
                self._keepers.end(gone.connection)
                await self.recording.handle([gone], self._on_output)
            self._telemetry.count_records(count, len(queue), self._clock.now_ns() - last_ns)
            await asyncio.sleep(0)

    def _on_output(self, output: Output) -> None:
        """Count an output, and pass it on to `net` if it is a request."""
        self._telemetry.record(output)
        if isinstance(output, FetchSnapshot):
            self._rest_client.request_snapshot(output)
        elif isinstance(output, FetchTrades):
            self._trades.request(output)
        elif isinstance(output, ReplaceConnection):
            self._keepers.replace(output.connection, output.why)
            if output.silent:
                # Perhaps the symbol is halted or delisted. And are the quiet books still current?
                self._rest_client.recheck_listing.set()
                self._pulse.hurry()
        elif isinstance(output, CancelRequests):
            self._rest_client.forget(output.symbol)

    def _ends_after(self, record: TapeRecord) -> list[Disconnected]:
        return self._ends_to_free_memory(size_bytes(record), record.received_ns)

    def _ends_to_free_memory(self, came_bytes: int, now_ns: int) -> list[Disconnected]:
        """If waiting events take too much memory, the ends of the connections of the symbols with most of them.

        As after any lost connection, a gap declares what is lost with them. `now_ns` stamps the ends. The rest of these
        connections' messages, later in the queue, then belongs to no connection.
        """
        ends: list[Disconnected] = []
        # Counted exactly only once it may be too much: going through thousands of books takes a while.
        self._waiting_bytes += came_bytes * DECODED_PER_BYTE
        if self._waiting_bytes <= WAITING_BYTES_MAX:
            return ends
        books = self.recording.session.books
        waiting = books.waiting_bytes()
        self._waiting_bytes = sum(waiting.values())
        for symbol in sorted(waiting, key=waiting.__getitem__, reverse=True):
            if self._waiting_bytes <= WAITING_BYTES_MAX:
                break
            self._waiting_bytes -= waiting[symbol]
            why = f"{symbol}: {waiting[symbol] >> 20} MiB of events are waiting, and none can be applied"
            for connection in sorted(books.arbiter.feeds[symbol].last_by_connection):
                log.warning("ending a connection", connection=connection, why=why)
                ends.append(Disconnected(now_ns, connection, now_ns, DISCONNECTED, why))
        return ends

    async def _flush_often(self) -> None:
        """Hand the tape to the operating system repeatedly; end the recording if a segment could not be sealed."""
        while True:
            await self._clock.pause(FLUSH_S)
            await self.recording.flush()
            self.recording.raise_failed()

    async def _replace_stalled(self) -> None:
        """Have a connection replaced if a symbol falls silent on it."""
        detector = StallDetector()
        while True:
            await self._clock.pause(STALL_CHECK_S)
            now_s, feeds = self._clock.steady_s(), self.recording.session.books.arbiter.feeds
            for number, (symbol, feed) in enumerate(list(feeds.items())):
                if not number % TURN_BOOKS:
                    await asyncio.sleep(0)
                for connection, why in detector.find_stalled(symbol, feed, now_s):
                    self._keepers.replace(connection, why)
                    # Perhaps the symbol is halted or delisted.
                    self._rest_client.recheck_listing.set()
