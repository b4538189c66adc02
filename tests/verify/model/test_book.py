"""The plain book: sorted by value, exact, and known only as far as its snapshot went."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from booktape.verify.model.book import DecimalBook, DecimalSide
from booktape.verify.model.decimals import number
from booktape.verify.model.decode import Answer, Levels


def levels(*texts: str) -> Levels:
    """`"100 1"` is one level."""
    return [(number(price), number(size)) for price, size in (text.split() for text in texts)]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), max_size=40), st.sampled_from([1, -1])
)
def test_a_side_holds_what_was_sent_last(changes: list[tuple[int, int]], sign: int) -> None:
    """Best first, doubles beside decimals, after any changes."""
    side = DecimalSide(sign, levels(*(f"{price} {size}" for price, size in changes)))
    truth = {price: size for price, size in dict(changes).items() if size}
    order = sorted(truth, reverse=sign > 0)
    assert list(side) == order
    prices, sizes = side.doubles()
    assert prices.tolist() == order
    assert sizes.tolist() == [truth[price] for price in order]
    assert side.best(3) == {Decimal(p): Decimal(truth[p]) for p in order[:3]}
    assert [price.value for price, _ in side.levels()] == sorted(truth)


def test_two_texts_of_one_value_are_one_price() -> None:
    """`100`, `100.00` and `1e2` are the same price."""
    side = DecimalSide(1, levels("100 1", "100.00 2", "1e2 3"))
    assert list(side.sizes.values()) == [number("3")]


def test_a_full_side_is_known_to_its_last_price() -> None:
    """A shorter side is known completely."""
    book = DecimalBook.from_answer(Answer(1, levels("9 1", "8 1"), levels("10 1")), limit=2)
    assert book.bids.horizon == number("8")
    assert book.asks.horizon is None
    assert [book.bids.knows(Decimal(price)) for price in (9, 8, 7)] == [True, True, False]
    assert book.asks.knows(Decimal(999))
    asks = DecimalBook.from_answer(Answer(1, [], levels("10 1", "11 1")), limit=2).asks
    assert [asks.knows(Decimal(price)) for price in (10, 11, 12)] == [True, True, False]


def test_levels_beyond_the_horizon_are_not_among_the_best() -> None:
    """Although they are in the book."""
    side = DecimalSide(1, levels("9 1", "5 1"), number("8"))
    assert side.best(20) == {Decimal(9): Decimal(1)}
    assert list(side) == [9, 5]


def test_numbers_that_are_not_exact_doubles_are_reported() -> None:
    """While they are in the book, and no longer."""
    book = DecimalBook.empty()
    book.change(levels("9 0.10000000000000000001"), levels("10.00000000000000000001 0"))
    for _ in range(2):
        assert [str(n.value) for n in book.inexact()] == ["0.10000000000000000001"]
    book.change(levels("9 0.1"), levels("10.00000000000000000001 2"))
    assert [str(n.value) for n in book.inexact()] == ["10.00000000000000000001"]
    assert [price.exact for price, _ in (*book.bids.levels(), *book.asks.levels())] == [True, False]
    book.change([], levels("10.00000000000000000001 0"))
    assert not list(book.inexact())
