"""One segment's tape, read from its first line to its last: what each line means for the books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from booktape.errors import DamagedTape
from booktape.verify.arrivals import Arrived
from booktape.verify.checks import Check
from booktape.verify.machine import Ledger, Machine
from booktape.verify.payload import Event, depth_answer, stream_message
from booktape.verify.standing import Standing, restore, standing
from booktape.verify.tape import Line
from booktape.verify.watch import Watch

_NEXT_SAYS: Final = frozenset({"stopped", "killed", "no_tape"})
"""Gaps between two recordings: the recording that ends them says so, not each that begins in one."""


@dataclass(frozen=True)
class Note:
    """What a row of `notes` must say."""

    symbol: str | None
    stamp_ns: int
    kind: str
    detail: str


class Records(Ledger, Protocol):
    """Where all goes that must be stored."""

    def check(self, check: Check) -> None:
        """A comparison with a witness."""

    def note(self, note: Note) -> None:
        """Something that happened and is no gap."""


@dataclass
class Edge:
    """How things stand where a segment begins or ends, by symbol and by connection.

    `symbols` are those that are recorded, where it ends.
    """

    symbols: tuple[str, ...] = ()
    books: dict[str, Standing] = field(default_factory=dict)
    connections: dict[int, tuple[str, ...]] = field(default_factory=dict)


class Reading:
    """`feed` it every line. Raises DamagedTape for a line that cannot stand where it stands."""

    def __init__(self, records: Records) -> None:
        self.start: Line | None = None
        self.reason: str | None = None
        self.begin = Edge()
        self.end = Edge()
        self.last_words: dict[str, Standing] = {}
        self.machines: dict[str, Machine] = {}
        self.symbols: tuple[str, ...] = ()
        self._records = records
        self._watches: dict[str, Watch] = {}
        self._open: dict[int, tuple[str, ...]] = {}
        self._beginning = True
        self._feeders: dict[str, Callable[[Line], None]] = {
            "ws": self._ws,
            "rest": self._rest,
            "connected": self._connected,
            "disconnected": self._disconnected,
            "hold-expired": self._expired,
            "asked": self._asked,
            "status": self._status,
            "clock-step": self._clock_step,
            "start": self._start,
            "checkpoint": self._checkpoint,
            "end": self._end,
        }

    def feed(self, line: Line) -> None:
        """Follow one line."""
        kind = line.kind
        if kind not in self._feeders:
            raise DamagedTape(f"a line of kind {kind!r} is not known here")
        if (self.start is None) != (kind == "start"):
            raise DamagedTape("a tape has one start, and it comes first")
        if self.reason is not None and (kind != "checkpoint" or self.reason == "rotated"):
            raise DamagedTape(f"a line of kind {kind!r} comes after the end")
        if self._beginning and kind not in {"start", "checkpoint"}:
            self._leave_beginning(line)
        self._feeders[kind](line)

    def finish(self) -> None:
        """No line is left. Raises DamagedTape when the tape does not say how it ended."""
        if self.reason is None:
            raise DamagedTape("breaks off: it does not say how the recording ended")

    # ── beginning and end ───────────────────────────────────────────────────────────────────

    def _start(self, line: Line) -> None:
        self.start = line
        self.symbols = line.texts("symbols")
        if line.whole("every") < 1:
            raise DamagedTape(f"its every is {line.whole('every')}")
        for symbol in self.symbols:
            self._know(symbol)

    def _know(self, symbol: str) -> Machine:
        if self.start is None:
            raise DamagedTape("it has no start")
        machine = Machine(symbol, self.start.whole("every"), self._records)
        self.machines[symbol] = machine
        self._watches[symbol] = Watch(machine, self._records.check)
        return machine

    def _checkpoint(self, line: Line) -> None:
        symbol = line.text("symbol")
        said = self._know(symbol) if self._beginning else Machine(symbol, 1, self._records)
        restore(said, line)
        words = self.begin.books if self._beginning else self.last_words
        if symbol in words or not (self._beginning or self.reason):
            raise DamagedTape(f"a checkpoint of {symbol} that should not be here")
        words[symbol] = standing(said)

    def _leave_beginning(self, line: Line) -> None:
        """After the checkpoints a segment says which connections it took over, at the same time."""
        start = self.start
        same_time = start is not None and line.fields.get("received_ns") == start.whole(
            "received_ns"
        )
        if same_time and line.kind == "connected":
            self.begin.connections[line.whole("connection")] = line.texts("symbols")
        else:
            self._beginning = False

    def _end(self, line: Line) -> None:
        self.reason = line.text("reason")
        if self.reason not in {"rotated", "stopped", "killed"}:
            raise DamagedTape(f"it ended for a reason that is not known: {self.reason!r}")
        for watch in self._watches.values():
            watch.close()
        if self.reason != "rotated":
            self._stop(line.whole("received_ns"), self.reason)
        self.end.symbols, self.end.connections = self.symbols, dict(self._open)
        self.end.books = {symbol: standing(machine) for symbol, machine in self.machines.items()}

    def _stop(self, now_ns: int, reason: str) -> None:
        """What is lost already is said to be open; then all connections are lost."""
        for symbol in self.symbols:
            gap = self.machines[symbol].gap
            if gap and gap.reason not in _NEXT_SAYS:
                self._records.gap(symbol, gap)
        for connection in list(self._open):
            self._leave(connection, now_ns, reason)

    # ── connections ─────────────────────────────────────────────────────────────────────────

    def _connected(self, line: Line) -> None:
        connection, symbols = line.whole("connection"), line.texts("symbols")
        self._open[connection] = symbols
        # Some may have been listed after the recording had begun.
        self.symbols += tuple(symbol for symbol in symbols if symbol not in self.symbols)
        for symbol in symbols:
            if symbol not in self.machines:
                self._know(symbol)
            self._watch(symbol).relayed()
            self._machine(symbol).connected(connection)

    def _disconnected(self, line: Line) -> None:
        self._leave(line.whole("connection"), line.whole("alive_ns"), line.text("reason"))

    def _leave(self, connection: int, alive_ns: int, reason: str) -> None:
        for symbol in self._open.pop(connection, ()):
            self._watch(symbol).relayed()
            self._machine(symbol).disconnected(connection, alive_ns, reason)

    # ── what arrives ────────────────────────────────────────────────────────────────────────

    def _ws(self, line: Line) -> None:
        connection, stamp_ns = line.whole("connection"), line.whole("received_ns")
        said = stream_message(line.payload())
        machine = self.machines.get(said.symbol) if said else None
        if said is None or machine is None or connection not in machine.arrivals.reached:
            return
        if isinstance(said, Event):
            machine.came(connection, Arrived(stamp_ns, said))
        else:
            self._watches[said.symbol].told(said, connection, stamp_ns)

    def _rest(self, line: Line) -> None:
        answer, limit = depth_answer(line.payload()), line.whole("limit")
        self._watch(line.text("symbol")).answered(answer, limit, line.whole("received_ns"))

    def _asked(self, line: Line) -> None:
        self._watch(line.text("symbol")).asked()

    def _expired(self, line: Line) -> None:
        self._machine(line.text("symbol")).expired()

    def _status(self, line: Line) -> None:
        symbol, status = line.text("symbol"), line.text("status")
        stamp_ns, machine = line.whole("received_ns"), self._machine(symbol)
        machine.status = status
        self._records.note(Note(symbol, stamp_ns, "status", status))
        if status == "DELISTED":
            machine.delisted(stamp_ns)

    def _clock_step(self, line: Line) -> None:
        seconds = f"{line.whole('step_ns') / 1e9:.6f}"
        self._records.note(Note(None, line.whole("received_ns"), "clock_step", seconds))

    def _machine(self, symbol: str) -> Machine:
        if symbol not in self.machines:
            raise DamagedTape(f"it speaks of {symbol}, which it does not record")
        return self.machines[symbol]

    def _watch(self, symbol: str) -> Watch:
        self._machine(symbol)
        return self._watches[symbol]
