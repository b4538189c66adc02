"""The trades of one symbol, each of them once, and the ids of those that are missing.

**What the exchange sends.** Each trade of a symbol has an id, one higher than that of the previous trade. The
exchange's documentation does not promise this, but it held for 2,889 of 2,889 trades of a real recording. So a missing
trade is known by its id.

**Which trades are new.** A trade is new if its id is higher than all before, or if its id is missing. Any other trade
is a copy and is dropped: two connections deliver each trade twice. No trade waits for another, so a trade that only one
connection lost arrives late, and trades are stored in the order in which they arrived.

**Holes.** A trade that does not directly follow the last one opens a hole: the ids between the two. It also does so
after a lost connection and after a restart, because a checkpoint holds the last id. The oldest hole is requested from
the exchange `ASK_AFTER_NS` after it opened; by then another connection has delivered what only one had lost.

**Trades that stay missing** are declared in a `TradeGap`, which is final: one that still arrives counts as a copy. A
hole is declared when an answer has later trades but not these, when it has been open for `OPEN_MAX_NS`, when it is
larger than `HOLE_IDS_MAX`, when `HOLES_MAX` newer ones are open, and when the recording ends.

**When ids start over.** A copy has the time of its trade. So a trade with an old id, but a time more than a second
later than that of the newest trade, is not a copy; a second one that directly follows it proves that ids start over.

Known weakness: a hole is found by the trade after it, so trades before the first message and after the last one are not
known to be missing. After our clock is set back, a hole stays open for longer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Final, TypeAlias

ASK_AFTER_NS: Final = 3 * 10**9
"""How long the other connections have to fill a hole."""

ASK_AGAIN_NS: Final = 30 * 10**9
"""The pause after an answer that filled nothing: the exchange's database may lag behind its streams."""

OPEN_MAX_NS: Final = 3_600 * 10**9
HOLE_IDS_MAX: Final = 1_000_000
HOLES_MAX: Final = 1_000
"""Bounds on what is requested. Some 1.4 million trades can be filled in an hour (net/trades.py)."""

LATER_US: Final = 1_000_000
"""A trade with an old id is not a copy if its time is later than that of the newest trade by more than this."""

NOT_SERVED: Final = "not_served"
NOT_FILLED: Final = "not_filled"
IDS_RESET: Final = "ids_reset"

TRADE_GAP_REASONS: Final = MappingProxyType(
    {
        NOT_SERVED: "the exchange's answer has later trades but not these",
        NOT_FILLED: "no answer had them within an hour, or there were more than a million of them, or more than a "
        "thousand holes were open",
        IDS_RESET: "the exchange restarted its trade ids; `last_id` is one below the first new id",
        "stopped": "the recorder was stopped before they were filled",
        "killed": "the recorder died before they were filled",
    }
)
"""Why trades are missing; the table in docs/format.md is made from it."""

_FIRST_ID: Final = attrgetter("first_id")


@dataclass(slots=True)
class Trade:
    """One trade. `event_time_us` is when the stream sent it: None for trades from REST answers."""

    symbol: str
    trade_id: int
    price: float
    size: float
    trade_time_us: int
    event_time_us: int | None
    buyer_is_maker: bool


@dataclass(slots=True)
class TradeRow:
    """A row of `trades`. `is_filled`: it is from a REST answer, and `received_ns` is when the answer arrived."""

    trade: Trade
    received_ns: int
    is_filled: bool


@dataclass(frozen=True, slots=True)
class TradeHole:
    """Missing trades, from `first_id` to `last_id`, both included.

    `after_us` and `before_us` are the times of the trades around them, by the exchange's clock; `opened_ns` is when
    the hole was found, by ours.
    """

    first_id: int
    last_id: int
    after_us: int
    before_us: int
    opened_ns: int


@dataclass(frozen=True, slots=True)
class TradeGap:
    """A row of `trade_gaps`: trades that the archive does not have, and why."""

    symbol: str
    hole: TradeHole
    declared_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class TradeState:
    """What a checkpoint holds: the id and time of the newest trade, and the holes below it, oldest first."""

    last_id: int
    newest_us: int
    holes: list[TradeHole] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FetchTrades:
    """A request for I/O, as a value: the trades of a symbol from this id on."""

    symbol: str
    from_id: int


TradeOutput: TypeAlias = TradeRow | TradeGap | FetchTrades


class TradeSequence:
    """Follows the trades of one symbol. Each method returns what is to be stored or requested, in order."""

    def __init__(self, symbol: str, state: TradeState | None = None) -> None:
        self.symbol = symbol
        self.last_id = state.last_id if state else None
        self.newest_us = state.newest_us if state else 0
        self.holes = list(state.holes) if state else []
        self._ask_from_ns = 0
        self._reset_candidate: TradeRow | None = None

    def save(self) -> TradeState | None:
        """What a checkpoint holds; None before the first trade."""
        if self.last_id is None:
            return None
        return TradeState(self.last_id, self.newest_us, list(self.holes))

    def begin_segment(self) -> None:
        """Forget what a checkpoint does not hold: the next segment must be readable on its own."""
        self._ask_from_ns, self._reset_candidate = 0, None

    def on_trade(self, trade: Trade, received_ns: int) -> list[TradeOutput]:
        """A trade from a stream."""
        if self.last_id is None or trade.trade_id > self.last_id:
            out = self._open_hole(trade, received_ns)
            self.last_id = trade.trade_id
            self.newest_us = max(self.newest_us, trade.trade_time_us)
            return [*out, TradeRow(trade, received_ns, is_filled=False)]
        if trade.trade_time_us > self.newest_us + LATER_US:
            return self._check_for_reset(TradeRow(trade, received_ns, is_filled=False))
        if self._fill(trade):
            return [TradeRow(trade, received_ns, is_filled=False), *self._bound(received_ns)]
        return []

    def on_answer(
        self, from_id: int, trades: Iterable[Trade], received_ns: int
    ) -> list[TradeOutput]:
        """The trades of an answer, ordered by id: all that the exchange has from `from_id` to the last of them."""
        out: list[TradeOutput] = []
        last_id = from_id
        for trade in trades:
            last_id = trade.trade_id
            if self._fill(trade):
                out.append(TradeRow(trade, received_ns, is_filled=True))
        left_out = [h for h in self.holes if from_id <= h.first_id and h.last_id < last_id]
        out += [self._declare(hole, received_ns, NOT_SERVED) for hole in left_out]
        out += self._bound(received_ns)
        self._ask_from_ns = 0 if out else received_ns + ASK_AGAIN_NS
        return out

    def on_tick(self, now_ns: int) -> list[TradeOutput]:
        """Time has passed: declare holes that have been open for too long, request the oldest one left."""
        out: list[TradeOutput] = []
        while self.holes and self.holes[0].opened_ns + OPEN_MAX_NS <= now_ns:
            out.append(self._declare(self.holes[0], now_ns, NOT_FILLED))
        if self.holes:
            oldest = self.holes[0]
            if now_ns >= max(oldest.opened_ns + ASK_AFTER_NS, self._ask_from_ns):
                out.append(FetchTrades(self.symbol, oldest.first_id))
        return out

    def end(self, now_ns: int, reason: str) -> list[TradeOutput]:
        """The recording ends: declare all open holes."""
        return [self._declare(hole, now_ns, reason) for hole in list(self.holes)]

    # ── holes ───────────────────────────────────────────────────────────────────────────────

    def _open_hole(self, trade: Trade, now_ns: int) -> list[TradeOutput]:
        """The hole before this trade, if there is one."""
        if self.last_id is None or trade.trade_id == self.last_id + 1:
            return []
        times_us = self.newest_us, trade.trade_time_us
        hole = TradeHole(self.last_id + 1, trade.trade_id - 1, *times_us, now_ns)
        self.holes.append(hole)
        if hole.last_id - hole.first_id >= HOLE_IDS_MAX:
            return [self._declare(hole, now_ns, NOT_FILLED)]
        return self._bound(now_ns)

    def _fill(self, trade: Trade) -> bool:
        """Whether the trade was missing. The rest of its hole stays open."""
        at = bisect_right(self.holes, trade.trade_id, key=_FIRST_ID) - 1
        if at < 0 or trade.trade_id > self.holes[at].last_id:
            return False
        hole, time_us = self.holes[at], trade.trade_time_us
        before = replace(hole, last_id=trade.trade_id - 1, before_us=time_us)
        after = replace(hole, first_id=trade.trade_id + 1, after_us=time_us)
        self.holes[at : at + 1] = [
            part for part in (before, after) if part.first_id <= part.last_id
        ]
        return True

    def _bound(self, now_ns: int) -> list[TradeOutput]:
        """Declare the oldest holes if there are too many."""
        return [self._declare(hole, now_ns, NOT_FILLED) for hole in self.holes[:-HOLES_MAX]]

    def _declare(self, hole: TradeHole, now_ns: int, reason: str) -> TradeGap:
        self.holes.remove(hole)
        return TradeGap(self.symbol, hole, now_ns, reason)

    def _check_for_reset(self, row: TradeRow) -> list[TradeOutput]:
        """A trade with an old id and a new time: if it directly follows another such trade, ids start over."""
        # Known weakness: all connections share one candidate. If two connections open after the reset, one may always
        # be ahead of the other, so that their trades arrive in turn (7, 5, 8, 6, 9, …) and none directly follows the
        # one that arrived before it. As long as that lasts, at most until ids pass the old ones, the reset goes
        # unnoticed, and trades are neither stored nor declared. If all connections were open before the reset, and
        # lose nothing, it is noticed at the second new id.
        candidate, self._reset_candidate = self._reset_candidate, row
        if candidate is None or row.trade.trade_id != candidate.trade.trade_id + 1:
            return []
        first, now_ns = candidate.trade, row.received_ns
        out = self.end(now_ns, IDS_RESET)
        if self.last_id is not None:
            times_us = self.newest_us, first.trade_time_us
            unknown = TradeHole(self.last_id + 1, first.trade_id - 1, *times_us, now_ns)
            out.append(TradeGap(self.symbol, unknown, now_ns, IDS_RESET))
        self.last_id, self._reset_candidate = row.trade.trade_id, None
        self.newest_us = max(first.trade_time_us, row.trade.trade_time_us)
        return [*out, candidate, row]
