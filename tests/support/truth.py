"""The true content of each book of a seeded market at each update id: the oracle of the tests.

A `TracedMarket` notes what faults do to it. A `Truth` runs the same market again from its seed, one update at a
time, and applies what was noted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from booktape.core.events import DepthEvent, Level
from booktape.sim.faults.market import Push
from booktape.sim.market.listing import CAP_E8, Listing, Whole, text
from booktape.sim.market.market import NOT_OPENED, Market
from booktape.sim.market.symbol_market import SymbolMarket
from booktape.sim.messages import MarketMessage

TextLevel: TypeAlias = tuple[str, str]


def _texts(listing: Listing, levels: list[Whole]) -> list[TextLevel]:
    """Levels as exact decimals."""
    tick, step = listing.tick_e8, listing.step_e8
    return [(text(ticks * tick), text(min(lots * step, CAP_E8))) for ticks, lots in levels]


@dataclass(frozen=True)
class TrueBook:
    """One symbol's whole book right after one update, in whole ticks and lots, best first."""

    update_id: int
    listing: Listing
    bid_lots: list[Whole]
    ask_lots: list[Whole]

    @property
    def bids(self) -> list[Level]:
        """As doubles."""
        return self.listing.doubles(self.bid_lots)

    @property
    def asks(self) -> list[Level]:
        """As doubles."""
        return self.listing.doubles(self.ask_lots)

    @property
    def bid_texts(self) -> list[TextLevel]:
        """As exact text with 8 decimals."""
        return _texts(self.listing, self.bid_lots)

    @property
    def ask_texts(self) -> list[TextLevel]:
        """As exact text with 8 decimals."""
        return _texts(self.listing, self.ask_lots)


class Reached(NamedTuple):
    """Where a symbol's ids stood at the end of a slot, `time_us` by the exchange's clock.

    `counting` is how often they had started over.
    """

    time_us: int
    counting: int
    update_id: int


class Unsent(NamedTuple):
    """Changes of a book that no market data showed: in the slot that ended at `time_us`."""

    time_us: int
    counting: int
    first_id: int
    last_id: int


@dataclass
class Trace:
    """What happened to one symbol and does not follow from the seed."""

    pushes: dict[int, Push] = field(default_factory=dict)
    """By the symbol's slot, counted from 1."""
    ended: list[tuple[int, int]] = field(default_factory=list)
    """The first and last id of each counting that is over."""
    unsent: list[Unsent] = field(default_factory=list)
    reached: list[Reached] = field(default_factory=list)


class TracedSymbolMarket(SymbolMarket):
    """Notes what is pushed into it, the event of the last slot, and how often ids have started over."""

    def __init__(self, trace: Trace, *start: Any) -> None:
        self.trace = trace
        self.last_event: DepthEvent | None = None
        self.counting = 0
        super().__init__(*start)
        self.base_id = self.update_id

    def push(self, push: Push) -> None:
        self.trace.pushes[self.slot] = push
        if push.first_id is not None:
            self.counting += 1
            self.trace.ended.append((self.base_id, self.update_id))
            self.base_id = push.first_id - 1
        super().push(push)

    def close_slot(self, time_us: int) -> list[MarketMessage]:
        messages = super().close_slot(time_us)
        self.last_event = messages[-1].event if messages else None
        return messages


class ReplayedSymbolMarket(SymbolMarket):
    """Runs again, with what was pushed into the first run."""

    def __init__(self, pushes: Mapping[int, Push], *start: Any) -> None:
        self.pushes = pushes
        self.counting = 0
        super().__init__(*start)

    def open_slot(self) -> None:
        super().open_slot()
        if push := self.pushes.get(self.slot):
            self.counting += push.first_id is not None
            self.push(push)


class TracedMarket(Market):
    """A market whose truth can be asked for. One that `remembers` knows where ids stood at any time."""

    def __init__(self, *args: Any, remembers: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.traces: dict[str, Trace] = defaultdict(Trace)
        self.remembers = remembers

    def _start(self, symbol: str) -> tuple[Any, ...]:
        """What a symbol's market is made of."""
        return self._listings[symbol], self._seed, self._levels, self._faults

    def _new_symbol_market(self, symbol: str) -> TracedSymbolMarket:
        return TracedSymbolMarket(self.traces[symbol], *self._start(symbol))

    def _close(self, market: SymbolMarket, now_s: float, time_us: int) -> list[MarketMessage]:
        assert isinstance(market, TracedSymbolMarket)
        counting = market.counting
        messages = super()._close(market, now_s, time_us)
        if event := market.last_event:
            if self.remembers:
                market.trace.reached.append(Reached(time_us, counting, event.last_id))
            if not any(message.event for message in messages):
                unsent = Unsent(time_us, counting, event.first_id, event.last_id)
                market.trace.unsent.append(unsent)
        return messages

    def live(self, symbol: str) -> TracedSymbolMarket:
        """The symbol's market as it stands."""
        live = self._market(symbol)
        assert isinstance(live, TracedSymbolMarket)
        return live

    def replayed(self, symbol: str) -> ReplayedSymbolMarket:
        """The symbol's market at its beginning, to be run again."""
        return ReplayedSymbolMarket(self.traces[symbol].pushes, *self._start(symbol))

    def is_opened_late(self, symbol: str) -> bool:
        """Whether the symbol begins with an empty book."""
        return self._faults.has_not_opened(symbol, 0)

    def listing(self, symbol: str) -> Listing:
        return self._listings[symbol]

    def update_id(self, symbol: str) -> int:
        """The last id made so far; once a bounded market has ended, the last id of all."""
        return self._market(symbol).update_id

    def truth(self) -> Truth:
        """The true content of each book at each update id, independent of this object's state."""
        return Truth(self)


class Truth:
    """Re-runs a market from its seed, one update at a time, in the memory of one book for each symbol.

    Ascending ids are cheap; an id behind the last one asked for starts that symbol again. A truth may run
    ahead of its market, but then knows nothing of faults that are still to come.
    """

    def __init__(self, market: TracedMarket) -> None:
        self.market = market
        self._replayed: dict[str, ReplayedSymbolMarket] = {}
        self._first_ids: dict[str, int] = {}

    def first_id(self, symbol: str) -> int:
        """The id of the book that the market begins with."""
        if symbol not in self._replayed:
            self._begin(symbol)
        return self._first_ids[symbol]

    def book(self, symbol: str, update_id: int, counting: int | None = None) -> TrueBook:
        """The book after `update_id`, whether or not an event ends there.

        Raises ValueError for an id that the market never had, and for one that it had more than
        once, unless `counting` says after how many restarts of the ids.
        """
        if update_id == NOT_OPENED and self.market.is_opened_late(symbol):
            return TrueBook(NOT_OPENED, self.market.listing(symbol), [], [])
        self.first_id(symbol)
        if counting is None:
            counting = self._counting(symbol, update_id)
        wanted, absent = (counting, update_id), f"{symbol} had no update id {update_id} in counting"
        if not 0 <= counting <= len(self.market.traces[symbol].ended):
            raise ValueError(f"{absent} {counting}")
        market = self._replayed[symbol]
        if wanted < (market.counting, market.update_id):
            market = self._begin(symbol)
        while (market.counting, market.update_id) < wanted:
            if market.updates_left:
                market.step()
            else:
                market.open_slot()
        if (market.counting, market.update_id) != wanted:
            raise ValueError(f"{absent} {counting}")
        bids, asks = market.bids.best_first(), market.asks.best_first()
        return TrueBook(update_id, market.listing, bids, asks)

    def unsent(self, symbol: str) -> tuple[Unsent, ...]:
        """When the book changed and no market data showed it, oldest first.

        From the first of these on, a client that only listens does not know the book.
        """
        return tuple(self.market.traces[symbol].unsent)

    def reached(self, symbol: str, time_us: int) -> Reached:
        """Where the ids stood when the last slot that changed the book had ended by this time.

        Raises ValueError where that is before the symbol's beginning, or the market was not made
        to remember it.
        """
        reached = self.market.traces[symbol].reached
        place = bisect_right(reached, time_us, key=attrgetter("time_us"))
        if not place:
            raise ValueError(f"Nothing is remembered of {symbol} at {time_us}")
        return reached[place - 1]

    def _counting(self, symbol: str, update_id: int) -> int:
        """After how many restarts of the ids this id can have occurred."""
        ended, first_id = self.market.traces[symbol].ended, self.first_id(symbol)
        # It may run ahead of its market, but for ids that could be of another counting.
        live = self.market.live(symbol) if ended else None
        present = (live.base_id, live.update_id) if live else (first_id, inf)
        fitting = [
            counting
            for counting, (first, last) in enumerate([*ended, present])
            if first <= update_id <= last
        ]
        if not fitting:
            raise ValueError(f"{symbol} begins at update id {first_id}; it never had {update_id}")
        if len(fitting) > 1:
            raise ValueError(f"{symbol} had update id {update_id} {len(fitting)} times")
        return fitting[0]

    def _begin(self, symbol: str) -> ReplayedSymbolMarket:
        market = self._replayed[symbol] = self.market.replayed(symbol)
        self._first_ids[symbol] = market.update_id
        return market
