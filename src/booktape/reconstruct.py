"""THE pure function: frames in, rows and requests out.

    frames ──decode──▶ events ──merge──▶ one ordered stream ──sync──▶ book ──every N──▶ rows, gaps

The recorder runs it on live frames and recovery on the tape of a recorder that was killed; both
get the same rows, since nothing here looks at a clock, a file or a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from booktape.core import cadence, checkpoint
from booktape.core.events import (
    Applied,
    BookRow,
    DepthEvent,
    FetchSnapshot,
    Gap,
    Held,
    Lost,
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
    Checkpoint,
    Connected,
    Disconnected,
    Frame,
    HoldExpired,
    RestFrame,
    SegmentEnd,
    SegmentStart,
    StreamFrame,
)
from booktape.core.merge import Lane, Merge
from booktape.core.sync import Input, SymbolSync
from booktape.errors import MalformedFrame
from booktape.wire.binance import decode_depth, decode_event

_BETWEEN: Final = frozenset({STOPPED, KILLED, NO_TAPE})
"""Reasons of gaps between two recordings."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that could not be read. `connection` is None for a REST answer."""

    connection: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class RenewConnection:
    """A request for I/O: open another connection in place of this one, then close it."""

    connection: int
    why: str


Output: TypeAlias = (
    BookRow
    | Gap
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
        self.every = 1
        self.depth = 0
        self.symbols: tuple[str, ...] = ()
        self.syncs: dict[str, SymbolSync] = {}
        self.merge = Merge()
        self._suspects: set[int] = set()
        self._feeders: dict[type, Callable[..., Iterator[Output]]] = {
            StreamFrame: self._stream,
            RestFrame: self._rest,
            Connected: self._connected,
            Disconnected: self._disconnected,
            HoldExpired: self._expired,
            SegmentStart: self._start,
            Checkpoint: self._restore,
            SegmentEnd: self._end,
        }

    def feed(self, frame: Frame) -> Iterator[Output]:
        """What follows from one frame, in order. The iterator must be exhausted."""
        return self._feeders[type(frame)](frame)

    def checkpoints(self, received_ns: int) -> list[Checkpoint]:
        """All that the next segment needs to stand alone, one entry for every symbol known."""
        lanes = self.merge.lanes
        return [
            checkpoint.save(sync, lanes.get(symbol, Lane()), received_ns)
            for symbol, sync in self.syncs.items()
        ]

    def open_gaps(self) -> list[Gap]:
        """The intervals that have begun and not ended, of the symbols that are recorded."""
        gaps = (self.syncs[symbol].gap for symbol in self.symbols)
        return [gap for gap in gaps if gap]

    def _start(self, start: SegmentStart) -> Iterator[Output]:
        self.every, self.depth, self.symbols = start.every, start.depth, start.symbols
        for symbol in start.symbols:
            self.syncs.setdefault(symbol, SymbolSync(symbol))
        yield from ()

    def _restore(self, saved: Checkpoint) -> Iterator[Output]:
        self.syncs[saved.symbol], lane = checkpoint.restore(saved)
        self.merge.lanes[saved.symbol] = lane
        yield from ()

    def _end(self, end: SegmentEnd) -> Iterator[Output]:
        """A recording that ends loses every connection; what was lost before is said as open."""
        if end.reason == ROTATED:
            return
        # The time between two recordings is said by the one that ends it, not once by each.
        yield from (gap for gap in self.open_gaps() if gap.reason not in _BETWEEN)
        for connection in list(self.merge.open):
            gone = Disconnected(end.received_ns, connection, end.received_ns, end.reason)
            yield from self._disconnected(gone)

    def _connected(self, note: Connected) -> Iterator[Output]:
        self.merge.connected(note.connection, note.symbols)
        for symbol in note.symbols:
            yield from self._take(self.syncs[symbol], note, note.received_ns)

    def _disconnected(self, note: Disconnected) -> Iterator[Output]:
        self._suspects.discard(note.connection)
        for symbol in self.merge.lost(note.connection):
            lane, sync = self.merge.lanes[symbol], self.syncs[symbol]
            yield from self._pass(sync, lane.leave(note.connection))
            if not lane.reached:
                yield from self._take(sync, note, note.received_ns)

    def _expired(self, note: HoldExpired) -> Iterator[Output]:
        ready = self.merge.lanes[note.symbol].expire()
        yield from self._pass(self.syncs[note.symbol], ready)

    def _stream(self, frame: StreamFrame) -> Iterator[Output]:
        try:
            event = decode_event(frame.payload)
        except MalformedFrame as error:
            self._suspects.add(frame.connection)
            yield Malformed(frame.connection, str(error))
            return
        if isinstance(event, DepthEvent):
            yield from self._event(frame, event)
            return
        yield event
        if isinstance(event, ServerShutdown):
            yield RenewConnection(frame.connection, "the exchange announced a shutdown")

    def _event(self, frame: StreamFrame, event: DepthEvent) -> Iterator[Output]:
        lane = self.merge.lanes.get(event.symbol)
        if lane is None or frame.connection not in lane.reached:
            yield UnknownEvent(f"depthUpdate of {event.symbol}, which nobody asked for")
            return
        ready = lane.take(frame.connection, event, frame.received_ns)
        yield from self._pass(self.syncs[event.symbol], ready)

    def _pass(self, sync: SymbolSync, ready: Iterable[Held]) -> Iterator[Output]:
        """Events that are in order now go to the machine, each with its own stamp."""
        for held in ready:
            for output in self._take(sync, held.event, held.received_ns):
                yield output
                if isinstance(output, Lost):
                    yield from self._accuse(sync.symbol)

    def _accuse(self, symbol: str) -> Iterator[Output]:
        """What could not be read was an event after all: its connection is not to be trusted."""
        accused = self._suspects.intersection(self.merge.lanes[symbol].reached)
        self._suspects -= accused
        for connection in sorted(accused):
            yield RenewConnection(connection, "it delivered garbage")

    def _rest(self, frame: RestFrame) -> Iterator[Output]:
        answer: Input
        try:
            answer = decode_depth(frame.payload, frame.symbol, frame.limit)
        except MalformedFrame as error:
            yield Malformed(None, str(error))
            answer = Unreadable()
        yield from self._take(self.syncs[frame.symbol], answer, frame.received_ns)

    def _take(self, sync: SymbolSync, item: Input, received_ns: int) -> Iterator[Output]:
        for output in sync.take(item, received_ns):
            if isinstance(output, Applied):
                if cadence.is_due(sync.updates, self.every):
                    yield sync.row(received_ns)
            elif isinstance(output, Synced):
                yield from self._synced(sync, output, received_ns)
            else:
                yield output

    def _synced(self, sync: SymbolSync, synced: Synced, received_ns: int) -> Iterator[Output]:
        if synced.closed:
            yield synced.closed
        yield synced
        yield sync.row(received_ns)
        yield from self._pass(sync, synced.held)
        yield from self._pass(sync, self.merge.lanes[sync.symbol].know(synced.update_id))
