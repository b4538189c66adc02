"""A screen shows exactly what the book holds."""

from __future__ import annotations

import numpy as np
import pytest

from booktape.core.book import OrderBook
from booktape.reader.book_view import LEVELS, REACHES_BPS, BookView, view_book

BIDS = [(100.0 - n / 10, 1.0 + n) for n in range(40)]
HAIR = 1e-9
ASKS = [(100.1 + n / 10, 2.0 + n) for n in range(60)]


def view(book: OrderBook, reach_bps: int = 100) -> BookView:
    return view_book((7, 5), 11, 3, book.columns(), reach_bps)


def test_the_best_levels_and_all_sizes_within_reach_are_shown() -> None:
    """The cells add up to the sizes within them; nothing appears twice."""
    found = view(OrderBook(BIDS, ASKS, 96.1, None))
    assert (found.time_us, found.event_time_us, found.update_id, found.epoch) == (7, 5, 11, 3)
    assert found.bids == BIDS[:LEVELS]
    assert found.asks == ASKS[:LEVELS]
    assert (found.bid_levels, found.ask_levels) == (40, 60)
    assert (found.bid_horizon, found.ask_horizon) == (96.1, None)
    high = found.low + found.step * len(found.bid_cells)
    assert found.low <= 100.05 * 0.99 + found.step
    assert high >= 100.05 * 1.01 - found.step
    for cells, levels in ((found.bid_cells, BIDS), (found.ask_cells, ASKS)):
        assert sum(cells) == sum(
            size for price, size in levels if found.low - HAIR <= price < high - HAIR
        )


@pytest.mark.parametrize("reach_bps", REACHES_BPS)
def test_a_longer_reach_shows_no_less(reach_bps: int) -> None:
    """It never has more cells than fit on a screen."""
    found = view(OrderBook(BIDS, ASKS), reach_bps)
    assert 1 <= len(found.bid_cells) <= 202
    assert len(found.bid_cells) == len(found.ask_cells)


@pytest.mark.parametrize(("bids", "asks"), [([], ASKS), (BIDS, []), ([], [])])
def test_without_a_mid_there_are_no_cells(
    bids: list[tuple[float, float]], asks: list[tuple[float, float]]
) -> None:
    """Levels are still shown."""
    found = view(OrderBook(bids, asks))
    assert found.bid_cells == found.ask_cells == []
    assert (found.bids, found.asks) == (bids[:LEVELS], asks[:LEVELS])


def test_one_level_a_side_is_enough() -> None:
    """With a spread of half the price."""
    found = view(OrderBook([(1e-8, 5.0)], [(2e-8, 6.0)]), 5)
    assert np.isfinite(found.bid_cells).all()
    assert found.bids == [(1e-8, 5.0)]
