"""What a book and a witness both know, and whether they agree there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from booktape.core.book import Book
from booktape.core.events import Level
from booktape.core.proving import Difference

Levels: TypeAlias = dict[float, float]
"""Price → size, of one side."""


class Comparison(NamedTuple):
    """How many levels were looked at as of `update_id`, and which of them differ."""

    update_id: int
    levels: int
    differences: tuple[Difference, ...]


class Window(NamedTuple):
    """One side, as far as somebody knows it: `horizon` is where that ends, None says nowhere."""

    name: str
    levels: list[Level]
    horizon: float | None

    def holds(self, price: float) -> bool:
        """Whether a level of this price would be known here."""
        if self.horizon is None:
            return True
        return price >= self.horizon if self.name == "bid" else price <= self.horizon

    def inside(self, levels: Iterable[Level]) -> Levels:
        """Those of the levels that would be known here."""
        return {price: size for price, size in levels if self.holds(price)}

    def is_inside(self) -> bool:
        """Whether all its own levels would be known here; they are best first."""
        return not self.levels or self.holds(self.levels[-1][0])


def windows(book: Book, most: int) -> tuple[Window, Window]:
    """The best levels of each side, so many or as many as there are."""
    return (
        Window("bid", book.bids.pairs(most), book.bid_horizon),
        Window("ask", book.asks.pairs(most), book.ask_horizon),
    )


def differing(name: str, book: Levels, witness: Levels) -> Iterator[Difference]:
    """The prices, best first, at which the two have another size; none is 0."""
    for price in sorted(book.keys() | witness.keys(), reverse=name == "bid"):
        mine, theirs = book.get(price, 0.0), witness.get(price, 0.0)
        if mine != theirs:
            yield Difference(name, price, mine, theirs)
