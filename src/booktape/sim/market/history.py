"""The books of some events ago, for snapshots that are true and late."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import NamedTuple

from booktape.core.events import DepthSnapshot
from booktape.sim.market.symbol_market import Changes, SymbolMarket


class _Event(NamedTuple):
    time_s: float
    first_id: int
    before: Changes


class BookHistory:
    """Remembers, of the last events of each symbol, which sizes they replaced.

    Memory: one price and size for each level of each of `events_max` events a symbol.
    """

    def __init__(self, events_max: int) -> None:
        self._events: dict[str, deque[_Event]] = defaultdict(lambda: deque(maxlen=events_max))

    def keep(self, market: SymbolMarket, time_s: float) -> None:
        """Remember the slot that is about to be closed, if anything happened in it."""
        if market.before:
            event = _Event(time_s, market.first_id, market.before)
            self._events[market.listing.symbol].append(event)

    def forget(self, symbol: str) -> None:
        """Its ids began anew: older books do not lead to the present one."""
        self._events.pop(symbol, None)

    def book(
        self, market: SymbolMarket, limit: int, events: int, not_after_s: float
    ) -> DepthSnapshot:
        """The book before the last `events` events, and before all that came after `not_after_s`.

        Where that is longer ago than it remembers, the oldest one that it can restore.
        """
        sides = {True: dict(market.bids.lots), False: dict(market.asks.lots)}
        _undo(sides, market.before)
        last_id = market.first_id - 1
        for back, event in enumerate(reversed(self._events[market.listing.symbol])):
            if back >= events and event.time_s <= not_after_s:
                break
            _undo(sides, event.before)
            last_id = event.first_id - 1
        bids = market.listing.doubles(sorted(sides[True].items(), reverse=True))
        asks = market.listing.doubles(sorted(sides[False].items()))
        return DepthSnapshot(market.listing.symbol, limit, last_id, bids, asks)


def _undo(sides: dict[bool, dict[int, int]], before: Changes) -> None:
    for (is_bid, ticks), lots in before.items():
        if lots:
            sides[is_bid][ticks] = lots
        else:
            sides[is_bid].pop(ticks, None)
