"""Spread and imbalance: the usual figures, and nothing across a gap."""

from __future__ import annotations

import numpy as np
import pytest

import booktape
from booktape.errors import UsageError
from booktape.plot import spread
from booktape.plot.spread import imbalance, spread_bps
from booktape.reader.book_grid import BookGrid
from booktape.reader.time_range import TimeRange
from plot import drawn
from reader.truth import moment


def test_every_panel_hatches_the_gap(rec: booktape.Recording) -> None:
    """None draws a line through it."""
    figure = spread(rec, "BTCUSDT")
    assert len(figure.axes) == 3
    for axes in figure.axes:
        assert drawn.hatched(axes) == [(moment(40), moment(50))]
        days, values = (np.asarray(one, float) for one in axes.get_lines()[0].get_data())
        inside = [moment(40) <= drawn.when(day) < moment(50) for day in days]
        assert np.isnan(values[inside]).all()
        assert np.isfinite(values[np.invert(inside)]).sum() > 500


def test_the_figures_are_the_usual_ones(rec: booktape.Recording) -> None:
    """99.5 bps of spread; and (bids - asks) / (bids + asks) of the best levels."""
    grid = BookGrid(rec, TimeRange.clip(rec, "BTCUSDT", None, None, 119))
    assert np.nanmax(spread_bps(grid)) == pytest.approx(1 / 100.5 * 1e4)
    rows = rec.snapshots("BTCUSDT", depth=2).resample("1s").to_pandas("wide")
    bids, asks = (rows[f"{side}_sz_00"] + rows[f"{side}_sz_01"] for side in ("bid", "ask"))
    np.testing.assert_array_equal(imbalance(grid, 2), (bids - asks) / (bids + asks))


def test_its_words_say_what_is_drawn(rec: booktape.Recording) -> None:
    """Units on every axis, and both colours in the legend."""
    figure = spread(rec, "ETHUSDT", levels=3)
    assert drawn.title(figure) == "ETHUSDT: best prices, spread and imbalance"
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["price (USDT)", "spread (bps of the mid)", "imbalance of\nthe best 3 levels"]
    assert drawn.legend(figure) == ["best ask", "best bid", "book not known (1 gap, 10 s)"]


def test_a_number_of_levels_below_one_is_refused(rec: booktape.Recording) -> None:
    """Like any other impossible number."""
    with pytest.raises(UsageError):
        spread(rec, "BTCUSDT", levels=0)
