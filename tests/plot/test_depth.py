"""The depth picture: stairs that add up, from the touch outwards."""

from __future__ import annotations

import numpy as np
import pytest

import booktape
from booktape.errors import BookNotKnown
from booktape.plot import depth
from plot import drawn
from reader.truth import moment


def test_each_step_is_the_sum_of_the_sizes_up_to_it(rec: booktape.Recording) -> None:
    """From the best price to this one."""
    bids, asks = depth(rec, "BTCUSDT", moment(0), bps=800).axes[0].get_lines()[:2]
    assert np.asarray(bids.get_xdata())[:-1].tolist() == [100 - level for level in range(8)]
    assert np.asarray(bids.get_ydata())[:-1].tolist() == list(range(1, 9))
    assert np.asarray(asks.get_xdata())[:-1].tolist() == [101 + level for level in range(8)]


def test_its_words_give_time_and_depth(rec: booktape.Recording) -> None:
    """Without a requested moment the last one is shown."""
    figure = depth(rec, "BTCUSDT", bps=2_500)
    axes = figure.axes[0]
    assert drawn.title(figure) == "BTCUSDT: depth of the book at 2026-06-09 00:01:59.000 UTC"
    assert "Best bid 100, best ask 101, spread 1 (99.5 bps)" in axes.get_title("left")
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "price (USDT)",
        "size from the best price up to here (BTC)",
    )
    assert drawn.legend(figure)[2:] == [
        "horizon: all levels are known up to here",
        "beyond the horizon: perhaps not all levels",
    ]
    assert "on 20 levels" in drawn.legend(figure)[0]


def test_no_book_is_drawn_inside_a_gap(rec: booktape.Recording) -> None:
    """The reader's refusal is passed on."""
    with pytest.raises(BookNotKnown):
        depth(rec, "BTCUSDT", moment(45))
