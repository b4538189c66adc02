"""The trades of one symbol, derived a second time: which are stored, and which are declared missing.

It follows docs/format.md: a trade is stored when its id is above all before it, or missing; copies are not. What is
missing is a list of ranges of ids, which shrink as trades arrive and are declared for one of five reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from booktape.verify.model.decode import Trade

_SECOND_US: Final = 1_000_000
_HOUR_NS: Final = 3_600_000_000_000
_RANGES_MAX: Final = 1_000
_IDS_MAX: Final = 1_000_000


class Missing(NamedTuple):
    """A range of ids, the times of the trades around it, and when it was found. `inherited`: by a checkpoint."""

    first: int
    last: int
    after_us: int
    before_us: int
    found_ns: int
    inherited: bool = False


class TradeSink(Protocol):
    """Receives the rows that must be stored."""

    def trade(self, trade: Trade, stamp_ns: int, *, filled: bool) -> None:
        """A trade."""

    def trade_gap(self, symbol: str, missing: Missing, stamp_ns: int, reason: str) -> None:
        """Trades that are missing for good."""


class ModelTrades:
    """One symbol. `newest` is its highest id."""

    def __init__(self, symbol: str, sink: TradeSink) -> None:
        self.newest: int | None = None
        self.newest_us = 0
        self.missing: list[Missing] = []
        self._symbol = symbol
        self._sink = sink
        self._odd: tuple[Trade, int] | None = None

    def on_trade(self, trade: Trade, stamp_ns: int) -> None:
        """A trade of the stream."""
        if self.newest is None:
            self._go_on(trade)
            self._sink.trade(trade, stamp_ns, filled=False)
        elif trade.id > self.newest:
            if trade.id > self.newest + 1:
                times_us = self.newest_us, trade.time_us
                self._open(Missing(self.newest + 1, trade.id - 1, *times_us, stamp_ns))
            self._go_on(trade)
            self._sink.trade(trade, stamp_ns, filled=False)
        elif trade.time_us - self.newest_us > _SECOND_US:
            self._on_odd(trade, stamp_ns)
        elif self._take(trade):
            self._sink.trade(trade, stamp_ns, filled=False)
            self._bound(stamp_ns)

    def on_answer(self, from_id: int, trades: Sequence[Trade], stamp_ns: int) -> None:
        """An answer: between `from_id` and its last trade it has all trades that there are."""
        for trade in trades:
            if self._take(trade):
                self._sink.trade(trade, stamp_ns, filled=True)
        if trades:
            last = trades[-1].id
            self._give_up(lambda m: from_id <= m.first and m.last < last, stamp_ns, "not_served")
        self._bound(stamp_ns)

    def on_tick(self, now_ns: int) -> None:
        """What was found an hour ago is given up."""
        # As the recorder does: the first range that is younger keeps those behind it.
        old = 0
        while old < len(self.missing) and now_ns - self.missing[old].found_ns >= _HOUR_NS:
            old += 1
        gone = self.missing[:old]
        self._give_up(lambda m: m in gone, now_ns, "not_filled")

    def on_end(self, now_ns: int, reason: str) -> None:
        """The recording ends: nothing more is filled."""
        self._give_up(lambda _: True, now_ns, reason)

    def _go_on(self, trade: Trade) -> None:
        self.newest, self.newest_us = trade.id, max(self.newest_us, trade.time_us)

    def _open(self, found: Missing) -> None:
        self.missing.append(found)
        if found.last - found.first >= _IDS_MAX:
            self._give_up(lambda m: m is found, found.found_ns, "not_filled")
        self._bound(found.found_ns)

    def _take(self, trade: Trade) -> bool:
        """Whether this trade was missing."""
        for at, gap in enumerate(self.missing):
            if gap.first <= trade.id <= gap.last:
                below = gap._replace(last=trade.id - 1, before_us=trade.time_us)
                above = gap._replace(first=trade.id + 1, after_us=trade.time_us)
                rest = [part for part in (below, above) if part.first <= part.last]
                self.missing[at : at + 1] = rest
                return True
        return False

    def _bound(self, now_ns: int) -> None:
        surplus = self.missing[: max(0, len(self.missing) - _RANGES_MAX)]
        self._give_up(lambda m: m in surplus, now_ns, "not_filled")

    def _give_up(self, chosen: Callable[[Missing], bool], now_ns: int, reason: str) -> None:
        gone = [gap for gap in self.missing if chosen(gap)]
        if not gone:
            return
        self.missing = [gap for gap in self.missing if gap not in gone]
        for gap in gone:
            self._sink.trade_gap(self._symbol, gap, now_ns, reason)

    def _on_odd(self, trade: Trade, stamp_ns: int) -> None:
        """An old id with a new time. Two that follow each other: the exchange counts anew."""
        before, self._odd = self._odd, (trade, stamp_ns)
        if before is None or trade.id - before[0].id != 1 or self.newest is None:
            return
        self.on_end(stamp_ns, "ids_reset")
        first, first_ns = before
        times_us = self.newest_us, first.time_us
        unknown = Missing(self.newest + 1, first.id - 1, *times_us, stamp_ns)
        self._sink.trade_gap(self._symbol, unknown, stamp_ns, "ids_reset")
        self.newest, self.newest_us, self._odd = trade.id, max(first.time_us, trade.time_us), None
        self._sink.trade(first, first_ns, filled=False)
        self._sink.trade(trade, stamp_ns, filled=False)
