"""The exchange's numbers at their limits."""

from __future__ import annotations

import pytest

from booktape.wire import limits


@pytest.mark.parametrize(
    ("limit", "weight"),
    [(1, 5), (100, 5), (101, 25), (500, 25), (501, 50), (1000, 50), (1001, 250), (5000, 250)],
)
def test_weight_of_a_snapshot(limit: int, weight: int) -> None:
    """Weight of `/depth`: 1-100 levels 5, 101-500 25, 501-1000 50, 1001-5000 250."""
    assert limits.BINANCE.depth_weight(limit) == weight


@pytest.mark.parametrize(
    ("levels", "limit"),
    [(0, 100), (99, 100), (100, 500), (499, 500), (999, 1000), (1000, 5000), (9000, 5000)],
)
def test_the_cheapest_limit_that_shows_a_whole_side(levels: int, limit: int) -> None:
    """One more than the side has, because a side that fills the limit may continue beyond it."""
    assert limits.fitting_limit(levels, 5000) == limit


def test_no_limit_exceeds_the_wanted_depth() -> None:
    """More levels are not needed."""
    assert limits.fitting_limit(0, 50) == 50
    assert limits.fitting_limit(200, 300) == 300


@pytest.mark.parametrize(
    ("levels", "span_bps", "limit"),
    [(100, 40, 5000), (100, 41, 500), (500, 200, 5000), (500, 201, 1000), (1000, 9e9, 5000)],
)
def test_a_dense_side_is_requested_in_full_at_once(
    levels: int, span_bps: float, limit: int
) -> None:
    """Any other side is requested step by step."""
    assert limits.deeper_limit(levels, span_bps, 5000) == limit
    assert limits.deeper_limit(levels, span_bps, 300) == 300


@pytest.mark.parametrize(("symbols", "limit"), [(1, 5000), (24, 5000), (25, 100)])
def test_how_much_of_a_book_is_requested_first(symbols: int, limit: int) -> None:
    """All of it if one minute's weight pays for all books; otherwise the best levels of all come first."""
    assert limits.first_limit(symbols, 5000) == limit


def test_a_minute_s_weight_pays_for_24_full_snapshots() -> None:
    """This number limits how fast many symbols can start."""
    assert limits.WEIGHT_PER_MINUTE // limits.BINANCE.depth_weight(limits.DEPTH_MAX) == 24
