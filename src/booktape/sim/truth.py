"""What really stands in each book of a market at each update id."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter
from typing import Final, NamedTuple

from booktape.core.events import Level
from booktape.sim.market.listing import Listing, TextLevel, Whole
from booktape.sim.market.symbol_market import Pushes, Start, SymbolMarket

NOT_OPENED: Final = -1
"""The id of the empty book of a symbol that is listed and has not opened."""


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
        return self.listing.texts(self.bid_lots)

    @property
    def ask_texts(self) -> list[TextLevel]:
        """As exact text with 8 decimals."""
        return self.listing.texts(self.ask_lots)


class Reached(NamedTuple):
    """Where a symbol's ids stood at the end of a slot, `time_us` by the exchange's clock.

    `counting` is how often they had begun anew.
    """

    time_us: int
    counting: int
    update_id: int


class Untold(NamedTuple):
    """Changes of a book that no market data told of: in the slot that ended at `time_us`."""

    time_us: int
    counting: int
    first_id: int
    last_id: int


@dataclass
class History:
    """What a market's course did to one symbol; it does not follow from the seed."""

    pushes: Pushes = field(default_factory=dict)
    ended: list[tuple[int, int]] = field(default_factory=list)
    """The first and last id of each counting that is over."""
    untold: list[Untold] = field(default_factory=list)
    reached: list[Reached] = field(default_factory=list)
    last_id: int = -1
    """The last id of the present counting, so far."""

    def base(self, first_id: int) -> int:
        """The id of the book that the present counting began with; `first_id` was the first one's."""
        anew = [push.first_id for push in self.pushes.values() if push.first_id is not None]
        return anew[-1] - 1 if anew else first_id


@dataclass(frozen=True)
class Rules:
    """All that decides a market: who else follows them has the same market.

    `listings` and `histories` grow while a market runs: by what faults list or do. `opening` are
    the symbols that begin with an empty book, of the id -1; `grids` has what prices are multiples
    of in the beginning, in ticks, where that is not 1.
    """

    seed: int
    levels: int | None
    listings: dict[str, Listing]
    histories: dict[str, History] = field(default_factory=dict)
    opening: set[str] = field(default_factory=set)
    grids: dict[str, int] = field(default_factory=dict)

    def history(self, symbol: str) -> History:
        """This symbol's, from its beginning."""
        return self.histories.setdefault(symbol, History())

    def pair(self, symbol: str) -> SymbolMarket:
        """This symbol's market, at its beginning."""
        start = Start(symbol in self.opening, self.grids.get(symbol, 1))
        pushes = self.history(symbol).pushes
        return SymbolMarket(self.listings[symbol], self.seed, self.levels, pushes, start)


class Truth:
    """Re-runs a market from its seed, one update at a time, with the memory of one book a symbol.

    Ascending ids are cheap; an id behind the last one asked for starts that symbol again.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._pairs: dict[str, SymbolMarket] = {}
        self._first_ids: dict[str, int] = {}

    def first_id(self, symbol: str) -> int:
        """The id of the book that the market begins with."""
        if symbol not in self._pairs:
            self._begin(symbol)
        return self._first_ids[symbol]

    def book(self, symbol: str, update_id: int, counting: int | None = None) -> TrueBook:
        """The book after `update_id`, whether or not an event ends there.

        Raises ValueError for an id that the market never had, and for one that it had more than
        once, unless `counting` says after how many new beginnings of the ids.
        """
        if update_id == NOT_OPENED and symbol in self._rules.opening:
            return TrueBook(NOT_OPENED, self._rules.listings[symbol], [], [])
        self.first_id(symbol)
        if counting is None:
            counting = self._counting(symbol, update_id)
        wanted, absent = (counting, update_id), f"{symbol} had no update id {update_id} in counting"
        if not 0 <= counting <= len(self._rules.history(symbol).ended):
            raise ValueError(f"{absent} {counting}")
        pair = self._pairs[symbol]
        if wanted < (pair.counting, pair.update_id):
            pair = self._begin(symbol)
        while (pair.counting, pair.update_id) < wanted:
            if pair.updates_left:
                pair.step()
            else:
                pair.open_slot()
        if (pair.counting, pair.update_id) != wanted:
            raise ValueError(f"{absent} {counting}")
        bids, asks = pair.whole(pair.bids), pair.whole(pair.asks)
        return TrueBook(update_id, pair.listing, bids, asks)

    def untold(self, symbol: str) -> tuple[Untold, ...]:
        """When the book changed and no market data told of it, oldest first.

        From the first of these on, nobody who only listens knows the book.
        """
        return tuple(self._rules.history(symbol).untold)

    def reached(self, symbol: str, time_us: int) -> Reached:
        """Where the ids stood when the last slot that changed the book had ended by this time.

        Raises ValueError where that is before the symbol's beginning, or the market was not made
        to remember it.
        """
        reached = self._rules.history(symbol).reached
        place = bisect_right(reached, time_us, key=attrgetter("time_us"))
        if not place:
            raise ValueError(f"Nothing is remembered of {symbol} at {time_us}")
        return reached[place - 1]

    def _counting(self, symbol: str, update_id: int) -> int:
        """After how many new beginnings of the ids this one can have been."""
        history, first_id = self._rules.history(symbol), self.first_id(symbol)
        # A truth may run ahead of its market, but for ids that could be of another counting.
        last_id = history.last_id if history.ended else inf
        spans = [*history.ended, (history.base(first_id), last_id)]
        fitting = [n for n, (first, last) in enumerate(spans) if first <= update_id <= last]
        if not fitting:
            raise ValueError(f"{symbol} begins at update id {first_id}; it never had {update_id}")
        if len(fitting) > 1:
            raise ValueError(f"{symbol} had update id {update_id} {len(fitting)} times")
        return fitting[0]

    def _begin(self, symbol: str) -> SymbolMarket:
        pair = self._pairs[symbol] = self._rules.pair(symbol)
        self._first_ids[symbol] = pair.update_id
        return pair
