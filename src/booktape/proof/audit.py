"""The book against a later REST snapshot: the proof in depth, and how the horizon moves.

Both are carried to the same update id: the book by the events it gets anyway, the answer by the
events that were applied since the request left. Then every level that both must know is compared,
and where the answer knows further than the book, the book learns it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from booktape.core.book import Book
from booktape.core.events import DepthEvent, DepthSnapshot
from booktape.core.proving import Difference
from booktape.proof.window import Comparison, Window, differing, windows

KEPT_MAX: Final = 3_000
"""Events kept for an answer: five minutes of the busiest symbol, at ten a second."""


class Audit:
    """One under way: from the request's leaving until the book has reached the answer."""

    def __init__(self, since_id: int) -> None:
        self._since_id = since_id
        self._kept: list[DepthEvent] = []
        self._answer: DepthSnapshot | None = None

    @property
    def limit(self) -> int:
        """How many levels a side the answer shows at most; 0 before it has come."""
        return self._answer.limit if self._answer else 0

    def keep(self, event: DepthEvent) -> bool:
        """Remember an event that was applied; False when there are too many."""
        self._kept.append(event)
        return len(self._kept) <= KEPT_MAX

    def take(self, answer: DepthSnapshot) -> bool:
        """The answer has come; False when it is older than what was kept, so nothing follows."""
        self._answer = answer
        return answer.last_id >= self._since_id

    def witness(self, update_id: int) -> Book | None:
        """The answer carried to the book's `update_id`; None while it is ahead of the book.

        The event that straddles its id is applied whole: sizes are absolute.
        """
        if self._answer is None or self._answer.last_id > update_id:
            return None
        book = Book.of(self._answer)
        for event in self._kept:
            if event.last_id > self._answer.last_id:
                book.apply(event)
        return book


def compare(update_id: int, book: Book, witness: Book) -> Comparison:
    """Compare every level that both must know, or one has where the other must know it.

    Inside both horizons that is all of either; beyond the book's own, but inside the witness's,
    whatever the book has.
    """
    levels = 0
    differences: list[Difference] = []
    for mine, theirs in zip(windows(book), windows(witness), strict=True):
        ours = theirs.inside(mine.levels.items())
        due = mine.inside(theirs.inside(theirs.levels.items()).items())
        due.update((price, theirs.levels.get(price, 0.0)) for price in ours)
        levels += len(due)
        differences += differing(mine.name, ours, due)
    return Comparison(update_id, levels, tuple(differences))


def learn(book: Book, witness: Book) -> None:
    """Where the witness knows further than the book, take over what it knows."""
    bids, asks = (
        _unknown(mine, theirs) for mine, theirs in zip(windows(book), windows(witness), strict=True)
    )
    book.bids.update(bids.items())
    book.asks.update(asks.items())
    book.bid_horizon = _farther(min, book.bid_horizon, witness.bid_horizon)
    book.ask_horizon = _farther(max, book.ask_horizon, witness.ask_horizon)


def _unknown(mine: Window, theirs: Window) -> dict[float, float]:
    known = theirs.inside(theirs.levels.items())
    return {price: size for price, size in known.items() if not mine.holds(price)}


def _farther(
    choose: Callable[[float, float], float], a: float | None, b: float | None
) -> float | None:
    return None if a is None or b is None else choose(a, b)
