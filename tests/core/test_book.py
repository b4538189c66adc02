"""A book is its levels: after any updates, at any moment, it equals a plain dictionary."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.book import FEW_PENDING, BookSide, OrderBook
from booktape.core.events import DepthSnapshot, Level
from support.oracle import event, levels, snapshot

# Few prices, so that changes collide, but enough that one update can exceed FEW_PENDING.
PRICES = range(1, FEW_PENDING * 3)
SIZES = (0.0, 0.5, 1.0, 12.34567891)


def many(seed: int) -> list[Level]:
    """More changes than are sorted in one by one, made from a single number, which is quick to draw.

    They lie anywhere on the side, or only in its better or worse half.
    """
    chance = Random(seed)
    half = len(PRICES) // 2
    prices = chance.choice([PRICES, PRICES[:half], PRICES[half:]])
    count = chance.randint(FEW_PENDING, len(prices))
    return [(price / 100, chance.choice(SIZES)) for price in chance.sample(prices, count)]


LEVELS = st.tuples(st.sampled_from(PRICES).map(lambda cents: cents / 100), st.sampled_from(SIZES))
UPDATES = st.lists(LEVELS, max_size=6) | st.builds(many, st.integers(0, 10**6))


class Naive:
    """A side as a dictionary that is sorted on every read."""

    def __init__(self) -> None:
        self.sizes: dict[float, float] = {}

    def update(self, changed: list[Level]) -> None:
        for price, size in changed:
            self.sizes[price] = size
            if size == 0:
                del self.sizes[price]

    def best_first(self, *, descending: bool) -> list[Level]:
        return sorted(self.sizes.items(), reverse=descending)


def read(side: BookSide) -> list[Level]:
    prices, sizes = side.best_first()
    return list(zip(prices.tolist(), sizes.tolist(), strict=True))


@given(
    first=UPDATES,
    script=st.lists(st.tuples(UPDATES, st.sampled_from(["", "best", "len", "all"])), max_size=12),
    descending=st.booleans(),
)
def test_any_updates_and_reads_equal_a_dictionary(
    first: list[Level], script: list[tuple[list[Level], str]], descending: bool
) -> None:
    """The result does not depend on how many changes are pending or when the book is read."""
    naive, side = Naive(), BookSide(first, descending=descending)
    naive.update(first)
    for changed, look in script:
        naive.update(changed)
        side.update(changed)
        expected = naive.best_first(descending=descending)
        if look == "best":
            assert side.best() == (expected[0] if expected else None)
        elif look == "len":
            assert len(side) == len(expected)
        elif look == "all":
            assert read(side) == expected
    assert read(side) == naive.best_first(descending=descending)


@pytest.mark.parametrize("pending", [1, FEW_PENDING, FEW_PENDING + 1, 4 * FEW_PENDING])
def test_both_ways_of_sorting_agree(pending: int) -> None:
    """Insert, replace and delete give the same result below and above the crossover."""
    old = [(float(price), 1.0) for price in range(1, 200, 2)]
    changed = [(float(price), float(price % 3)) for price in range(1, pending + 1)]
    naive, side = Naive(), BookSide(old, descending=False)
    naive.update(old)
    assert read(side) == old
    naive.update(changed)
    side.update(changed)
    assert read(side) == naive.best_first(descending=False)


@pytest.mark.parametrize("count", [1, FEW_PENDING + 1])
def test_a_change_is_sorted_in_once(count: int) -> None:
    """Otherwise each read would cost more than the one before."""
    side = BookSide([(float(n), 1.0) for n in range(count)], descending=False)
    side.best()
    assert not side._pending


def test_bids_fall_and_asks_rise() -> None:
    """Both sides are shown best first."""
    book = OrderBook(levels({"99": "1", "100": "2"}), levels({"102": "1", "101": "2"}))
    assert read(book.bids) == [(100, 2), (99, 1)]
    assert read(book.asks) == [(101, 2), (102, 1)]
    assert (book.bids.best(), book.asks.best()) == ((100, 2), (101, 2))


def test_an_empty_side_is_normal() -> None:
    """It has no best level, no levels, and deleting from it changes nothing."""
    book = OrderBook()
    book.apply(event(1, 1, bids={"100": "0"}))
    assert (book.bids.best(), len(book.bids), read(book.asks)) == (None, 0, [])


def test_a_level_deleted_and_set_again_while_pending_stays() -> None:
    """Only the last size counts, as if each event had been applied alone."""
    book = OrderBook(levels({"100": "1"}))
    for size in ("0", "3", "0", "2"):
        book.apply(event(1, 1, bids={"100": size}))
    assert read(book.bids) == [(100, 2)]


def test_one_price_may_be_on_both_sides_of_an_event() -> None:
    """It is in a tenth of real events: the sides do not affect each other."""
    book = OrderBook(levels({"100": "1"}))
    book.apply(event(1, 1, bids={"100": "0"}, asks={"100": "4"}))
    assert (read(book.bids), read(book.asks)) == ([], [(100, 4)])


@pytest.mark.parametrize("pending", [1, FEW_PENDING + 1])
def test_a_row_does_not_change_after_it_was_read(pending: int) -> None:
    """A row is a copy: later updates do not change it, and changing it does not change the book."""
    side = BookSide([(1.0, 1.0), (2.0, 2.0)], descending=True)
    prices, sizes = side.best_first()
    side.update([(float(price), 9.0) for price in range(1, pending + 1)])
    side.best()
    assert (prices.tolist(), sizes.tolist()) == ([2, 1], [2, 1])
    prices[:] = 0
    assert side.best_first()[0].tolist()[-1] == 1


@pytest.mark.parametrize("descending", [True, False])
def test_the_best_levels_as_pairs(*, descending: bool) -> None:
    """`most` of them, or all if there are fewer; pending changes count; floats are Python's own."""
    side = BookSide([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)], descending=descending)
    side.update([(2.0, 0.0), (4.0, 4.0)])
    best_first = [(4.0, 4.0), (3.0, 3.0), (1.0, 1.0)]
    best_first = best_first if descending else best_first[::-1]
    assert [side.levels(most) for most in (1, 2, 3, 9)] == [best_first[:n] for n in (1, 2, 3, 9)]
    assert side.levels() == best_first
    assert BookSide([], descending=descending).levels(1) == []
    assert {type(number) for pair in side.levels() for number in pair} == {float}


@pytest.mark.parametrize(("descending", "counts"), [(True, [0, 1, 2]), (False, [3, 3, 2])])
def test_how_many_levels_are_at_least_as_good_as_a_price(
    counts: list[int], *, descending: bool
) -> None:
    """A level at the price itself is included; pending changes count."""
    side = BookSide([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)], descending=descending)
    assert [side.count_to(price) for price in (3.5, 3.0, 2.0)] == counts
    side.update([(2.0, 0.0), (3.0, 0.0)])
    assert [side.count_to(price) for price in (0.5, 2.5)] == ([1, 0] if descending else [0, 1])


def test_a_row_is_doubles() -> None:
    """Columns are double precision, also when empty."""
    assert [column.dtype for column in OrderBook().bids.best_first()] == [np.float64, np.float64]


def test_trap_4_a_full_side_is_known_only_down_to_its_last_price() -> None:
    """Trap 4, the horizon: the answer's limit cuts a side, and the book says where."""
    book = OrderBook.from_snapshot(
        snapshot(1, {"100": "1", "99": "1"}, {"101": "1", "102": "1"}, limit=2)
    )
    assert (book.bid_horizon, book.ask_horizon) == (99, 102)


def test_trap_4_a_shorter_side_is_complete() -> None:
    """Trap 4, the horizon: if there are fewer levels than requested, these are all."""
    book = OrderBook.from_snapshot(snapshot(1, {"100": "1", "99": "1"}, {"101": "1"}, limit=2))
    assert (book.bid_horizon, book.ask_horizon) == (99, None)


def test_equality_compares_levels() -> None:
    """Two books are equal if their levels are, however they came about; horizons do not count."""
    one = OrderBook(levels({"100": "1"}), levels({"101": "1"}), bid_horizon=100)
    other = OrderBook(levels({"100": "5", "99": "1"}), levels({"101": "1"}))
    assert one != other
    other.apply(event(1, 1, bids={"100": "1", "99": "0"}))
    assert one == other
    other.apply(event(2, 2, asks={"101": "2"}))
    assert one != other


def test_a_book_is_only_equal_to_a_book() -> None:
    """Nothing else equals it, and a book, since it changes, cannot be a dictionary key."""
    assert OrderBook() != object()
    assert OrderBook().__eq__(object()) is NotImplemented
    with pytest.raises(TypeError, match="unhashable"):
        hash(OrderBook())


def test_a_level_of_size_zero_counts_towards_the_limit_but_is_not_kept() -> None:
    """No real answer has one; if one did, the side would still not be called complete."""
    book = OrderBook.from_snapshot(DepthSnapshot("BTCUSDT", 2, 7, [(5.0, 1.0), (4.0, 0.0)], []))
    assert book.bids.best_first()[0].tolist() == [5.0]
    assert (book.bid_horizon, book.ask_horizon) == (4.0, None)
