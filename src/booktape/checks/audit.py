"""Compares the book with a later REST snapshot, in depth, and moves the horizon.

Both are carried forward to the same update id: the book by the events that it receives anyway, the answer by
the events that were applied since the request was sent. Then every level that both must know is compared.
Levels that only the answer has are added to the book, and its horizon moves out to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import Final, NamedTuple

import numpy as np

from booktape.checks.compare import Comparison
from booktape.core.book import OrderBook
from booktape.core.checks import Difference
from booktape.core.events import DepthEvent, DepthSnapshot, Floats

KEPT_MAX: Final = 3_000
"""Events kept for an answer: five minutes of the busiest symbol, at ten a second."""


class Audit:
    """One audit: from the moment the request is sent until the book has reached the answer."""

    def __init__(self, since_id: int) -> None:
        self._since_id = since_id
        self._kept: list[DepthEvent] = []
        self._answer: DepthSnapshot | None = None

    @property
    def limit(self) -> int:
        """How many levels a side the answer shows at most; 0 before it has come."""
        return self._answer.limit if self._answer else 0

    def on_applied(self, event: DepthEvent) -> bool:
        """Remember an applied event. Returns False if there are too many."""
        self._kept.append(event)
        return len(self._kept) <= KEPT_MAX

    def on_answer(self, answer: DepthSnapshot) -> bool:
        """The answer has come. Returns False if it is older than the events kept: it cannot be compared."""
        self._answer = answer
        return answer.last_id >= self._since_id

    def book_of_answer(self, update_id: int) -> OrderBook | None:
        """The answer carried forward to the book's `update_id`; None while it is ahead of the book.

        An event that contains the answer's id is applied whole: sizes are absolute.
        """
        if self._answer is None or self._answer.last_id > update_id:
            return None
        book = OrderBook.from_snapshot(self._answer)
        for event in self._kept:
            if event.last_id > self._answer.last_id:
                book.apply(event)
        return book


class _Side(NamedTuple):
    """One side, best first. `away` holds its prices, with a sign that makes them grow away from the best one.

    `horizon` has the same sign, and is infinite if the whole side is known.
    """

    name: str
    sign: float
    away: Floats
    sizes: Floats
    horizon: float

    def sizes_at(self, away: Floats) -> Floats:
        """The size of each of these levels; 0 where there is none."""
        _, mine, theirs = np.intersect1d(self.away, away, assume_unique=True, return_indices=True)
        sizes = np.zeros(len(away))
        sizes[theirs] = self.sizes[mine]
        return sizes


def compare(update_id: int, book: OrderBook, witness: OrderBook) -> Comparison:
    """Compare every level that both must know, and every level that one has where the other must know it.

    Inside both horizons these are all levels of either. Beyond the book's horizon, but inside that of the
    witness, they are the levels that the book has.
    """
    levels = 0
    differences: list[Difference] = []
    for mine, theirs in zip(_sides(book), _sides(witness), strict=True):
        due = theirs.away[theirs.away <= min(mine.horizon, theirs.horizon)]
        away = np.union1d(mine.away[mine.away <= theirs.horizon], due)
        levels += len(away)
        differences += _differing(mine, away, mine.sizes_at(away), theirs.sizes_at(away))
    return Comparison(update_id, levels, tuple(differences))


def learn(book: OrderBook, witness: OrderBook) -> None:
    """Add to the book the levels that only the witness has, and move the book's horizon."""
    sides = (book.bids, book.asks)
    for side, mine, theirs in zip(sides, _sides(book), _sides(witness), strict=True):
        new = (theirs.away > mine.horizon) & (theirs.away <= theirs.horizon)
        prices, sizes = theirs.away[new] * theirs.sign, theirs.sizes[new]
        side.update(zip(prices.tolist(), sizes.tolist(), strict=True))
    book.bid_horizon = _farther(min, book.bid_horizon, witness.bid_horizon)
    book.ask_horizon = _farther(max, book.ask_horizon, witness.ask_horizon)


def _sides(book: OrderBook) -> tuple[_Side, _Side]:
    bids, bid_sizes, asks, ask_sizes, bid_horizon, ask_horizon = book.columns()
    lowest = -inf if bid_horizon is None else bid_horizon
    highest = inf if ask_horizon is None else ask_horizon
    return (
        _Side("bid", -1.0, -bids, bid_sizes, -lowest),
        _Side("ask", 1.0, asks, ask_sizes, highest),
    )


def _differing(mine: _Side, away: Floats, ours: Floats, theirs: Floats) -> Iterator[Difference]:
    for at in np.flatnonzero(ours != theirs).tolist():
        price = float(away[at]) * mine.sign
        yield Difference(mine.name, price, float(ours[at]), float(theirs[at]))


def _farther(
    choose: Callable[[float, float], float], a: float | None, b: float | None
) -> float | None:
    return None if a is None or b is None else choose(a, b)
