"""THE pure function: frames in, rows and requests out.

    frames ──decode──▶ events ──merge──▶ one ordered stream ──sync──▶ book ──every N──▶ rows, gaps
                         └──▶ later snapshots, other streams ──proof──▶ checks

The recorder runs it on live frames and recovery on the tape of a recorder that was killed; both
get the same rows, since nothing here looks at a clock, a file or a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from booktape.checks.connection_load import ConnectionLoads
from booktape.checks.symbol_pipeline import PipelineOutput as Examined
from booktape.checks.symbol_pipeline import SymbolPipeline
from booktape.core import checkpoint
from booktape.core.arbitration import FeedArbiter, ReleasedEvents, SymbolFeed
from booktape.core.checks import BookTicker, Check, TopLevels
from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    DepthEvent,
    DepthSnapshot,
    FetchSnapshot,
    GapInterval,
    HeldEvent,
    IdsReset,
    MalformedMessage,
    Note,
    ReplaceConnection,
    ServerShutdown,
    UnknownEvent,
    UnreadableAnswer,
)
from booktape.core.lag import UsualLag
from booktape.core.sync import NOT_OPENED, SILENT, State, SymbolSync
from booktape.core.tape_records import (
    KILLED,
    NO_TAPE,
    ROTATED,
    STOPPED,
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
)
from booktape.errors import MalformedFrame
from booktape.wire.binance import decode_depth, decode_event
from booktape.wire.limits import first_limit
from booktape.wire.witness import WitnessMessage, decode_best_levels

_BETWEEN: Final = frozenset({STOPPED, KILLED, NO_TAPE})
"""Reasons of gaps between two recordings."""

_OF_A_SYMBOL: Final = (DepthEvent, TopLevels, BookTicker)

TICK_MAX_NS: Final = 2 * 10**9
"""More than this of a tick is no tape time: while this process stood still it could see nothing."""

PAUSE_NS: Final = 3 * 10**9
"""A tick after so long tells of a pause, which `notes` shows."""

STEP_BACK_NS: Final = 10**9
"""A clock that is set back by so much takes all stamps with it; by less, they wait for it to catch up."""

RENEWALS_MAX: Final = 2
"""So often a silent symbol has its connections replaced, until an event of it comes again."""


Output: TypeAlias = (
    BookRow
    | GapInterval
    | Check
    | Note
    | BookLost
    | BookSynced
    | FetchSnapshot
    | MalformedMessage
    | ReplaceConnection
    | ServerShutdown
    | UnknownEvent
)
"""`GapInterval` is one to be stored: closed, or still open at the end. One that opens comes as `BookLost`."""


class Reconstruction:
    """All books of one recording. Feed it every frame of a tape, in order."""

    def __init__(self) -> None:
        self.symbols: tuple[str, ...] = ()
        self.syncs: dict[str, SymbolSync] = {}
        self.arbiter = FeedArbiter()
        self._usual_lag = UsualLag()
        self._loads = ConnectionLoads()
        self._examined: dict[str, SymbolPipeline] = {}
        self._suspects: set[int] = set()
        self._renewals: dict[str, tuple[int, int]] = {}
        self._started: SegmentStart
        self._feeders: dict[type, Callable[..., Iterable[Output]]] = {
            StreamMessage: self._stream,
            DepthAnswer: self._rest,
            Connected: self._connected,
            Disconnected: self._disconnected,
            Tick: self._tick,
            Pulse: self._pulse,
            HoldExpired: self._expired,
            SnapshotRequested: self._asked,
            SymbolListing: self._listed,
            ClockStep: self._stepped,
            ClockOffset: self._offset,
            SegmentStart: self._start,
            Checkpoint: self._restore,
            SegmentEnd: self._end,
        }

    def feed(self, frame: TapeRecord) -> Iterable[Output]:
        """What follows from one frame, in order. It must be exhausted before the next one."""
        return self._feeders[type(frame)](frame)

    def checkpoints(self, received_ns: int) -> Iterator[Checkpoint]:
        """All that the next segment needs to stand alone, one entry for every symbol known."""
        feeds = self.arbiter.feeds
        for symbol, examined in self._examined.items():
            yield examined.save(feeds.get(symbol, SymbolFeed()), received_ns)

    def open_gaps(self) -> list[GapInterval]:
        """The intervals that have begun and not ended, of the symbols that are recorded."""
        gaps = (self.syncs[symbol].gap for symbol in self.symbols)
        return [gap for gap in gaps if gap]

    def listings(self) -> dict[str, tuple[str, str, str]]:
        """What the exchange's list last said of each symbol: status, tick size and lot size.

        Empty texts where it has not said anything yet.
        """
        syncs = (self.syncs[symbol] for symbol in self.symbols)
        return {sync.symbol: (sync.status, sync.tick_size, sync.lot_size) for sync in syncs}

    def quiet_since(self, moment_ns: int) -> list[str]:
        """The symbols whose books are known, and have not changed since this moment."""
        syncs = (self.syncs[symbol] for symbol in self.symbols)
        return [
            sync.symbol for sync in syncs if sync.state is State.LIVE and sync.stamp_ns <= moment_ns
        ]

    def waiting_bytes(self) -> dict[str, int]:
        """Memory of the events that wait, for a snapshot or for those before them; by symbol, where any do."""
        waiting = {symbol: [*sync.held] for symbol, sync in self.syncs.items() if sync.held}
        for symbol, feed in self.arbiter.feeds.items():
            if feed.buffered:
                waiting.setdefault(symbol, []).extend(feed.buffered)
        return {symbol: sum(held.bytes for held in all_) for symbol, all_ in waiting.items()}

    def _start(self, start: SegmentStart) -> Iterator[Output]:
        self._started, self.symbols = start, start.symbols
        self.arbiter.see_resets = start.format != 1
        for symbol in start.symbols:
            self._know(self._sync_of(symbol))
        yield from ()

    def _sync_of(self, symbol: str) -> SymbolSync:
        return SymbolSync(symbol, self._started.format, self._usual_lag)

    def _restore(self, saved: Checkpoint) -> Iterator[Output]:
        restored = checkpoint.restore(saved, self._started.format, self._usual_lag)
        sync, self.arbiter.feeds[saved.symbol] = restored
        self._know(sync).restore(saved)
        yield from ()

    def _know(self, sync: SymbolSync) -> SymbolPipeline:
        start = self._started
        sync.snapshot_limit = (
            first_limit(len(start.symbols), start.depth) if start.audit_s else start.depth
        )
        self.syncs[sync.symbol] = sync
        examined = SymbolPipeline(sync, start.every, start.audit_s, start.depth, start.pulse_s)
        self._examined[sync.symbol] = examined
        return examined

    def _end(self, end: SegmentEnd) -> Iterator[Output]:
        """A recording that ends loses every connection; what was lost before is said as open."""
        for examined in self._examined.values():
            yield from examined.checks.close()
        if end.reason == ROTATED:
            self._begin_segment()
            return
        # The time between two recordings is said by the one that ends it, not once by each.
        yield from (gap for gap in self.open_gaps() if gap.reason not in _BETWEEN)
        for connection in list(self.arbiter.connections):
            gone = Disconnected(end.received_ns, connection, end.received_ns, end.reason)
            yield from self._disconnected(gone)

    def _begin_segment(self) -> None:
        """Forget what no checkpoint tells, as a reading of the next segment alone would not know it."""
        self._usual_lag.begin_segment()
        self._loads.begin_segment()
        for feed in self.arbiter.feeds.values():
            feed.begin_segment()
        for examined in self._examined.values():
            examined.begin_segment()

    def _connected(self, note: Connected) -> Iterator[Output]:
        self.arbiter.add_connection(note.connection, note.symbols)
        self._loads.add(note.connection)
        # Some may have been listed after the recording had begun.
        self.symbols += tuple(symbol for symbol in note.symbols if symbol not in self.symbols)
        for symbol in note.symbols:
            examined = self._examined.get(symbol) or self._know(self._sync_of(symbol))
            examined.checks.on_connections_changed()
            yield from self._take(symbol, examined.handle(note, note.received_ns))

    def _disconnected(self, note: Disconnected) -> Iterator[Output]:
        self._suspects.discard(note.connection)
        self._loads.remove(note.connection)
        for symbol in self.arbiter.remove_connection(note.connection):
            feed, examined = self.arbiter.feeds[symbol], self._examined[symbol]
            examined.checks.on_connections_changed()
            yield from self._pass(symbol, feed.drop_connection(note.connection))
            if not feed.last_by_connection:
                yield from self._take(symbol, examined.handle(note, note.received_ns))

    def _tick(self, tick: Tick) -> Iterator[Output]:
        """Time has passed: what it decides is decided now, and nowhere else."""
        if tick.elapsed_ns >= PAUSE_NS:
            yield Note(None, tick.received_ns, "pause", f"{tick.elapsed_ns / 1e9:.3f}")
        passed_ns = min(tick.elapsed_ns, TICK_MAX_NS)
        for connection in self._loads.on_tick(passed_ns):
            yield ReplaceConnection(connection, "it brings nothing any more", silent=True)
            for symbol, feed in self.arbiter.feeds_of(connection):
                yield from self._pass(symbol, feed.mark_silent(connection))
        for symbol in self.symbols:
            found, waits = self.arbiter.feeds.get(symbol), False
            if found and found.buffered:
                yield from self._pass(symbol, found.on_tick(passed_ns))
                waits = bool(found.buffered)
            told = self._examined[symbol].on_tick(tick.received_ns, passed_ns, waits=waits)
            if told:
                yield from self._take(symbol, told)
        lags_ns = (self._examined[symbol].lag_ns() for symbol in self.symbols)
        smallest_ns = min((lag_ns for lag_ns in lags_ns if lag_ns is not None), default=None)
        self._usual_lag.on_tick(smallest_ns, paused=tick.elapsed_ns >= PAUSE_NS)

    def _pulse(self, pulse: Pulse) -> Iterator[Output]:
        for symbol, texts in pulse.tops.items():
            if symbol not in self._examined:
                continue
            try:
                best = decode_best_levels(texts)
            except MalformedFrame as error:
                yield MalformedMessage(None, f"{symbol} pulse: {error}")
            else:
                self._examined[symbol].on_pulse(pulse.asked_ns, best)

    def _replace_silent(self, symbol: str) -> Iterator[Output]:
        """Replace the connections on which a symbol fell silent; not again and again, for nothing."""
        feed = self.arbiter.feeds[symbol]
        at_id, times = self._renewals.get(symbol, (feed.newest_id, 0))
        times = times if at_id == feed.newest_id else 0
        self._renewals[symbol] = feed.newest_id, times + 1
        if times < RENEWALS_MAX:
            for connection in sorted(feed.last_by_connection):
                yield ReplaceConnection(connection, f"{symbol} is silent on it", silent=True)

    def _expired(self, note: HoldExpired) -> Iterator[Output]:
        yield from self._pass(note.symbol, self.arbiter.feeds[note.symbol].release_next())

    def _asked(self, note: SnapshotRequested) -> Iterator[Output]:
        self._examined[note.symbol].on_request_sent(note.received_ns)
        yield from ()

    def _listed(self, note: SymbolListing) -> Iterator[Output]:
        examined = self._examined[note.symbol]
        sync = examined.sync
        for kind, text, known in (
            ("status", note.status, None if self._started.format == 1 else sync.status),
            ("tick_size", note.tick_size, sync.tick_size),
            ("lot_size", note.lot_size, sync.lot_size),
        ):
            if text and text != known:
                yield Note(note.symbol, note.received_ns, kind, text)
        sync.status = note.status
        sync.tick_size = note.tick_size or sync.tick_size
        sync.lot_size = note.lot_size or sync.lot_size
        yield from self._take(note.symbol, examined.handle(note, note.received_ns))

    def _stepped(self, note: ClockStep) -> Iterator[Output]:
        yield Note(None, note.received_ns, "clock_step", f"{note.step_ns / 1e9:.6f}")
        self._usual_lag.step_clock()
        if note.step_ns > -STEP_BACK_NS or self._started.format == 1:
            return
        # Else nothing would be newer than what is known, until the clock had caught up.
        for symbol, examined in self._examined.items():
            examined.step_clock(note.step_ns)
            if symbol in self.arbiter.feeds:
                self.arbiter.feeds[symbol].step_clock(note.step_ns)

    def _offset(self, note: ClockOffset) -> Iterator[Output]:
        offset = f"{note.offset_ns / 1e6:+.1f} ms ± {note.error_ns / 1e6:.1f} ms"
        yield Note(None, note.received_ns, "clock_offset", offset)

    def _stream(self, frame: StreamMessage) -> Iterable[Output]:
        if self._loads.on_message(frame.connection):
            for _, feed in self.arbiter.feeds_of(frame.connection):
                feed.silent_connections.discard(frame.connection)
        try:
            event = decode_event(frame.payload)
        except MalformedFrame as error:
            self._suspects.add(frame.connection)
            return (MalformedMessage(frame.connection, str(error)),)
        if isinstance(event, _OF_A_SYMBOL):
            return self._of_symbol(frame, event)
        if isinstance(event, ServerShutdown):
            return (event, ReplaceConnection(frame.connection, "the exchange will shut down"))
        return (event,)

    def _of_symbol(
        self, frame: StreamMessage, event: DepthEvent | WitnessMessage
    ) -> Iterable[Output]:
        symbol, received_ns = event.symbol, frame.received_ns
        feed = self.arbiter.feeds.get(symbol)
        if feed is None or frame.connection not in feed.last_by_connection:
            return (UnknownEvent(f"a message of {symbol}, which nobody asked for"),)
        if isinstance(event, DepthEvent):
            return self._pass(symbol, feed.accept(frame.connection, event, received_ns))
        told = self._examined[symbol].on_witness(event, frame.connection, received_ns)
        return self._take(symbol, told) if told else ()

    def _pass(self, symbol: str, ready: ReleasedEvents) -> Iterable[Output]:
        """Events that are in order now go to the machine, each with its own stamp."""
        if len(ready) == 1 and isinstance(held := ready[0], HeldEvent):
            # Nearly always one, and nothing to say: then there is no time to lose.
            said = self._examined[symbol].handle(held.event, held.received_ns)
            return self._take(symbol, said) if said else ()
        return self._pass_all(symbol, ready) if ready else ()

    def _pass_all(self, symbol: str, ready: ReleasedEvents) -> Iterator[Output]:
        examined = self._examined[symbol]
        for item in ready:
            if isinstance(item, IdsReset):
                yield from self._take(symbol, examined.handle(item, 0))
            else:
                yield from self._take(symbol, examined.handle(item.event, item.received_ns))

    def _accuse(self, symbol: str) -> Iterator[Output]:
        """What could not be read was an event after all: its connection is not to be trusted."""
        accused = self._suspects.intersection(self.arbiter.feeds[symbol].last_by_connection)
        self._suspects -= accused
        for connection in sorted(accused):
            yield ReplaceConnection(connection, "it delivered garbage")

    def _rest(self, frame: DepthAnswer) -> Iterator[Output]:
        answer: DepthSnapshot | UnreadableAnswer
        try:
            answer = decode_depth(frame.payload, frame.symbol, frame.limit)
        except MalformedFrame as error:
            yield MalformedMessage(None, str(error))
            answer = UnreadableAnswer()
        else:
            if answer.last_id == NOT_OPENED and self._started.format == 1:
                # What it was taken for when it was recorded.
                answer = UnreadableAnswer()
        examined = self._examined[frame.symbol]
        yield from self._take(frame.symbol, examined.on_snapshot(answer, frame.received_ns))

    def _take(self, symbol: str, said: Iterable[Examined]) -> Iterator[Output]:
        """Pass on what one symbol says, and see to what concerns its connections."""
        synced = None
        for output in said:
            if isinstance(output, IdsReset):
                self.arbiter.feeds[symbol].reset()
                continue
            yield output
            if isinstance(output, BookLost):
                yield from self._accuse(symbol)
                if output.gap.reason == SILENT:
                    yield from self._replace_silent(symbol)
            elif isinstance(output, BookSynced):
                synced = output
        if synced:
            feed = self.arbiter.feeds[symbol]
            if synced.counts_anew:
                feed.reset()
            if synced.update_id != NOT_OPENED:
                yield from self._pass(symbol, feed.advance_to(synced.update_id))
