"""One segment's tape, read from its first line to its last: what each line means for the books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from booktape.errors import DamagedTape
from booktape.verify.model.arbitration import ArrivedEvent, ModelArbiter
from booktape.verify.model.checkpoint import Standing, checkpoint_of, restore
from booktape.verify.model.checks import ModelCheck
from booktape.verify.model.cross_checks import CrossChecks
from booktape.verify.model.decode import Event, best_levels, depth_answer, stream_message
from booktape.verify.model.sync import Ledger, ModelSync
from booktape.verify.model.tape import Line
from booktape.verify.model.tape_time import (
    PAUSE_NS,
    SECOND_NS,
    ConnectionActivity,
    ModelUsualLag,
    tape_time,
)
from booktape.verify.model.timed_checks import TimedCrossChecks
from booktape.verify.model.timed_sync import TimedModelSync

_FORMATS: Final = (1, 2)
_PULSES_MAX: Final = 5
_AUDITS_MAX: Final = 2
_ONLY_IN: Final = {"hold-expired": 1, "tick": 2, "pulse": 2, "clock-offset": 2}
"""Kinds of lines that stand on tapes of one format only."""

_NEXT_SAYS: Final = frozenset({"stopped", "killed", "no_tape"})
"""Gaps between two recordings: the recording that ends them says so, not each that begins in one."""


@dataclass(frozen=True)
class NoteOnTape:
    """What a row of `notes` must say."""

    symbol: str | None
    stamp_ns: int
    kind: str
    detail: str


class ReplaySink(Ledger, Protocol):
    """Where all goes that must be stored."""

    def check(self, check: ModelCheck) -> None:
        """A comparison with a witness."""

    def note(self, note: NoteOnTape) -> None:
        """Something that happened and is no gap."""


@dataclass
class SegmentEdge:
    """How things stand where a segment begins or ends, by symbol and by connection.

    `symbols` are those that are recorded, where it ends.
    """

    symbols: tuple[str, ...] = ()
    books: dict[str, Standing] = field(default_factory=dict)
    connections: dict[int, tuple[str, ...]] = field(default_factory=dict)


class SegmentReplay:
    """`feed` it every line. Raises DamagedTape for a line that cannot stand where it stands.

    `format` is the tape's: 1 knows no time; on 2 what time decides is decided at its ticks.
    """

    def __init__(self, records: ReplaySink) -> None:
        self.start: Line | None = None
        self.format = 1
        self.reason: str | None = None
        self.begin = SegmentEdge()
        self.end = SegmentEdge()
        self.last_words: dict[str, Standing] = {}
        self.machines: dict[str, ModelSync] = {}
        self.symbols: tuple[str, ...] = ()
        self._records = records
        self._watches: dict[str, CrossChecks] = {}
        self._open: dict[int, tuple[str, ...]] = {}
        self._timed: dict[str, TimedCrossChecks] = {}
        self._lags = ModelUsualLag()
        self._habits = ConnectionActivity()
        self._bound_ns: int | None = None
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
            "clock-offset": self._clock_offset,
            "tick": self._tick,
            "pulse": self._pulse,
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
        if _ONLY_IN.get(kind, self.format) != self.format:
            raise DamagedTape(f"a line of kind {kind!r} on a tape of format {self.format}")
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
        self.format = line.whole("format") if "format" in line.fields else 1
        if self.format not in _FORMATS:
            raise DamagedTape(f"its format is {self.format}, and this version reads 1 and 2")
        self.symbols = line.texts("symbols")
        if line.whole("every") < 1:
            raise DamagedTape(f"its every is {line.whole('every')}")
        if self.format > 1:
            pulses, audits = line.number("pulse_s"), line.number("audit_s")
            bound_s = pulses * _PULSES_MAX or audits * _AUDITS_MAX
            self._bound_ns = int(bound_s * SECOND_NS) or None
        for symbol in self.symbols:
            self._know(symbol)

    def _know(self, symbol: str) -> ModelSync:
        machine = self._new_machine(symbol)
        self.machines[symbol] = machine
        if isinstance(machine, TimedModelSync):
            watch = TimedCrossChecks(machine, self._records.check, self._bound_ns)
            self._watches[symbol] = self._timed[symbol] = watch
        else:
            self._watches[symbol] = CrossChecks(machine, self._records.check)
        return machine

    def _new_machine(self, symbol: str) -> ModelSync:
        if self.start is None:
            raise DamagedTape("it has no start")
        every, arrivals = self.start.whole("every"), ModelArbiter(self._habits.silent)
        if self.format == 1:
            return ModelSync(symbol, every, self._records, arrivals)
        return TimedModelSync(symbol, every, self._records, arrivals, self._lags)

    def _checkpoint(self, line: Line) -> None:
        symbol = line.text("symbol")
        said = self._know(symbol) if self._beginning else self._new_machine(symbol)
        restore(said, line)
        words = self.begin.books if self._beginning else self.last_words
        if symbol in words or not (self._beginning or self.reason):
            raise DamagedTape(f"a checkpoint of {symbol} that should not be here")
        words[symbol] = checkpoint_of(said)

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
        self.end.books = {
            symbol: checkpoint_of(machine) for symbol, machine in self.machines.items()
        }

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
        self._habits.open(connection)
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
        self._habits.close(connection)
        for symbol in self._open.pop(connection, ()):
            self._watch(symbol).relayed()
            self._machine(symbol).disconnected(connection, alive_ns, reason)

    # ── what arrives ────────────────────────────────────────────────────────────────────────

    def _ws(self, line: Line) -> None:
        connection, stamp_ns = line.whole("connection"), line.whole("received_ns")
        self._habits.spoke(connection)
        said = stream_message(line.payload())
        machine = self.machines.get(said.symbol) if said else None
        if said is None or machine is None or connection not in machine.arrivals.reached:
            return
        if isinstance(said, Event):
            machine.came(connection, ArrivedEvent(stamp_ns, said))
        else:
            self._watches[said.symbol].told(said, connection, stamp_ns)

    def _rest(self, line: Line) -> None:
        answer = depth_answer(line.payload(), may_be_unopened=self.format > 1)
        limit = line.whole("limit")
        self._watch(line.text("symbol")).answered(answer, limit, line.whole("received_ns"))

    def _asked(self, line: Line) -> None:
        self._watch(line.text("symbol")).asked(line.whole("received_ns"))

    def _expired(self, line: Line) -> None:
        self._machine(line.text("symbol")).expired()

    def _status(self, line: Line) -> None:
        symbol, status = line.text("symbol"), line.text("status")
        stamp_ns, machine = line.whole("received_ns"), self._machine(symbol)
        if isinstance(machine, TimedModelSync):
            self._note_listed(machine, line, stamp_ns)
        else:
            self._records.note(NoteOnTape(symbol, stamp_ns, "status", status))
        machine.listed(status, stamp_ns)

    def _note_listed(self, machine: TimedModelSync, line: Line, stamp_ns: int) -> None:
        """What the list says for the first time, and what it says now otherwise. An empty text says nothing."""
        for kind in ("status", "tick_size", "lot_size"):
            text = line.text(kind)
            if text and text != getattr(machine, kind):
                self._records.note(NoteOnTape(machine.symbol, stamp_ns, kind, text))
                setattr(machine, kind, text)

    # ── time and our clock ──────────────────────────────────────────────────────────────────

    def _clock_step(self, line: Line) -> None:
        step_ns = line.whole("step_ns")
        self._records.note(
            NoteOnTape(None, line.whole("received_ns"), "clock_step", f"{step_ns / 1e9:.6f}")
        )
        self._lags.step()
        if step_ns <= -SECOND_NS:
            for watch in self._timed.values():
                watch.clock_set_back(step_ns)

    def _clock_offset(self, line: Line) -> None:
        ours, error = line.whole("offset_ns") / 1e6, line.whole("error_ns") / 1e6
        detail = f"{ours:+.1f} ms ± {error:.1f} ms"
        self._records.note(NoteOnTape(None, line.whole("received_ns"), "clock_offset", detail))

    def _tick(self, line: Line) -> None:
        stamp_ns, elapsed_ns = line.whole("received_ns"), line.whole("elapsed_ns")
        passed_ns = tape_time(elapsed_ns)
        if elapsed_ns >= PAUSE_NS:
            self._records.note(NoteOnTape(None, stamp_ns, "pause", f"{elapsed_ns / 1e9:.3f}"))
        for connection in self._habits.tick(passed_ns):
            for symbol in self._open[connection]:
                self._timed_of(symbol).not_waited_for()
        for symbol in self.symbols:
            self._timed[symbol].tick(passed_ns, stamp_ns)
        lags = [self._timed_of(symbol).lag_since_tick() for symbol in self.symbols]
        self._lags.tick(elapsed_ns, min((lag for lag in lags if lag is not None), default=None))

    def _pulse(self, line: Line) -> None:
        asked_ns, tops = line.whole("asked_ns"), line.fields.get("tops")
        if not isinstance(tops, dict):
            raise DamagedTape(f"its tops are no object: {tops!r}")
        for symbol, said in tops.items():
            best = best_levels(said)
            if best and symbol in self._timed:
                self._timed[symbol].pulsed(best, asked_ns)

    def _timed_of(self, symbol: str) -> TimedModelSync:
        return self._timed[symbol].timed

    # ── who is meant ────────────────────────────────────────────────────────────────────────

    def _machine(self, symbol: str) -> ModelSync:
        if symbol not in self.machines:
            raise DamagedTape(f"it speaks of {symbol}, which it does not record")
        return self.machines[symbol]

    def _watch(self, symbol: str) -> CrossChecks:
        self._machine(symbol)
        return self._watches[symbol]
