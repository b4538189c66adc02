"""A book's best prices, and which of them exist if a side is empty."""

from __future__ import annotations

import numpy as np
import pytest

import booktape
from booktape.core.events import BookRow


def book(bids: list[float], asks: list[float]) -> booktape.Book:
    bid, ask = np.array(bids), np.array(asks)
    row = BookRow("X", None, 1_999, 1, 1, 0, bid, bid * 0 + 1, ask, ask * 0 + 1, None, 101.0)
    return booktape.Book.of(row)


def test_a_full_book_has_its_prices() -> None:
    """Best, middle and spread; times lose their nanoseconds."""
    full = book([99.0, 98.0], [101.0])
    assert (full.best_bid, full.best_ask, full.mid, full.spread) == (99.0, 101.0, 100.0, 2.0)
    assert (full.event_time, full.receive_time.microsecond) == (None, 1)
    assert (full.bid_horizon, full.ask_horizon) == (None, 101.0)


@pytest.mark.parametrize(("bids", "asks"), [([], [101.0]), ([99.0], []), ([], [])])
def test_an_empty_side_has_no_best(bids: list[float], asks: list[float]) -> None:
    """It is None, never a number."""
    half = book(bids, asks)
    assert (half.best_bid, half.best_ask) == (
        bids[0] if bids else None,
        asks[0] if asks else None,
    )
    assert (half.mid, half.spread) == (None, None)
