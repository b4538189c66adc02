"""A deterministic machine: tape records in, rows, gaps, checks and requests out.

    record ──decode──▶ event ──arbitration──▶ one ordered stream ──sync──▶ book ──every N──▶ row
                         └──▶ other streams, later snapshots ──checks──▶ check

docs/architecture.md names its callers. They all get the same rows from the same records, because nothing here
reads a clock, a file or a socket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from booktape.checks.connection_load import ConnectionLoads
from booktape.checks.symbol_pipeline import PipelineOutput, SymbolPipeline
from booktape.core import checkpoint
from booktape.core.arbitration import FeedArbiter, ReleasedEvents, SymbolFeed
from booktape.core.checks import BookTicker, Check, TopLevels
from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    CancelRequests,
    DepthEvent,
    DepthSnapshot,
    FetchSnapshot,
    ForgetFeedIds,
    GapInterval,
    MalformedMessage,
    Note,
    ReplaceConnection,
    ServerShutdown,
    UnknownEvent,
    UnreadableAnswer,
)
from booktape.core.gap_reasons import KILLED, NO_TAPE, SILENT, STOPPED
from booktape.core.lag import UsualLag
from booktape.core.sync import NOT_OPENED, State, SymbolSync
from booktape.core.tape_records import (
    DELISTED,
    ROTATED,
    Checkpoint,
    ClockOffset,
    ClockStep,
    Connected,
    DepthAnswer,
    Disconnected,
    HoldExpired,
    Pulse,
    SegmentEnd,
    SegmentStart,
    SnapshotRequested,
    StreamMessage,
    SymbolListing,
    TapeRecord,
    Tick,
    TradesAnswer,
)
from booktape.core.trades import FetchTrades, Trade, TradeGap, TradeRow, TradeSequence
from booktape.errors import MalformedFrame
from booktape.wire.binance import decode_depth, decode_event
from booktape.wire.limits import first_limit
from booktape.wire.trades import decode_trades
from booktape.wire.witness import WitnessMessage, decode_best_levels

_BETWEEN_RECORDINGS: Final = frozenset({STOPPED, KILLED, NO_TAPE})
"""Reasons for gaps that last from the end of one recording to the start of the next."""

_SYMBOL_MESSAGES: Final = (DepthEvent, TopLevels, BookTicker, Trade)

TICK_MAX_NS: Final = 2 * 10**9
"""At most this much of a tick counts as tape time: a process that stood still saw nothing in the meantime."""

PAUSE_NS: Final = 3 * 10**9
"""A tick this long after the previous one, or longer, shows a pause, which is stored in `notes`."""

STEP_BACK_NS: Final = 10**9
"""If the clock is set back by this or more, all stamps move back with it; if by less, they wait until it catches up."""

SILENT_REPLACEMENTS_MAX: Final = 2
"""How often the connections of a silent symbol are replaced before it sends an event again."""


Output: TypeAlias = (
    BookRow
    | GapInterval
    | Check
    | Note
    | BookLost
    | BookSynced
    | TradeRow
    | TradeGap
    | FetchSnapshot
    | FetchTrades
    | MalformedMessage
    | CancelRequests
    | ReplaceConnection
    | ServerShutdown
    | UnknownEvent
)
"""A `GapInterval` here is to be stored: it is closed, or still open at the end. A gap that opens is a `BookLost`."""


class Reconstruction:
    """All books of one recording. `apply` every record of a tape, in order: the same records give the same outputs."""

    def __init__(self) -> None:
        self.symbols: tuple[str, ...] = ()
        self.syncs: dict[str, SymbolSync] = {}
        self.arbiter = FeedArbiter()
        self._usual_lag = UsualLag()
        self._loads = ConnectionLoads()
        self._pipelines: dict[str, SymbolPipeline] = {}
        self._trades: dict[str, TradeSequence] = {}
        self._malformed_connections: set[int] = set()
        # Per silent symbol: its newest id, and how often its connections were replaced at that id.
        self._silent_replacements: dict[str, tuple[int, int]] = {}
        self._started = SegmentStart(0, "", "", 1, 1, ())

    def apply(self, record: TapeRecord) -> list[Output]:  # noqa: C901, PLR0912 one case a kind of record
        """Apply one record. Returns what follows from it, in order."""
        out: list[Output] = []
        match record:
            case StreamMessage():
                self._on_message(record, out)
            case DepthAnswer():
                self._on_depth_answer(record, out)
            case TradesAnswer():
                self._on_trades_answer(record, out)
            case Tick():
                self._on_tick(record, out)
            case Connected():
                self._on_connected(record, out)
            case Disconnected():
                self._on_disconnected(record, out)
            case SnapshotRequested():
                self._pipelines[record.symbol].on_request_sent(record.received_ns)
            case Pulse():
                self._on_pulse(record, out)
            case SymbolListing():
                self._on_listing(record, out)
            case HoldExpired():
                self._apply_ready(
                    record.symbol, self.arbiter.feeds[record.symbol].release_next(), out
                )
            case ClockStep():
                self._on_clock_step(record, out)
            case ClockOffset():
                self._on_clock_offset(record, out)
            case SegmentStart():
                self._on_start(record)
            case Checkpoint():
                self._restore(record)
            case SegmentEnd():  # pragma: no branch, mypy knows that this is the last
                self._on_end(record, out)
        return out

    def checkpoints(self, received_ns: int) -> Iterator[Checkpoint]:
        """What the next segment needs to be read on its own: one for every symbol, recorded now or before."""
        feeds = self.arbiter.feeds
        for symbol, pipeline in self._pipelines.items():
            saved = pipeline.save(feeds.get(symbol, SymbolFeed()), received_ns)
            yield replace(saved, trades=self._trades[symbol].save())

    def open_gaps(self) -> list[GapInterval]:
        """The gaps of the recorded symbols that have begun and not ended."""
        gaps = (self.syncs[symbol].gap for symbol in self.symbols)
        return [gap for gap in gaps if gap]

    def listings(self) -> dict[str, tuple[str, str, str]]:
        """Status, tick size and lot size of each symbol, from the exchange's last list; empty before the first."""
        syncs = (self.syncs[symbol] for symbol in self.symbols)
        return {sync.symbol: (sync.status, sync.tick_size, sync.lot_size) for sync in syncs}

    def quiet_since(self, moment_ns: int) -> list[str]:
        """The symbols whose books are known and have not changed since this moment."""
        syncs = (self.syncs[symbol] for symbol in self.symbols)
        return [
            sync.symbol for sync in syncs if sync.state is State.LIVE and sync.stamp_ns <= moment_ns
        ]

    def waiting_bytes(self) -> dict[str, int]:
        """Memory, by symbol, of the events that wait for a snapshot or for the event before them."""
        waiting = {symbol: [*sync.held] for symbol, sync in self.syncs.items() if sync.held}
        for symbol, feed in self.arbiter.feeds.items():
            if feed.buffered:
                waiting.setdefault(symbol, []).extend(feed.buffered)
        return {symbol: sum(held.bytes for held in events) for symbol, events in waiting.items()}

    # ── a segment begins and ends ───────────────────────────────────────────────────────────

    def _on_start(self, start: SegmentStart) -> None:
        self._started, self.symbols = start, start.symbols
        self.arbiter.see_resets = start.format != 1
        for symbol in start.symbols:
            self._add_symbol(self._new_sync(symbol))

    def _new_sync(self, symbol: str) -> SymbolSync:
        return SymbolSync(symbol, self._started.format, self._usual_lag)

    def _restore(self, saved: Checkpoint) -> None:
        sync, feed = checkpoint.restore(saved, self._started.format, self._usual_lag)
        self.arbiter.feeds[saved.symbol] = feed
        self._add_symbol(sync).restore(saved)
        self._trades[saved.symbol] = TradeSequence(saved.symbol, saved.trades)

    def _add_symbol(self, sync: SymbolSync) -> SymbolPipeline:
        start = self._started
        audited = bool(start.audit_s)
        sync.snapshot_limit = (
            first_limit(len(start.symbols), start.depth) if audited else start.depth
        )
        self.syncs[sync.symbol] = sync
        pipeline = SymbolPipeline(sync, start.every, start.audit_s, start.depth, start.pulse_s)
        self._pipelines[sync.symbol] = pipeline
        self._trades[sync.symbol] = TradeSequence(sync.symbol)
        return pipeline

    def _on_end(self, end: SegmentEnd, out: list[Output]) -> None:
        """A recording that ends loses every connection. Gaps that are open at that moment are stored as open."""
        for pipeline in self._pipelines.values():
            out += pipeline.checks.close()
        if end.reason == ROTATED:
            self._begin_segment()
            return
        if self._started.trades:
            for sequence in self._trades.values():
                out += sequence.end(end.received_ns, end.reason)
        # A gap that lasts *between* two recordings is stored once, when the later one closes it. Any other open
        # gap is stored now, with a null end, and again when it closes.
        out += [gap for gap in self.open_gaps() if gap.reason not in _BETWEEN_RECORDINGS]
        for connection in list(self.arbiter.connections):
            gone = Disconnected(end.received_ns, connection, end.received_ns, end.reason)
            self._on_disconnected(gone, out)

    def _begin_segment(self) -> None:
        """Forget what no checkpoint holds: a reader of the next segment alone would not have it."""
        self._usual_lag.begin_segment()
        self._loads.begin_segment()
        for feed in self.arbiter.feeds.values():
            feed.begin_segment()
        for pipeline in self._pipelines.values():
            pipeline.begin_segment()
        for sequence in self._trades.values():
            sequence.begin_segment()

    # ── connections ─────────────────────────────────────────────────────────────────────────

    def _on_connected(self, record: Connected, out: list[Output]) -> None:
        self.arbiter.add_connection(record.connection, record.symbols)
        self._loads.add(record.connection)
        # A symbol may have been listed after the recording began.
        self.symbols += tuple(symbol for symbol in record.symbols if symbol not in self.symbols)
        for symbol in record.symbols:
            pipeline = self._pipelines.get(symbol) or self._add_symbol(self._new_sync(symbol))
            pipeline.checks.on_connections_changed()
            self._emit(symbol, pipeline.handle(record, record.received_ns), out)

    def _on_disconnected(self, record: Disconnected, out: list[Output]) -> None:
        self._malformed_connections.discard(record.connection)
        self._loads.remove(record.connection)
        for symbol in self.arbiter.remove_connection(record.connection):
            feed, pipeline = self.arbiter.feeds[symbol], self._pipelines[symbol]
            pipeline.checks.on_connections_changed()
            self._apply_ready(symbol, feed.drop_connection(record.connection), out)
            if not feed.last_by_connection:
                self._emit(symbol, pipeline.handle(record, record.received_ns), out)

    def _replace_malformed(self, symbol: str, out: list[Output]) -> None:
        """A malformed message turned out to be a lost event: replace the connection that sent it."""
        carriers = self.arbiter.feeds[symbol].last_by_connection
        found = self._malformed_connections.intersection(carriers)
        self._malformed_connections -= found
        out += [ReplaceConnection(each, "it delivered garbage") for each in sorted(found)]

    def _replace_silent(self, symbol: str, out: list[Output]) -> None:
        """Replace the connections on which a symbol fell silent, at most SILENT_REPLACEMENTS_MAX times."""
        feed = self.arbiter.feeds[symbol]
        at_id, times = self._silent_replacements.get(symbol, (feed.newest_id, 0))
        times = times if at_id == feed.newest_id else 0
        self._silent_replacements[symbol] = feed.newest_id, times + 1
        if times < SILENT_REPLACEMENTS_MAX:
            for connection in sorted(feed.last_by_connection):
                why = f"{symbol} is silent on it"
                out.append(ReplaceConnection(connection, why, silent=True))

    # ── time ────────────────────────────────────────────────────────────────────────────────

    def _on_tick(self, tick: Tick, out: list[Output]) -> None:
        """A second has passed. Everything that time decides is decided here, in this order."""
        if tick.elapsed_ns >= PAUSE_NS:
            out.append(Note(None, tick.received_ns, "pause", f"{tick.elapsed_ns / 1e9:.3f}"))
        passed_ns = min(tick.elapsed_ns, TICK_MAX_NS)
        for connection in self._loads.on_tick(passed_ns):
            out.append(ReplaceConnection(connection, "it delivers nothing any more", silent=True))
            for symbol, feed in self.arbiter.feeds_of(connection):
                self._apply_ready(symbol, feed.mark_silent(connection), out)
        for symbol in self.symbols:
            own_feed, waits = self.arbiter.feeds.get(symbol), False
            if own_feed and own_feed.buffered:
                self._apply_ready(symbol, own_feed.on_tick(passed_ns), out)
                waits = bool(own_feed.buffered)
            found = self._pipelines[symbol].on_tick(tick.received_ns, passed_ns, waits=waits)
            self._emit(symbol, found, out)
            if self._started.trades:
                out += self._trades[symbol].on_tick(tick.received_ns)
        lags_ns = (self._pipelines[symbol].lag_ns() for symbol in self.symbols)
        smallest_ns = min((lag_ns for lag_ns in lags_ns if lag_ns is not None), default=None)
        self._usual_lag.on_tick(smallest_ns, paused=tick.elapsed_ns >= PAUSE_NS)

    def _on_clock_step(self, record: ClockStep, out: list[Output]) -> None:
        out.append(Note(None, record.received_ns, "clock_step", f"{record.step_ns / 1e9:.6f}"))
        self._usual_lag.step_clock()
        if record.step_ns > -STEP_BACK_NS or self._started.format == 1:
            return
        # Otherwise nothing would count as newer than what is known until the clock had caught up.
        for symbol, pipeline in self._pipelines.items():
            pipeline.step_clock(record.step_ns)
            if symbol in self.arbiter.feeds:
                self.arbiter.feeds[symbol].step_clock(record.step_ns)

    def _on_clock_offset(self, record: ClockOffset, out: list[Output]) -> None:
        offset = f"{record.offset_ns / 1e6:+.1f} ms ± {record.error_ns / 1e6:.1f} ms"
        out.append(Note(None, record.received_ns, "clock_offset", offset))

    # ── what the exchange sends ─────────────────────────────────────────────────────────────

    def _on_message(self, message: StreamMessage, out: list[Output]) -> None:
        if self._loads.on_message(message.connection):
            for _, feed in self.arbiter.feeds_of(message.connection):
                feed.silent_connections.discard(message.connection)
        try:
            event = decode_event(message.payload)
        except MalformedFrame as error:
            self._malformed_connections.add(message.connection)
            out.append(MalformedMessage(message.connection, str(error)))
            return
        if isinstance(event, Trade) and not self._started.trades:
            event = UnknownEvent("trade")
        if isinstance(event, _SYMBOL_MESSAGES):
            self._on_symbol_message(message, event, out)
            return
        out.append(event)
        if isinstance(event, ServerShutdown):
            out.append(ReplaceConnection(message.connection, "the exchange will shut down"))

    def _on_symbol_message(
        self, message: StreamMessage, event: DepthEvent | WitnessMessage | Trade, out: list[Output]
    ) -> None:
        symbol, connection = event.symbol, message.connection
        feed = self.arbiter.feeds.get(symbol)
        if feed is None or connection not in feed.last_by_connection:
            out.append(UnknownEvent(f"a message of {symbol}, which was not subscribed to"))
        elif isinstance(event, DepthEvent):
            self._apply_ready(symbol, feed.accept(connection, event, message.received_ns), out)
        elif isinstance(event, Trade):
            out += self._trades[symbol].on_trade(event, message.received_ns)
        else:
            found = self._pipelines[symbol].on_witness(event, connection, message.received_ns)
            self._emit(symbol, found, out)

    def _on_depth_answer(self, record: DepthAnswer, out: list[Output]) -> None:
        answer: DepthSnapshot | UnreadableAnswer
        try:
            answer = decode_depth(record.payload, record.symbol, record.limit)
        except MalformedFrame as error:
            out.append(MalformedMessage(None, str(error)))
            answer = UnreadableAnswer()
        else:
            if answer.last_id == NOT_OPENED and self._started.format == 1:
                # Recorders of format 1 treated such an answer as unreadable.
                answer = UnreadableAnswer()
        found = self._pipelines[record.symbol].on_snapshot(answer, record.received_ns)
        self._emit(record.symbol, found, out)

    def _on_trades_answer(self, record: TradesAnswer, out: list[Output]) -> None:
        if not self._started.trades:
            return
        try:
            trades = decode_trades(record.payload, record.symbol, record.from_id)
        except MalformedFrame as error:
            out.append(MalformedMessage(None, str(error)))
            trades = []
        sequence = self._trades[record.symbol]
        out += sequence.on_answer(record.from_id, trades, record.received_ns)

    def _on_pulse(self, pulse: Pulse, out: list[Output]) -> None:
        for symbol, texts in pulse.tops.items():
            if symbol not in self._pipelines:
                continue
            try:
                best = decode_best_levels(texts)
            except MalformedFrame as error:
                out.append(MalformedMessage(None, f"{symbol} pulse: {error}"))
            else:
                self._pipelines[symbol].on_pulse(pulse.asked_ns, best)

    def _on_listing(self, listing: SymbolListing, out: list[Output]) -> None:
        pipeline = self._pipelines[listing.symbol]
        sync = pipeline.sync
        for kind, text, known in (
            ("status", listing.status, None if self._started.format == 1 else sync.status),
            ("tick_size", listing.tick_size, sync.tick_size),
            ("lot_size", listing.lot_size, sync.lot_size),
        ):
            if text and text != known:
                out.append(Note(listing.symbol, listing.received_ns, kind, text))
                if text == DELISTED:
                    out.append(CancelRequests(listing.symbol))
        sync.status = listing.status
        sync.tick_size = listing.tick_size or sync.tick_size
        sync.lot_size = listing.lot_size or sync.lot_size
        self._emit(listing.symbol, pipeline.handle(listing, listing.received_ns), out)

    # ── from the arbiter to the book, and out ───────────────────────────────────────────────

    def _apply_ready(self, symbol: str, ready: ReleasedEvents, out: list[Output]) -> None:
        """Hand events that are now in order to the symbol's pipeline, each with its own stamp."""
        for received_ns, item in ready:
            found = self._pipelines[symbol].handle(item, received_ns)
            if found:
                self._emit(symbol, found, out)

    def _emit(self, symbol: str, found: Iterable[PipelineOutput], out: list[Output]) -> None:
        """Pass on the output of one symbol's pipeline, and act on what concerns its feed and connections.

        When a snapshot joins, events have been waiting in two places; they follow in this order. Those that the
        state machine held for the snapshot have already been handled: their outputs are in `found`. Those that
        the arbiter buffered because an earlier event was missing may now be in order, and follow last.
        """
        synced = None
        for output in found:
            if isinstance(output, ForgetFeedIds):
                self.arbiter.feeds[symbol].reset()
                continue
            out.append(output)
            if isinstance(output, BookLost):
                self._replace_malformed(symbol, out)
                if output.gap.reason == SILENT:
                    self._replace_silent(symbol, out)
            elif isinstance(output, BookSynced):
                synced = output
        if synced:
            feed = self.arbiter.feeds[symbol]
            if synced.counts_anew:
                feed.reset()
            if synced.update_id != NOT_OPENED:
                self._apply_ready(symbol, feed.advance_to(synced.update_id), out)
