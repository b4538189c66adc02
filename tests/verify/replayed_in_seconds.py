"""Feeds a replay of format 2 lines made by hand, with times in seconds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from booktape.verify.compare_tables import check_row, gap_row
from booktape.verify.model.checks import ModelCheck
from booktape.verify.model.replay import NoteOnTape
from booktape.verify.model.sync import ModelSync, OpenGap
from verify.replayed import B, ReplayedTape

SECOND = 10**9


def seconds(at_ns: int | None) -> float | None:
    return None if at_ns is None else at_ns / SECOND


def ns(at: float) -> int:
    return int(Decimal(str(at)) * SECOND)


class TimedTape(ReplayedTape):
    """Everything in the order in which it must be stored, every time in seconds.

    Rows are (epoch, updates, id, time), gaps (epoch, start, end, last id, next id, missed, reason).
    An event's `E` is its stamp, unless another one is given.
    """

    def __init__(
        self, every: int = 1, *symbols: str, pulse: float = 30, audit: float = 900
    ) -> None:
        self.pulse_s, self.audit_s = pulse, audit
        super().__init__(every, *symbols)

    def say(self, kind: str, at: float, **fields: Any) -> None:
        if kind == "start":
            fields |= {"format": 2, "pulse_s": self.pulse_s, "audit_s": self.audit_s}
        super().say(kind, ns(at), **fields)

    def row(self, sync: ModelSync, stamp_ns: int) -> None:
        row = (sync.epoch, sync.updates, sync.update_id, seconds(stamp_ns))
        self.all.append(("row", *row))

    def gap(
        self, symbol: str, gap: OpenGap, end_ns: int | None = None, next_id: int | None = None
    ) -> None:
        row = gap_row(symbol, gap, end_ns, next_id)
        self.all.append(("gap", row[1], seconds(gap.start_ns), seconds(end_ns), *row[4:]))

    def check(self, check: ModelCheck) -> None:
        self.all.append(("check", seconds(check.stamp_ns), *check_row(check)[2:]))

    def note(self, note: NoteOnTape) -> None:
        self.all.append(("note", seconds(note.stamp_ns), note.symbol, note.kind, note.detail))

    # ── words ───────────────────────────────────────────────────────────────────────────────

    def tick(self, at: float, elapsed: float = 1) -> TimedTape:
        self.say("tick", at, elapsed_ns=ns(elapsed))
        return self

    def ticks(self, first: int, last: int) -> TimedTape:
        """One a second, both ends included."""
        for at in range(first, last + 1):
            self.tick(at)
        return self

    def came(  # noqa: PLR0913 - as many as it has fields
        self,
        at: float,
        first: int,
        last: int,
        *,
        E: float | None = None,  # noqa: N803 - the exchange's name
        bids: dict[str, str] | None = None,
        connection: int = 1,
    ) -> TimedTape:
        """An event."""
        time = int(Decimal(str(at if E is None else E)) * 1_000)
        pairs = list((bids or {}).items())
        message = {
            "e": "depthUpdate",
            "E": time,
            "s": B,
            "U": first,
            "u": last,
            "b": pairs,
            "a": [],
        }
        self.say("ws", at, connection=connection, m=message)
        return self

    def snapshot(
        self, at: float, last: int, bids: dict[str, str] | None = None, limit: int = 5
    ) -> TimedTape:
        self.answer(at, last, {"100": "1"} if bids is None else bids, limit)  # type: ignore[arg-type]
        return self

    def unopened(self, at: float) -> TimedTape:
        message = {"lastUpdateId": -1, "bids": [], "asks": []}
        self.say("rest", at, symbol=B, limit=5, m=message)
        return self

    def up(self, at: float, connection: int = 1) -> TimedTape:
        self.say("connected", at, connection=connection, symbols=[B])
        return self

    def down(self, at: float, connection: int = 1) -> TimedTape:
        """The time of its end is its last sign of life, which proves nothing."""
        self.say("disconnected", at, connection=connection, alive_ns=ns(at), reason="disconnected")
        return self

    def top20(
        self, at: float, last: int, bids: dict[str, str] | None = None, connection: int = 1
    ) -> TimedTape:
        """Of `depth20`."""
        pairs = list(({"100": "1"} if bids is None else bids).items())
        message = {"lastUpdateId": last, "bids": pairs, "asks": [["101", "1"]]}
        self.say("ws", at, connection=connection, m={"stream": "b@depth20@100ms", "data": message})
        return self

    def best(self, at: float, last: int, bid: str = "100", connection: int = 1) -> TimedTape:
        """Of `bookTicker`."""
        message = {"u": last, "s": B, "b": bid, "B": "1", "a": "101", "A": "1"}
        self.say("ws", at, connection=connection, m={"stream": "b@bookTicker", "data": message})
        return self

    def ask(self, at: float) -> TimedTape:
        """A request for a snapshot is sent."""
        self.say("asked", at, symbol=B, limit=5)
        return self

    def pulse(self, at: float, asked: float, *best: str) -> TimedTape:
        tops = {B: list(best or ("100", "1", "101", "1"))}
        self.say("pulse", at, asked_ns=ns(asked), tops=tops)
        return self

    def listed(self, at: float, status: str, tick: str = "", lot: str = "") -> TimedTape:
        self.say("status", at, symbol=B, status=status, tick_size=tick, lot_size=lot)
        return self

    def clock(self, at: float, step: float) -> TimedTape:
        """Our clock was set."""
        self.say("clock-step", at, step_ns=ns(step))
        return self

    @property
    def lost(self) -> tuple[float | None, str] | None:
        """The start of the open gap, and its reason."""
        gap = self.sync.gap
        return None if gap is None else (seconds(gap.start_ns), gap.reason)


def live(**settings: Any) -> TimedTape:
    """Live at id 10 since 2 s, one bid of price 100; one connection."""
    replayed = TimedTape(**settings).up(1).snapshot(2, 10)
    replayed.since()
    return replayed


def live_on_two(**settings: Any) -> TimedTape:
    """The same with a second connection."""
    replayed = live(**settings).up(2, 2)
    replayed.since()
    return replayed
