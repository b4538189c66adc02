"""Compares a book and a witness where both must know every level."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from booktape.core.book import OrderBook
from booktape.core.checks import Difference
from booktape.core.events import Level

Levels: TypeAlias = dict[float, float]
"""Price → size, of one side."""


class Comparison(NamedTuple):
    """How many levels were compared as of `update_id`, and which of them differ."""

    update_id: int
    levels: int
    differences: tuple[Difference, ...]


class KnownSide(NamedTuple):
    """One side of a book. Every level up to `horizon` is known; None: the whole side is known."""

    name: str
    levels: list[Level]
    horizon: float | None

    def knows_price(self, price: float) -> bool:
        """Whether a level at this price would be known here."""
        if self.horizon is None:
            return True
        return price >= self.horizon if self.name == "bid" else price <= self.horizon

    def known_of(self, levels: Iterable[Level]) -> Levels:
        """The ones among these levels that would be known here."""
        return {price: size for price, size in levels if self.knows_price(price)}

    def knows_all_of_its_levels(self) -> bool:
        """Whether all levels of this side lie inside its own horizon; they are best first."""
        return not self.levels or self.knows_price(self.levels[-1][0])


def known_sides(book: OrderBook, most: int) -> tuple[KnownSide, KnownSide]:
    """The `most` best levels of each side, or all if there are fewer."""
    return (
        KnownSide("bid", book.bids.levels(most), book.bid_horizon),
        KnownSide("ask", book.asks.levels(most), book.ask_horizon),
    )


def differences_of(name: str, book: Levels, witness: Levels) -> Iterator[Difference]:
    """The prices, best first, at which the two sizes differ. A missing level has size 0."""
    for price in sorted(book.keys() | witness.keys(), reverse=name == "bid"):
        mine, theirs = book.get(price, 0.0), witness.get(price, 0.0)
        if mine != theirs:
            yield Difference(name, price, mine, theirs)
