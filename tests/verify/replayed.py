"""Feeds a replay lines made by hand, and collects what must be stored."""

from __future__ import annotations

import json
from typing import Any

from booktape.verify.compare_tables import check_row, gap_row
from booktape.verify.model.checks import ModelCheck
from booktape.verify.model.decode import Trade
from booktape.verify.model.replay import NoteOnTape, SegmentReplay
from booktape.verify.model.sync import ModelSync, OpenGap
from booktape.verify.model.tape import Line
from booktape.verify.model.trades import Missing

B = "B"


class ReplayedTape:
    """Everything in the order in which it must be stored, rows as (epoch, updates, id, stamp)."""

    def __init__(self, every: int = 1, *symbols: str) -> None:
        self.all: list[tuple[Any, ...]] = []
        self.reading = SegmentReplay(self)
        self.say("start", 0, every=every, symbols=list(symbols or (B,)))

    def row(self, sync: ModelSync, stamp_ns: int) -> None:
        self.all.append(("row", sync.epoch, sync.updates, sync.update_id, stamp_ns))

    def gap(
        self, symbol: str, gap: OpenGap, end_ns: int | None = None, next_id: int | None = None
    ) -> None:
        row = gap_row(symbol, gap, None if end_ns is None else end_ns * 1_000, next_id)
        self.all.append(("gap", row[1], gap.start_ns, *row[3:]))

    def check(self, check: ModelCheck) -> None:
        self.all.append(("check", *check_row(check._replace(stamp_ns=check.stamp_ns * 1_000))[1:]))

    def note(self, note: NoteOnTape) -> None:
        self.all.append(("note", note.symbol, note.kind, note.detail))

    def trade(self, trade: Trade, stamp_ns: int, *, filled: bool) -> None:
        self.all.append(("trade", trade.id, stamp_ns, filled))

    def trade_gap(self, symbol: str, missing: Missing, stamp_ns: int, reason: str) -> None:
        assert symbol == B
        self.all.append(("trade gap", missing.first, missing.last, stamp_ns, reason))

    def say(self, kind: str, at: int, **fields: Any) -> None:
        line = {"k": kind, "received_ns": at, **fields}
        self.reading.feed(Line.read(json.dumps(line, separators=(",", ":")).encode() + b"\n"))

    @property
    def sync(self) -> ModelSync:
        return self.reading.syncs[B]

    # ── words ───────────────────────────────────────────────────────────────────────────────

    def connected(self, at: int, connection: int = 1) -> ReplayedTape:
        self.say("connected", at, connection=connection, symbols=[B])
        return self

    def gone(self, at: int, connection: int = 1, alive: int | None = None) -> ReplayedTape:
        alive_ns = at if alive is None else alive
        self.say(
            "disconnected", at, connection=connection, alive_ns=alive_ns, reason="disconnected"
        )
        return self

    def event(
        self,
        at: int,
        first: int,
        last: int,
        bids: dict[str, str] | None = None,
        connection: int = 1,
    ) -> ReplayedTape:
        pairs = list((bids or {}).items())
        message = {
            "e": "depthUpdate",
            "E": last,
            "s": B,
            "U": first,
            "u": last,
            "b": pairs,
            "a": [],
        }
        self.say("ws", at, connection=connection, m=message)
        return self

    def answer(self, at: int, last: int, bids: dict[str, str], limit: int = 5) -> ReplayedTape:
        message = {"lastUpdateId": last, "bids": list(bids.items()), "asks": [["101", "1"]]}
        self.say("rest", at, symbol=B, limit=limit, m=message)
        return self

    def top(self, at: int, last: int, bids: dict[str, str]) -> ReplayedTape:
        message = {"lastUpdateId": last, "bids": list(bids.items()), "asks": [["101", "1"]]}
        self.say("ws", at, connection=1, m={"stream": "b@depth20@100ms", "data": message})
        return self

    def ticker(self, at: int, last: int, bid: str) -> ReplayedTape:
        message = {"u": last, "s": B, "b": bid, "B": "1", "a": "101", "A": "1"}
        self.say("ws", at, connection=1, m={"stream": "b@bookTicker", "data": message})
        return self

    def asked(self, at: int) -> ReplayedTape:
        self.say("asked", at, symbol=B, limit=5)
        return self

    def status(self, at: int, status: str) -> ReplayedTape:
        self.say("status", at, symbol=B, status=status)
        return self

    def end(self, at: int, reason: str = "stopped") -> ReplayedTape:
        self.say("end", at, reason=reason)
        return self

    def since(self) -> list[tuple[Any, ...]]:
        """Everything that came since the last call."""
        found, self.all = self.all, []
        return found


def known(every: int = 1) -> ReplayedTape:
    """Live at id 10 since 2, one bid of price 100."""
    replayed = ReplayedTape(every).connected(1).answer(2, 10, {"100": "1"})
    replayed.since()
    return replayed
