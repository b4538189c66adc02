"""The book in its plainest form: a dict from price to size, both decimals, and a sorted list of prices.

The doubles that a row must have are kept in the same order, so that comparing a row with a book of
thousands of levels is one comparison of arrays.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from booktape.verify.model.decimals import Number
from booktape.verify.model.decode import Answer, Levels

Floats: TypeAlias = NDArray[np.float64]
Level: TypeAlias = tuple[Number, Number]


class DecimalSide:
    """One side, ascending by price. `inexact`: the levels with a number that no double equals."""

    def __init__(
        self, sign: int, levels: Iterable[Level] = (), horizon: Number | None = None
    ) -> None:
        self.sign = sign
        self.sizes: dict[Decimal, Number] = {}
        self.horizon = horizon
        self.inexact: dict[Decimal, Level] = {}
        self._prices: list[Decimal] = []
        self._price_doubles = array("d")
        self._size_doubles = array("d")
        self.change(levels)

    def change(self, levels: Iterable[Level]) -> None:
        """Set each price to its absolute size; zero deletes it, known or not."""
        for price, size in levels:
            if size.value:
                self._put(price, size)
            elif self.sizes.pop(price.value, None):
                self.inexact.pop(price.value, None)
                at = bisect_left(self._prices, price.value)
                del self._prices[at], self._price_doubles[at], self._size_doubles[at]

    def _put(self, price: Number, size: Number) -> None:
        at = bisect_left(self._prices, price.value)
        if price.value in self.sizes:
            self._size_doubles[at] = size.double
        else:
            self._prices.insert(at, price.value)
            self._price_doubles.insert(at, price.double)
            self._size_doubles.insert(at, size.double)
        self.sizes[price.value] = size
        if not (price.exact and size.exact):
            self.inexact[price.value] = price, size
        elif self.inexact:
            self.inexact.pop(price.value, None)

    def doubles(self) -> tuple[Floats, Floats]:
        """Prices and sizes best first, as a row must hold them. Valid until the next change."""
        prices, sizes = np.array(self._price_doubles), np.array(self._size_doubles)
        return (prices[::-1], sizes[::-1]) if self.sign > 0 else (prices, sizes)

    def knows(self, price: Decimal) -> bool:
        """Whether a level of this price would be known: it is not beyond the horizon."""
        if self.horizon is None:
            return True
        return self.sign * price >= self.sign * self.horizon.value

    def best(self, count: int) -> dict[Decimal, Decimal]:
        """The `count` best levels, as far as they are inside the horizon."""
        prices = self._prices[: -count - 1 : -1] if self.sign > 0 else self._prices[:count]
        return {price: self.sizes[price].value for price in prices if self.knows(price)}

    def __iter__(self) -> Iterator[Decimal]:
        """Prices, best first."""
        return reversed(self._prices) if self.sign > 0 else iter(self._prices)

    def levels(self) -> Iterator[Level]:
        """All levels, ascending by price."""
        doubles = zip(self._prices, self._price_doubles, strict=True)
        for price, double in doubles:
            exact = price not in self.inexact or self.inexact[price][0].exact
            yield Number(price, double, exact), self.sizes[price]


class DecimalBook:
    """Both sides."""

    def __init__(self, bids: DecimalSide, asks: DecimalSide) -> None:
        self.bids = bids
        self.asks = asks

    @classmethod
    def empty(cls) -> DecimalBook:
        """Nothing is known."""
        return cls(DecimalSide(1), DecimalSide(-1))

    @classmethod
    def from_answer(cls, answer: Answer, limit: int) -> DecimalBook:
        """The book of an answer to a request for `limit` levels: a side with as many is cut off there."""
        sides = []
        for sign, levels in ((1, answer.bids), (-1, answer.asks)):
            cut = len(levels) >= limit
            last = (
                min((price for price, _ in levels), key=lambda p: sign * p.value) if cut else None
            )
            sides.append(DecimalSide(sign, levels, last))
        return cls(*sides)

    def change(self, bids: Levels, asks: Levels) -> None:
        """Apply an event, whole."""
        self.bids.change(bids)
        self.asks.change(asks)

    def inexact(self) -> Iterator[Number]:
        """The numbers in it that no double equals."""
        for side in (self.bids, self.asks):
            for level in side.inexact.values():
                yield from (number for number in level if not number.exact)
