"""What really stands in each book of a market at each update id."""

from __future__ import annotations

from dataclasses import dataclass

from booktape.core.events import Level
from booktape.sim.listing import Listing, TextLevel, Whole
from booktape.sim.pair import Pair, Pushes


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


@dataclass(frozen=True)
class Rules:
    """All that decides a market: who else follows them has the same market.

    `listings` and `pushes` grow while a market runs: by what faults list or push.
    """

    seed: int
    levels: int | None
    listings: dict[str, Listing]
    pushes: dict[str, Pushes]

    def pair(self, symbol: str) -> Pair:
        """This symbol's market, at its beginning."""
        own = self.pushes.setdefault(symbol, {})
        return Pair(self.listings[symbol], self.seed, self.levels, own)


class Truth:
    """Re-runs a market from its seed, one update at a time, with the memory of one book a symbol.

    Ascending ids are cheap; an id behind the last one asked for starts that symbol again.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._pairs: dict[str, Pair] = {}
        self._first_ids: dict[str, int] = {}

    def first_id(self, symbol: str) -> int:
        """The id of the book that the market begins with."""
        if symbol not in self._pairs:
            self._begin(symbol)
        return self._first_ids[symbol]

    def book(self, symbol: str, update_id: int) -> TrueBook:
        """The book after `update_id`, whether or not an event ends there.

        Raises ValueError for an id before the market's beginning.
        """
        if update_id < self.first_id(symbol):
            raise ValueError(f"{symbol} begins at update id {self._first_ids[symbol]}")
        if update_id < self._pairs[symbol].update_id:
            self._begin(symbol)
        pair = self._pairs[symbol]
        while pair.update_id < update_id:
            pair.step()
        bids, asks = pair.whole(pair.bids), pair.whole(pair.asks)
        return TrueBook(update_id, pair.listing, bids, asks)

    def _begin(self, symbol: str) -> None:
        pair = self._rules.pair(symbol)
        self._pairs[symbol], self._first_ids[symbol] = pair, pair.update_id
