"""THE pure function: frames in, rows and requests out.

    frames ──decode──▶ events ──merge──▶ one ordered stream ──sync──▶ book ──every N──▶ rows, gaps
                         └──▶ later snapshots, other streams ──proof──▶ checks

The recorder runs it on live frames and recovery on the tape of a recorder that was killed; both
get the same rows, since nothing here looks at a clock, a file or a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

from booktape.core import checkpoint
from booktape.core.events import (
    BookRow,
    DepthEvent,
    DepthSnapshot,
    FetchSnapshot,
    Gap,
    Held,
    Lost,
    Malformed,
    Note,
    RenewConnection,
    ServerShutdown,
    Synced,
    UnknownEvent,
    Unreadable,
)
from booktape.core.frames import (
    KILLED,
    NO_TAPE,
    ROTATED,
    STOPPED,
    Asked,
    Checkpoint,
    ClockStep,
    Connected,
    Disconnected,
    Frame,
    HoldExpired,
    Listed,
    RestFrame,
    SegmentEnd,
    SegmentStart,
    StreamFrame,
)
from booktape.core.merge import Lane, Merge
from booktape.core.proving import BookTicker, Check, TopLevels
from booktape.core.sync import SymbolSync
from booktape.errors import MalformedFrame
from booktape.proof.examined import ExaminedSync
from booktape.proof.examined import Output as Examined
from booktape.wire.binance import decode_depth, decode_event
from booktape.wire.limits import first_limit
from booktape.wire.witness import Statement

_BETWEEN: Final = frozenset({STOPPED, KILLED, NO_TAPE})
"""Reasons of gaps between two recordings."""

_OF_A_SYMBOL: Final = (DepthEvent, TopLevels, BookTicker)


Output: TypeAlias = (
    BookRow
    | Gap
    | Check
    | Note
    | Lost
    | Synced
    | FetchSnapshot
    | Malformed
    | RenewConnection
    | ServerShutdown
    | UnknownEvent
)
"""`Gap` is one to be stored: closed, or still open at the end. One that opens comes as `Lost`."""


class Reconstruction:
    """All books of one recording. Feed it every frame of a tape, in order."""

    def __init__(self) -> None:
        self.symbols: tuple[str, ...] = ()
        self.syncs: dict[str, SymbolSync] = {}
        self.merge = Merge()
        self._examined: dict[str, ExaminedSync] = {}
        self._suspects: set[int] = set()
        self._started: SegmentStart
        self._feeders: dict[type, Callable[..., Iterable[Output]]] = {
            StreamFrame: self._stream,
            RestFrame: self._rest,
            Connected: self._connected,
            Disconnected: self._disconnected,
            HoldExpired: self._expired,
            Asked: self._asked,
            Listed: self._listed,
            ClockStep: self._stepped,
            SegmentStart: self._start,
            Checkpoint: self._restore,
            SegmentEnd: self._end,
        }

    def feed(self, frame: Frame) -> Iterable[Output]:
        """What follows from one frame, in order. It must be exhausted before the next one."""
        return self._feeders[type(frame)](frame)

    def checkpoints(self, received_ns: int) -> Iterator[Checkpoint]:
        """All that the next segment needs to stand alone, one entry for every symbol known."""
        lanes = self.merge.lanes
        for symbol, examined in self._examined.items():
            yield examined.save(lanes.get(symbol, Lane()), received_ns)

    def open_gaps(self) -> list[Gap]:
        """The intervals that have begun and not ended, of the symbols that are recorded."""
        gaps = (self.syncs[symbol].gap for symbol in self.symbols)
        return [gap for gap in gaps if gap]

    def statuses(self) -> dict[str, str]:
        """What the exchange's list last said of each symbol that is recorded."""
        return {symbol: self.syncs[symbol].status for symbol in self.symbols}

    def _start(self, start: SegmentStart) -> Iterator[Output]:
        self._started, self.symbols = start, start.symbols
        for symbol in start.symbols:
            self._know(SymbolSync(symbol))
        yield from ()

    def _restore(self, saved: Checkpoint) -> Iterator[Output]:
        sync, self.merge.lanes[saved.symbol] = checkpoint.restore(saved)
        examiner = self._know(sync).examiner
        examiner.due_ns, examiner.asked_ns = saved.audit_due_ns, saved.asked_ns
        yield from ()

    def _know(self, sync: SymbolSync) -> ExaminedSync:
        start = self._started
        sync.limit = first_limit(len(start.symbols), start.depth) if start.audit_s else start.depth
        self.syncs[sync.symbol] = sync
        examined = ExaminedSync(sync, start.every, start.audit_s, start.depth)
        self._examined[sync.symbol] = examined
        return examined

    def _end(self, end: SegmentEnd) -> Iterator[Output]:
        """A recording that ends loses every connection; what was lost before is said as open."""
        for examined in self._examined.values():
            yield from examined.examiner.close()
        if end.reason == ROTATED:
            return
        # The time between two recordings is said by the one that ends it, not once by each.
        yield from (gap for gap in self.open_gaps() if gap.reason not in _BETWEEN)
        for connection in list(self.merge.open):
            gone = Disconnected(end.received_ns, connection, end.received_ns, end.reason)
            yield from self._disconnected(gone)

    def _connected(self, note: Connected) -> Iterator[Output]:
        self.merge.connected(note.connection, note.symbols)
        # Some may have been listed after the recording had begun.
        self.symbols += tuple(symbol for symbol in note.symbols if symbol not in self.symbols)
        for symbol in note.symbols:
            examined = self._examined.get(symbol) or self._know(SymbolSync(symbol))
            examined.examiner.relayed()
            yield from self._take(symbol, examined.take(note, note.received_ns))

    def _disconnected(self, note: Disconnected) -> Iterator[Output]:
        self._suspects.discard(note.connection)
        for symbol in self.merge.lost(note.connection):
            lane, examined = self.merge.lanes[symbol], self._examined[symbol]
            examined.examiner.relayed()
            yield from self._pass(symbol, lane.leave(note.connection))
            if not lane.reached:
                yield from self._take(symbol, examined.take(note, note.received_ns))

    def _expired(self, note: HoldExpired) -> Iterator[Output]:
        yield from self._pass(note.symbol, self.merge.lanes[note.symbol].expire())

    def _asked(self, note: Asked) -> Iterator[Output]:
        self._examined[note.symbol].asked()
        yield from ()

    def _listed(self, note: Listed) -> Iterator[Output]:
        examined = self._examined[note.symbol]
        examined.sync.status = note.status
        yield Note(note.symbol, note.received_ns, "status", note.status)
        yield from self._take(note.symbol, examined.take(note, note.received_ns))

    def _stepped(self, note: ClockStep) -> Iterator[Output]:
        yield Note(None, note.received_ns, "clock_step", f"{note.step_ns / 1e9:.6f}")

    def _stream(self, frame: StreamFrame) -> Iterable[Output]:
        try:
            event = decode_event(frame.payload)
        except MalformedFrame as error:
            self._suspects.add(frame.connection)
            return (Malformed(frame.connection, str(error)),)
        if isinstance(event, _OF_A_SYMBOL):
            return self._of_symbol(frame, event)
        if isinstance(event, ServerShutdown):
            return (event, RenewConnection(frame.connection, "the exchange will shut down"))
        return (event,)

    def _of_symbol(self, frame: StreamFrame, event: DepthEvent | Statement) -> Iterable[Output]:
        symbol, received_ns = event.symbol, frame.received_ns
        lane = self.merge.lanes.get(symbol)
        if lane is None or frame.connection not in lane.reached:
            return (UnknownEvent(f"a message of {symbol}, which nobody asked for"),)
        if isinstance(event, DepthEvent):
            return self._pass(symbol, lane.take(frame.connection, event, received_ns))
        told = self._examined[symbol].told(event, frame.connection, received_ns)
        return self._take(symbol, told) if told else ()

    def _pass(self, symbol: str, ready: list[Held]) -> Iterable[Output]:
        """Events that are in order now go to the machine, each with its own stamp."""
        if len(ready) != 1:
            return (output for held in ready for output in self._pass(symbol, [held]))
        # Nearly always one, and nothing to say: then there is no time to lose.
        said = self._examined[symbol].take(ready[0].event, ready[0].received_ns)
        return self._take(symbol, said) if said else ()

    def _accuse(self, symbol: str) -> Iterator[Output]:
        """What could not be read was an event after all: its connection is not to be trusted."""
        accused = self._suspects.intersection(self.merge.lanes[symbol].reached)
        self._suspects -= accused
        for connection in sorted(accused):
            yield RenewConnection(connection, "it delivered garbage")

    def _rest(self, frame: RestFrame) -> Iterator[Output]:
        answer: DepthSnapshot | Unreadable
        try:
            answer = decode_depth(frame.payload, frame.symbol, frame.limit)
        except MalformedFrame as error:
            yield Malformed(None, str(error))
            answer = Unreadable()
        examined = self._examined[frame.symbol]
        yield from self._take(frame.symbol, examined.answered(answer, frame.received_ns))

    def _take(self, symbol: str, said: Iterable[Examined]) -> Iterator[Output]:
        """Pass on what one symbol says, and see to what concerns its connections."""
        synced = None
        for output in said:
            yield output
            if isinstance(output, Lost):
                yield from self._accuse(symbol)
            elif isinstance(output, Synced):
                synced = output
        if synced:
            yield from self._pass(symbol, self.merge.lanes[symbol].know(synced.update_id))
