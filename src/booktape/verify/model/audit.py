"""Compares the book with a later snapshot, when both have reached the same update id."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from booktape.verify.model.book import DecimalBook, DecimalSide
from booktape.verify.model.checks import Verdict, differ, sizes
from booktape.verify.model.decode import Answer, Event
from booktape.verify.model.sync import ModelSync

_KEPT_MAX: Final = 3_000


class ModelAudit:
    """A snapshot of a book that is known. From the request on, every applied event is kept.

    The request was sent at `asked_ns`, when the book had the id `since`.
    """

    def __init__(self, sync: ModelSync, asked_ns: int) -> None:
        self.asked_ns = asked_ns
        self.since = sync.update_id
        self._sync = sync
        self._kept: list[Event] = []
        self._answer: tuple[Answer, int] | None = None

    def keep(self, event: Event) -> bool:
        """Keep an applied event. False: there are too many."""
        self._kept.append(event)
        return len(self._kept) <= _KEPT_MAX

    def answer(self, answer: Answer, limit: int) -> bool:
        """The answer has come. False: it is older than the request, so it cannot be compared."""
        self._answer = answer, limit
        return answer.last >= self.since

    def verdict(self) -> tuple[Verdict, DecimalBook] | None:
        """The comparison, and the answer carried to the book's id, once the book has reached it."""
        if self._answer is None or self._answer[0].last > self._sync.update_id:
            return None
        answer, limit = self._answer
        fresh = DecimalBook.from_answer(answer, limit)
        for event in self._kept:
            if event.last > answer.last:
                fresh.change(event.bids, event.asks)
        levels, wrong = 0, []
        book = self._sync.book
        for ours, theirs in ((book.bids, fresh.bids), (book.asks, fresh.asks)):
            prices = _due(ours, theirs)
            levels += len(prices)
            wrong += differ(ours, prices, sizes(ours), sizes(theirs))
        return Verdict(self._sync.update_id, levels, tuple(wrong)), fresh


def _due(ours: DecimalSide, theirs: DecimalSide) -> set[Decimal]:
    """Prices that both must know, and those of the book beyond its horizon where the answer knows all."""
    both = {p for p in (*ours, *theirs) if ours.knows(p) and theirs.knows(p)}
    return both | {p for p in ours if theirs.knows(p) and not ours.knows(p)}


def learn(ours: DecimalSide, theirs: DecimalSide) -> None:
    """Add the levels that the answer knows beyond our horizon, and move the horizon."""
    if ours.horizon is None:
        return
    new = [level for level in theirs.levels() if not ours.knows(level[0].value)]
    ours.change([level for level in new if theirs.knows(level[0].value)])
    if theirs.horizon is None or not ours.knows(theirs.horizon.value):
        ours.horizon = theirs.horizon
