"""Replays the tape of one segment, line by line, and derives all that must be stored.

line ──kind──▶ ModelArbiter (connections) ──▶ ModelSync (book, rows, gaps) ──▶ CrossChecks ──▶ ReplaySink
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from booktape.errors import DamagedTape
from booktape.verify.model.arbitration import ArrivedEvent, ModelArbiter
from booktape.verify.model.checkpoint import CheckpointTexts, checkpoint_of, restore
from booktape.verify.model.checks import ModelCheck
from booktape.verify.model.cross_checks import CrossChecks
from booktape.verify.model.decode import (
    Event,
    Trade,
    best_levels,
    depth_answer,
    stream_message,
    trades_answer,
)
from booktape.verify.model.gap_reasons import BETWEEN_RECORDINGS
from booktape.verify.model.sync import BookSink, ModelSync
from booktape.verify.model.tape import Line
from booktape.verify.model.tape_time import (
    PAUSE_NS,
    SECOND_NS,
    ConnectionActivity,
    ModelUsualLag,
    tape_time,
)
from booktape.verify.model.trades import ModelTrades, TradeSink

_FORMATS: Final = (1, 2)
_PULSES_MAX: Final = 5
_AUDITS_MAX: Final = 2
_ONLY_IN: Final = {"hold-expired": 1, "tick": 2, "pulse": 2, "clock-offset": 2, "trades": 2}
"""Kinds of lines that may stand on tapes of one format only."""


@dataclass(frozen=True)
class NoteOnTape:
    """What a row of `notes` must say."""

    symbol: str | None
    stamp_ns: int
    kind: str
    detail: str


class ReplaySink(BookSink, TradeSink, Protocol):
    """Receives everything that must be stored."""

    def check(self, check: ModelCheck) -> None:
        """A comparison with a witness."""

    def note(self, note: NoteOnTape) -> None:
        """Something that happened and is no gap."""


@dataclass
class SegmentEdge:
    """The state at the beginning or the end of a segment: books by symbol, and symbols by connection.

    `symbols`, at the end: those that are recorded.
    """

    symbols: tuple[str, ...] = ()
    books: dict[str, CheckpointTexts] = field(default_factory=dict)
    connections: dict[int, tuple[str, ...]] = field(default_factory=dict)


class SegmentReplay:
    """`feed` it every line, then `finish`. Raises DamagedTape for a line that cannot be where it is.

    `format` is the tape's. Format 1 has no ticks; on format 2 all that time decides is decided at them.
    `has_trades`: trades were recorded, too. `is_beginning`: the next line may still belong to the beginning, which is
    its start, checkpoints, and the connections that were carried over.
    """

    def __init__(self, sink: ReplaySink) -> None:
        self.start: Line | None = None
        self.format = 1
        self.reason: str | None = None
        self.begin = SegmentEdge()
        self.end = SegmentEdge()
        self.last_checkpoints: dict[str, CheckpointTexts] = {}
        self.syncs: dict[str, ModelSync] = {}
        self.symbols: tuple[str, ...] = ()
        self._sink = sink
        self._checks: dict[str, CrossChecks] = {}
        self._connections: dict[int, tuple[str, ...]] = {}
        self._usual_lag = ModelUsualLag()
        self._activity = ConnectionActivity()
        self._bound_ns: int | None = None
        self.is_beginning = True
        self.has_trades = False

    def feed(self, line: Line) -> None:
        """Handle one line."""
        kind = line.kind
        if (self.start is None) != (kind == "start"):
            raise DamagedTape("a tape has one start, and it comes first")
        if _ONLY_IN.get(kind, self.format) != self.format:
            raise DamagedTape(f"a line of kind {kind!r} on a tape of format {self.format}")
        if self.reason is not None and (kind != "checkpoint" or self.reason == "rotated"):
            raise DamagedTape(f"a line of kind {kind!r} comes after the end")
        if self.is_beginning and kind not in {"start", "checkpoint"}:
            self._check_beginning(line)
        self._handle(kind, line)

    def _handle(self, kind: str, line: Line) -> None:  # noqa: C901, PLR0912 one case a kind of line
        match kind:
            case "ws":
                self._on_message(line)
            case "rest":
                self._on_depth_answer(line)
            case "trades":
                self._on_trades_answer(line)
            case "tick":
                self._on_tick(line)
            case "connected":
                self._on_connected(line)
            case "disconnected":
                lost = line.whole("connection"), line.whole("alive_ns"), line.text("reason")
                self._drop_connection(*lost)
            case "asked":
                self._checks_of(line.text("symbol")).on_request_sent(line.whole("received_ns"))
            case "pulse":
                self._on_pulse(line)
            case "status":
                self._on_listing(line)
            case "hold-expired":
                self._sync_of(line.text("symbol")).on_hold_expired()
            case "clock-step":
                self._on_clock_step(line)
            case "clock-offset":
                self._on_clock_offset(line)
            case "start":
                self._on_start(line)
            case "checkpoint":
                self._on_checkpoint(line)
            case "end":
                self._on_end(line)
            case _:
                raise DamagedTape(f"a line of kind {kind!r} is not known here")

    def finish(self) -> None:
        """No line is left. Raises DamagedTape when the end record is missing."""
        if self.reason is None:
            raise DamagedTape("it is truncated: its end record is missing")

    # ── beginning and end ───────────────────────────────────────────────────────────────────

    def _on_start(self, line: Line) -> None:
        self.start = line
        self.format = line.whole("format") if "format" in line.fields else 1
        if self.format not in _FORMATS:
            raise DamagedTape(f"its format is {self.format}, but this version reads 1 and 2")
        self.symbols = line.texts("symbols")
        self.has_trades = line.fields.get("trades", False) is True
        if line.whole("every") < 1:
            raise DamagedTape(f"its every is {line.whole('every')}")
        if self.format > 1:
            pulses, audits = line.number("pulse_s"), line.number("audit_s")
            bound_s = pulses * _PULSES_MAX or audits * _AUDITS_MAX
            self._bound_ns = int(bound_s * SECOND_NS) or None
        for symbol in self.symbols:
            self._add_symbol(symbol)

    def _add_symbol(self, symbol: str) -> ModelSync:
        sync = self.syncs[symbol] = self._new_sync(symbol)
        self._checks[symbol] = CrossChecks(sync, self._sink.check, self._bound_ns)
        return sync

    def _new_sync(self, symbol: str) -> ModelSync:
        if self.start is None:
            raise DamagedTape("it has no start")
        every, arbiter = self.start.whole("every"), ModelArbiter(self._activity.silent)
        timed = self.format > 1
        sync = ModelSync(symbol, every, self._sink, arbiter, self._usual_lag, timed=timed)
        sync.trades = ModelTrades(symbol, self._sink) if timed else None
        return sync

    def _on_checkpoint(self, line: Line) -> None:
        symbol = line.text("symbol")
        sync = self._add_symbol(symbol) if self.is_beginning else self._new_sync(symbol)
        restore(sync, line)
        books = self.begin.books if self.is_beginning else self.last_checkpoints
        if symbol in books or not (self.is_beginning or self.reason):
            raise DamagedTape(f"a checkpoint of {symbol} that should not be here")
        books[symbol] = checkpoint_of(sync)

    def _check_beginning(self, line: Line) -> None:
        """Lines after the checkpoints with the time of the start name the connections that were carried over."""
        started_ns = self.start.whole("received_ns") if self.start else None
        same_time = line.fields.get("received_ns") == started_ns
        if same_time and line.kind == "connected":
            self.begin.connections[line.whole("connection")] = line.texts("symbols")
        else:
            self.is_beginning = False

    def _on_end(self, line: Line) -> None:
        self.reason = line.text("reason")
        if self.reason not in {"rotated", "stopped", "killed"}:
            raise DamagedTape(f"its reason to end is not known: {self.reason!r}")
        for checks in self._checks.values():
            checks.close()
        if self.reason != "rotated":
            self._stop(line.whole("received_ns"), self.reason)
        self.end.symbols, self.end.connections = self.symbols, dict(self._connections)
        self.end.books = {symbol: checkpoint_of(sync) for symbol, sync in self.syncs.items()}

    def _stop(self, now_ns: int, reason: str) -> None:
        """Store the gaps that are open; then all connections are lost."""
        for sync in self.syncs.values():
            if self.has_trades and sync.trades:
                sync.trades.on_end(now_ns, reason)
        for symbol in self.symbols:
            gap = self.syncs[symbol].gap
            if gap and gap.reason not in BETWEEN_RECORDINGS:
                self._sink.gap(symbol, gap)
        for connection in list(self._connections):
            self._drop_connection(connection, now_ns, reason)

    # ── connections ─────────────────────────────────────────────────────────────────────────

    def _on_connected(self, line: Line) -> None:
        connection, symbols = line.whole("connection"), line.texts("symbols")
        self._connections[connection] = symbols
        self._activity.add(connection)
        # A symbol may have been listed after the recording had begun.
        self.symbols += tuple(symbol for symbol in symbols if symbol not in self.symbols)
        for symbol in symbols:
            if symbol not in self.syncs:
                self._add_symbol(symbol)
            self._checks_of(symbol).on_connections_changed()
            self._sync_of(symbol).on_connected(connection)

    def _drop_connection(self, connection: int, alive_ns: int, reason: str) -> None:
        self._activity.remove(connection)
        for symbol in self._connections.pop(connection, ()):
            self._checks_of(symbol).on_connections_changed()
            self._sync_of(symbol).on_disconnected(connection, alive_ns, reason)

    # ── what arrives ────────────────────────────────────────────────────────────────────────

    def _on_message(self, line: Line) -> None:
        connection, stamp_ns = line.whole("connection"), line.whole("received_ns")
        self._activity.on_message(connection)
        message = stream_message(line.payload())
        sync = self.syncs.get(message.symbol) if message else None
        if message is None or sync is None or connection not in sync.arbiter.last_by_connection:
            return
        if isinstance(message, Event):
            sync.on_event(connection, ArrivedEvent(stamp_ns, message))
        elif isinstance(message, Trade):
            if self.has_trades and sync.trades:
                sync.trades.on_trade(message, stamp_ns)
        else:
            self._checks[message.symbol].on_witness(message, connection, stamp_ns)

    def _on_depth_answer(self, line: Line) -> None:
        answer = depth_answer(line.payload(), may_be_unopened=self.format > 1)
        limit = line.whole("limit")
        self._checks_of(line.text("symbol")).on_answer(answer, limit, line.whole("received_ns"))

    def _on_trades_answer(self, line: Line) -> None:
        symbol, from_id = line.text("symbol"), line.whole("from_id")
        trades = self._sync_of(symbol).trades
        if self.has_trades and trades:
            answer = trades_answer(line.payload(), symbol, from_id)
            trades.on_answer(from_id, answer, line.whole("received_ns"))

    def _on_listing(self, line: Line) -> None:
        symbol, status = line.text("symbol"), line.text("status")
        stamp_ns, sync = line.whole("received_ns"), self._sync_of(symbol)
        # Since format 2 there is a note for each value that is new or has changed. An empty text is none.
        for kind in ("status", "tick_size", "lot_size") if sync.timed else ():
            text = line.text(kind)
            if text and text != getattr(sync, kind):
                self._sink.note(NoteOnTape(symbol, stamp_ns, kind, text))
                setattr(sync, kind, text)
        if not sync.timed:
            self._sink.note(NoteOnTape(symbol, stamp_ns, "status", status))
        sync.on_listing(status, stamp_ns)

    # ── time and our clock ──────────────────────────────────────────────────────────────────

    def _on_clock_step(self, line: Line) -> None:
        stamp_ns, step_ns = line.whole("received_ns"), line.whole("step_ns")
        self._sink.note(NoteOnTape(None, stamp_ns, "clock_step", f"{step_ns / 1e9:.6f}"))
        self._usual_lag.step_clock()
        if self.format > 1 and step_ns <= -SECOND_NS:
            for checks in self._checks.values():
                checks.step_clock(step_ns)

    def _on_clock_offset(self, line: Line) -> None:
        ours, error = line.whole("offset_ns") / 1e6, line.whole("error_ns") / 1e6
        detail = f"{ours:+.1f} ms ± {error:.1f} ms"
        self._sink.note(NoteOnTape(None, line.whole("received_ns"), "clock_offset", detail))

    def _on_tick(self, line: Line) -> None:
        stamp_ns, elapsed_ns = line.whole("received_ns"), line.whole("elapsed_ns")
        passed_ns = tape_time(elapsed_ns)
        if elapsed_ns >= PAUSE_NS:
            self._sink.note(NoteOnTape(None, stamp_ns, "pause", f"{elapsed_ns / 1e9:.3f}"))
        for connection in self._activity.on_tick(passed_ns):
            for symbol in self._connections[connection]:
                self.syncs[symbol].on_connection_silent()
        for symbol in self.symbols:
            self._checks[symbol].on_tick(passed_ns, stamp_ns)
            trades = self.syncs[symbol].trades
            if self.has_trades and trades:
                trades.on_tick(stamp_ns)
        lags = [self.syncs[symbol].lag_since_tick() for symbol in self.symbols]
        self._usual_lag.on_tick(
            elapsed_ns, min((lag for lag in lags if lag is not None), default=None)
        )

    def _on_pulse(self, line: Line) -> None:
        asked_ns = line.whole("asked_ns")
        for symbol, texts in line.part("tops").fields.items():
            best = best_levels(texts)
            if best and symbol in self._checks:
                self._checks[symbol].on_pulse(best, asked_ns)

    # ── by symbol ───────────────────────────────────────────────────────────────────────────

    def _sync_of(self, symbol: str) -> ModelSync:
        if symbol not in self.syncs:
            raise DamagedTape(f"it names {symbol}, which it does not record")
        return self.syncs[symbol]

    def _checks_of(self, symbol: str) -> CrossChecks:
        self._sync_of(symbol)
        return self._checks[symbol]
