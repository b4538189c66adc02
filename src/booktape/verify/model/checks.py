"""Comparisons with witnesses: the levels that differ, and the rows of `checks` that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from booktape.verify.model.book import DecimalBook, DecimalSide
from booktape.verify.model.decimals import as_double

Sizes: TypeAlias = dict[Decimal, Decimal]

REST, DEPTH20, BOOK_TICKER, PULSE, BOOK = "rest", "depth20", "bookTicker", "pulse", "book"
_MINUTE_NS: Final = 60 * 10**9


class Mismatch(NamedTuple):
    """One level on which book and witness differ. Zero: the level is not there."""

    side: str
    price: Decimal
    book: Decimal
    witness: Decimal


class ModelCheck(NamedTuple):
    """A row of `checks`. One that sums several `comparisons` has passed in all of them."""

    symbol: str
    stamp_ns: int
    update_id: int
    witness: str
    levels: int
    mismatches: tuple[Mismatch, ...] = ()
    comparisons: int = 1


class Verdict(NamedTuple):
    """The outcome of one comparison."""

    update_id: int
    levels: int
    mismatches: tuple[Mismatch, ...]


def differ(
    side: DecimalSide, prices: Iterable[Decimal], book: Sizes, witness: Sizes
) -> list[Mismatch]:
    """The prices at which the two are not equal, best first.

    A book from a checkpoint has doubles: numbers with the same double are equal.
    """
    name, nothing = ("bid" if side.sign > 0 else "ask"), Decimal(0)
    pairs = ((p, book.get(p, nothing), witness.get(p, nothing)) for p in prices)
    wrong = [Mismatch(name, p, mine, theirs) for p, mine, theirs in pairs if _differ(mine, theirs)]
    return sorted(wrong, key=lambda mismatch: -side.sign * mismatch.price)


def _differ(mine: Decimal, theirs: Decimal) -> bool:
    return mine != theirs and as_double(mine) != as_double(theirs)


def crossing(book: DecimalBook) -> tuple[Mismatch, ...]:
    """The best bid and the best ask, if the bid is not below the ask as a double."""
    best = [(side, next(iter(side), None)) for side in (book.bids, book.asks)]
    (bids, bid), (asks, ask) = best
    if bid is None or ask is None or as_double(bid) < as_double(ask):
        return ()
    nothing = Decimal(0)
    return (
        Mismatch("bid", bid, bids.sizes[bid].value, nothing),
        Mismatch("ask", ask, asks.sizes[ask].value, nothing),
    )


def sizes(side: DecimalSide) -> Sizes:
    """The levels of one side, as values."""
    return {price: size.value for price, size in side.sizes.items()}


class ModelSummary:
    """Checks that passed, summed by the minute. One that failed is a row of its own."""

    def __init__(self, symbol: str, witness: str, put: Callable[[ModelCheck], None]) -> None:
        self._symbol = symbol
        self._witness = witness
        self._put = put
        self._passed: ModelCheck | None = None

    def add(self, verdict: Verdict, stamp_ns: int) -> None:
        """One more comparison, completed by the record of `stamp_ns`."""
        check = ModelCheck(self._symbol, stamp_ns, verdict.update_id, self._witness, *verdict[1:])
        before = self._passed
        if before and before.stamp_ns // _MINUTE_NS != stamp_ns // _MINUTE_NS:
            self.close()
            before = None
        if check.mismatches:
            self._put(check)
        elif before:
            count, levels = before.comparisons + 1, before.levels + check.levels
            self._passed = check._replace(levels=levels, comparisons=count)
        else:
            self._passed = check

    def close(self) -> None:
        """The minute, or the segment, is over."""
        if self._passed:
            self._put(self._passed)
        self._passed = None
