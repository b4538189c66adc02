"""The heatmap: its cells, its hatching and its legend."""

from __future__ import annotations

import numpy as np
import pytest

import booktape
from booktape.plot import heatmap
from plot import drawn
from reader.truth import moment


@pytest.fixture(scope="module")
def cells(rec: booktape.Recording) -> np.ma.MaskedArray:
    """(bins, columns) of the default picture: 200 ms per column."""
    image = heatmap(rec, "BTCUSDT").axes[0].images[0].get_array()
    assert isinstance(image, np.ma.MaskedArray)
    return image


def test_gaps_are_hatched_and_have_no_colour(
    rec: booktape.Recording, cells: np.ma.MaskedArray
) -> None:
    """Exactly from the gap's start to its end."""
    axes = heatmap(rec, "BTCUSDT").axes[0]
    assert drawn.hatched(axes) == [(moment(40), moment(50))]
    known = np.invert(np.asarray(cells.mask).all(axis=0))
    assert known.tolist() == [not 40 <= column / 5 < 50 for column in range(len(known))]


def test_a_cell_is_the_size_at_its_price(rec: booktape.Recording, cells: np.ma.MaskedArray) -> None:
    """At second 20, when the best bid and the best ask were set to 0.021."""
    axes = heatmap(rec, "BTCUSDT").axes[0]
    low, _ = axes.get_ylim()
    assert round(low, 9) == 90
    column = cells[:, 20 * 5].filled(0)
    prices = low + np.arange(len(column))
    assert column[prices == 100].tolist() == [0.021]
    assert column[prices == 101].tolist() == [0.021]
    assert column[prices == 99].tolist() == [0.002]


def test_the_picture_says_what_its_colours_mean(rec: booktape.Recording) -> None:
    """Symbol, units, the length of a column, and every sign in the legend."""
    figure = heatmap(rec, "BTCUSDT", bps=2_500)
    axes, bar = figure.axes
    assert drawn.title(figure) == "BTCUSDT: what rested in the order book"
    assert "last book known within 200 ms" in axes.get_title("left")
    assert axes.get_ylabel() == "price (USDT)"
    assert axes.get_xlabel() == "time (UTC, when we received it)"
    assert bar.get_ylabel() == "size per 1 USDT of price (BTC)"
    assert drawn.legend(figure) == [
        "mid price",
        "horizon: all levels are known up to here",
        "beyond the horizon: perhaps not all levels",
        "book not known (1 gap, 10 s)",
    ]


def test_the_horizon_is_drawn_where_the_rows_place_it(rec: booktape.Recording) -> None:
    """The deepest prices of the snapshot; if they lie outside the picture, it says so."""
    lines = heatmap(rec, "BTCUSDT", bps=2_500).axes[0].get_lines()
    dashed = [line for line in lines if line.get_linestyle() == "--"]
    prices = np.concatenate([np.asarray(line.get_ydata(), float) for line in dashed])
    assert set(prices[np.isfinite(prices)].tolist()) == {81.0, 120.0}
    narrow = heatmap(rec, "BTCUSDT").axes[0].get_title("left")
    assert narrow.endswith("The horizon is outside the picture.")


def test_a_picture_without_gaps_has_nothing_hatched(rec: booktape.Recording) -> None:
    """It has no word about gaps either."""
    figure = heatmap(rec, "BTCUSDT", moment(60), moment(90))
    assert drawn.hatched(figure.axes[0]) == []
    assert drawn.legend(figure) == ["mid price"]
