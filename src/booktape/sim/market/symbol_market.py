"""One symbol's market: a seeded sequence of single level changes, each with its own update id.

Pure: the same listing and seed always give the same changes, whatever snapshots are made in between. So a
test can restore the book of any update id, even in the middle of an event. `order_flow` decides what changes.

A slot's witnesses come right before its depth event, as on the real exchange: partial depth with the
event's last id, and a ticker for each update that changed the touch, with that update's own id.

**Trades.** When the best level of a side loses size, half of the time that is a trade, and otherwise a cancelled order.
A random generator of its own decides, so the book is the same with trades and without. Planned changes (a book's
opening, and what faults push into a slot) are never trades.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from math import exp, sqrt
from random import Random
from typing import Final, NamedTuple, TypeAlias

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import DepthEvent, DepthSnapshot, Level
from booktape.core.trades import Trade
from booktape.sim.faults.market import MarketFaults, Push
from booktape.sim.market.listing import CAPPED_LOTS, Listing, Whole
from booktape.sim.market.order_flow import Change, Ladder, OrderFlow, Place
from booktape.sim.messages import TRADES_KEPT, MarketMessage, event_message, stream_name

PARTIAL_LEVELS: Final = (20, 10, 5)

_SLOT_US: Final = 100_000
_IDS_MAX: Final = 2_000
_TRADED: Final = 0.5
_NO_LEVEL: Final[Whole] = (0, 0)
"""The touch of a side without levels."""

Changes: TypeAlias = dict[Place, int]
"""By side and price, a size in lots; 0 for none."""


class _Past(NamedTuple):
    """An event that can be undone."""

    slot: int
    first_id: int
    before: Changes


class SymbolMarket:
    """The market of one symbol, advanced one slot at a time, or one update at a time.

    `levels` replaces the listing's own number of levels a side. `faults` decides the grid of prices at the beginning,
    whether the book begins empty (then it gets all its levels in its first slot), and how many events the market must
    remember; later faults come through `push`. `slot` counts from 1. Depth events are always made; witnesses and trades
    only for the streams in `watched`, which may also hold streams of other symbols.
    """

    def __init__(
        self, listing: Listing, seed: int, levels: int | None, faults: MarketFaults
    ) -> None:
        symbol = listing.symbol
        self.listing = listing
        self.slot = 0
        self._rng = Random(f"{seed}/{symbol}")
        self.update_id = self._rng.randrange(10**9, 9 * 10**10)
        self._target = levels or listing.profile.levels
        self._begin_book(faults.grid(symbol, 0))
        self._opening = self._flow.empty() if faults.has_not_opened(symbol, 0) else []
        self._ln_ids = listing.profile.ids_mu
        self._past: deque[_Past] = deque(maxlen=faults.memory_events)
        self._trade_rng = Random(f"{seed}/{symbol}/trades")
        self._next_trade_id = self._trade_rng.randrange(10**6, 9 * 10**9)
        self.trades: deque[Trade] = deque(maxlen=TRADES_KEPT)
        self.watched: Collection[str] = ()
        self._partial_streams = {n: stream_name(symbol, f"depth{n}@100ms") for n in PARTIAL_LEVELS}
        self._ticker_stream = stream_name(symbol, "bookTicker")
        self._trade_stream = stream_name(symbol, "trade")
        self.open_slot()

    def _begin_book(self, grid: int) -> None:
        """A new order flow, and so a new book."""
        self._flow = OrderFlow(self.listing, self._rng, self._target, grid)
        self.bids, self.asks = self._flow.bids, self._flow.asks

    # ── advancing ───────────────────────────────────────────────────────────────────────────

    @property
    def updates_left(self) -> int:
        """How many updates of this slot are still to be made."""
        return self.first_id - 1 + self._count - self.update_id

    def step(self) -> None:
        """Make the next single update, whichever slot it falls in."""
        while not self.updates_left:
            self.open_slot()
        if self._planned:
            ladder, ticks, lots = self._planned.popleft()
        else:
            ladder, ticks, lots = self._flow.change(self._changed)
            self._trade(ladder, ticks, lots)
        key = ladder.behind < 0, ticks
        if key not in self._event:
            self._changed.append(key)
            self._before[key] = ladder.lots.get(ticks, 0)
        self._event[key] = lots
        best = self._best() if self._ticker_stream in self.watched else None
        ladder.put(ticks, lots)
        self.update_id += 1
        if best and best != self._best():
            self._tickers.append((self.update_id, *self._best()))

    def _trade(self, ladder: Ladder, ticks: int, lots: int) -> None:
        """Note this change as a trade, if it is one."""
        before = ladder.lots.get(ticks, 0)
        takes = lots < before < CAPPED_LOTS and ticks == ladder.best
        if takes and self._trade_rng.random() < _TRADED:
            self._traded.append((ladder.behind < 0, ticks, before - lots))

    def run_part(self, fraction: float) -> None:
        """Make the updates of the first `fraction` of this slot that have not been made yet."""
        until = self.first_id - 1 + int(fraction * self._count)
        while self.update_id < until:
            self.step()

    def close_slot(self, time_us: int) -> list[MarketMessage]:
        """Make the slot's remaining updates. Returns its messages, the event last; [] if nothing happened in it."""
        self.run_part(1)
        trades, messages = self._number_trades(time_us), list[MarketMessage]()
        self.trades += trades
        if self._count:
            if self._trade_stream in self.watched:
                messages += [MarketMessage(self._trade_stream, trade) for trade in trades]
            messages += self._witnesses()
            # One event for the whole slot: the last size of each price.
            bids, asks = self._best_first(self._event)
            ids = self.first_id, self.update_id
            messages.append(
                event_message(DepthEvent(self.listing.symbol, time_us, *ids, bids, asks))
            )
            self._past.append(_Past(self.slot, self.first_id, self._before))
        self.open_slot()
        return messages

    def push(self, push: Push) -> None:
        """Let this happen before anything else in the slot just opened."""
        if push.first_id is not None:
            self.first_id, self.update_id = push.first_id, push.first_id - 1
            # No older book can be restored across the reset.
            self._past.clear()
            self._next_trade_id = push.first_id
            self.trades.clear()
        if push.blank:
            self._begin_book(push.grid)
        flow = self._flow
        flow.grid = push.grid
        if push.cancels is not None or push.crosses:
            # Nothing else happens in this slot: a later order might end the crossing at once.
            self._count = 0
            self._planned += flow.cross() if push.cancels is None else flow.cancels(push.cancels)
        else:
            if push.caps:
                self._planned += flow.caps()
            if push.price is None:
                self._planned += flow.surge(push.levels)
            else:
                self._planned += flow.take_to(round(self.listing.start_ticks * push.price))
        self._count += len(self._planned)

    def open_slot(self) -> None:
        """Begin the next slot. Updates of the current one that have not been made are left out."""
        profile, rng = self.listing.profile, self._rng
        self.slot += 1
        self.first_id = self.update_id + 1
        self._before: Changes = {}
        self._tickers: list[tuple[int, Whole, Whole]] = []
        self._traded: list[tuple[bool, int, int]] = []
        self._event: Changes = {}
        self._changed: list[Place] = []
        self._planned: deque[Change] = deque()
        self._count = 0
        if rng.random() < profile.activity:
            shock = rng.gauss(0, profile.ids_sd * sqrt(1 - profile.ids_phi**2))
            memory = profile.ids_phi * (self._ln_ids - profile.ids_mu)
            self._ln_ids = profile.ids_mu + memory + shock
            self._count = min(max(1, round(exp(self._ln_ids))), _IDS_MAX)
        if self._opening:
            self._planned += self._opening
            self._opening = []
            self._count = len(self._planned)

    def _number_trades(self, end_us: int) -> list[Trade]:
        """The slot's trades, numbered and spread over its time. In a trade on the bid side, the buyer was the maker."""
        symbol, found = self.listing.symbol, []
        for number, (is_bid, ticks, lots) in enumerate(self._traded, 1):
            time_us = end_us - _SLOT_US + number * _SLOT_US // (len(self._traded) + 1)
            ((price, size),) = self.listing.doubles([(ticks, lots)])
            found.append(Trade(symbol, self._next_trade_id, price, size, time_us, time_us, is_bid))
            self._next_trade_id += 1
        return found

    def _witnesses(self) -> list[MarketMessage]:
        """The witnesses of a slot whose updates have all been made, and which is not closed yet."""
        symbol, found = self.listing.symbol, []
        for levels, stream in self._partial_streams.items():
            if stream in self.watched:
                bids, asks = self.levels(levels)
                found.append(MarketMessage(stream, TopLevels(symbol, self.update_id, bids, asks)))
        if self._ticker_stream in self.watched:
            for update_id, *sides in self._tickers:
                bid, ask = self.listing.doubles(sides)
                ticker = BookTicker(symbol, update_id, bid, ask)
                found.append(MarketMessage(self._ticker_stream, ticker))
        return found

    # ── the book, now and earlier ───────────────────────────────────────────────────────────

    def levels(self, limit: int) -> tuple[list[Level], list[Level]]:
        """The best levels of each side, as doubles."""
        doubles = self.listing.doubles
        return doubles(self.bids.best_first(limit)), doubles(self.asks.best_first(limit))

    def top(self) -> BookTicker:
        """The best level of each side."""
        bid, ask = (next(iter(side), None) for side in self.levels(1))
        return BookTicker(self.listing.symbol, self.update_id, bid, ask)

    def old_book(self, limit: int, events: int, slots: float) -> DepthSnapshot:
        """The book before the last `events` events, and before all of the last `slots` slots.

        If the market does not remember that far back: the oldest book that it can restore.
        """
        lots = {(True, ticks): size for ticks, size in self.bids.lots.items()}
        lots |= {(False, ticks): size for ticks, size in self.asks.lots.items()}
        lots |= self._before
        first_id = self.first_id
        for back, event in enumerate(reversed(self._past)):
            if back >= events and event.slot <= self.slot - 1 - slots:
                break
            lots |= event.before
            first_id = event.first_id
        bids, asks = self._best_first({place: size for place, size in lots.items() if size})
        return DepthSnapshot(self.listing.symbol, limit, first_id - 1, bids, asks)

    def _best_first(self, lots: Changes) -> tuple[list[Level], list[Level]]:
        bids = sorted(((t, n) for (is_bid, t), n in lots.items() if is_bid), reverse=True)
        asks = sorted((t, n) for (is_bid, t), n in lots.items() if not is_bid)
        return self.listing.doubles(bids), self.listing.doubles(asks)

    def _best(self) -> tuple[Whole, Whole]:
        bid, ask = (next(iter(side.best_first(1)), _NO_LEVEL) for side in (self.bids, self.asks))
        return bid, ask
