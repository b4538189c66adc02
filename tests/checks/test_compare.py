"""Which levels two books both know, and where they differ."""

from __future__ import annotations

import pytest

from booktape.checks.compare import KnownSide, differences_of, known_sides
from booktape.core.book import OrderBook
from booktape.core.checks import Difference
from support.oracle import levels


@pytest.mark.parametrize(
    ("name", "horizon", "known"),
    [
        ("bid", None, [98, 99, 100, 101, 102]),
        ("ask", None, [98, 99, 100, 101, 102]),
        ("bid", 100.0, [100, 101, 102]),
        ("ask", 100.0, [98, 99, 100]),
    ],
)
def test_the_horizon_itself_is_known(name: str, horizon: float | None, known: list[float]) -> None:
    """Bids are known from it upwards, asks from it downwards; without a horizon every price is known."""
    prices = [98.0, 99.0, 100.0, 101.0, 102.0]
    window = KnownSide(name, [], horizon)
    assert [price for price in prices if window.knows_price(price)] == known
    assert window.known_of((price, 1.0) for price in prices) == dict.fromkeys(known, 1.0)


def test_both_sides_of_a_book() -> None:
    """Each has its own horizon, and its levels best first."""
    book = OrderBook(levels({"98": "1", "99": "2"}), levels({"103": "3", "102": "4"}), 98.0, 103.0)
    bids, asks = known_sides(book, 2)
    assert bids == ("bid", [(99, 2), (98, 1)], 98)
    assert asks == ("ask", [(102, 4), (103, 3)], 103)


def test_the_best_levels_of_both_sides() -> None:
    """`most` of each, or as many as there are."""
    book = OrderBook(levels({"98": "1", "99": "2"}), levels({"102": "4"}))
    bids, asks = known_sides(book, 1)
    assert (bids.levels, asks.levels) == ([(99, 2)], [(102, 4)])


@pytest.mark.parametrize("name", ["bid", "ask"])
@pytest.mark.parametrize(("horizon", "inside"), [(None, True), (99.0, True), (98.5, False)])
def test_whether_all_levels_are_inside_the_horizon(
    name: str, horizon: float | None, *, inside: bool
) -> None:
    """The worst level decides; the horizon itself is inside, and an empty side is too."""
    sign = 1 if name == "ask" else -1
    edge = horizon and horizon * sign
    window = KnownSide(name, [(98.0 * sign, 1.0), (99.0 * sign, 1.0)], edge)
    assert window.knows_all_of_its_levels() == inside
    assert KnownSide(name, [], edge).knows_all_of_its_levels()


@pytest.mark.parametrize(("name", "order"), [("bid", [103, 101, 100]), ("ask", [100, 101, 103])])
def test_differences_are_reported_best_first(name: str, order: list[float]) -> None:
    """Another size, a level too many, a level too few; a level that neither has is no difference."""
    book, witness = {100.0: 1.0, 101.0: 2.0, 102.0: 5.0}, {100.0: 3.0, 102.0: 5.0, 103.0: 4.0}
    found = list(differences_of(name, book, witness))
    assert [difference.price for difference in found] == order
    assert set(found) == {
        Difference(name, 100, 1, 3),
        Difference(name, 101, 2, 0),
        Difference(name, 103, 0, 4),
    }


def test_a_missing_level_equals_one_of_size_zero() -> None:
    """A deleted level does not exist, even where its zero is kept."""
    assert list(differences_of("bid", {100.0: 0.0}, {101.0: 0.0})) == []
