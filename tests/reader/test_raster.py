"""The cells of a heatmap: each size in the cell of its price, and nothing where the book was not known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from booktape.reader.raster import PriceAxis, paint, round_up, tick_of
from booktape.reader.rows import SCHEMA


def batch(*books: Mapping[str, object] | None) -> pa.RecordBatch:
    """Rows as `resample` gives them: all null where no book was known."""
    names = ("epoch", "bid_price", "bid_size", "ask_price", "ask_size")
    schema = pa.schema([SCHEMA.field(name).with_nullable(True) for name in names])
    return pa.RecordBatch.from_pylist(
        [{"epoch": 1, **book} if book else {} for book in books], schema
    )


BOOK = {
    "bid_price": [100.0, 99.9, 99.0],
    "bid_size": [1.0, 2.0, 4.0],
    "ask_price": [100.1, 100.4, 200.0],
    "ask_size": [8.0, 16.0, 32.0],
}


def test_each_size_is_in_the_cell_of_its_price() -> None:
    """The sizes of a cell add up; sizes outside the picture are left out."""
    prices = PriceAxis.between(99.0, 100.5, tick=0.1, bins=3)
    assert (prices.low, prices.step, prices.bins, prices.high) == (99.0, 0.5, 3, 100.5)
    assert paint(batch(BOOK), prices).tolist() == [[4.0, 2.0, 25.0]]


def test_an_unknown_book_is_not_an_empty_one() -> None:
    """Its whole column is NaN, while a known book has zero where there are no orders."""
    cells = paint(batch(None, {**BOOK, "bid_price": [], "bid_size": []}), PriceAxis(99.0, 0.5, 3))
    assert np.isnan(cells[0]).all()
    assert cells[1].tolist() == [0.0, 0.0, 24.0]


def test_a_price_on_an_edge_belongs_to_the_cell_above() -> None:
    """Although the doubles of decimals differ slightly from the multiples of the step."""
    prices = PriceAxis.between(0.1, 100.0, tick=0.1, bins=10_000)
    on_edges = np.arange(1, 1_001) / 10
    assert prices.step == 0.1
    assert prices.cells(on_edges).tolist() == list(range(1_000))


def test_no_cell_is_smaller_than_a_tick() -> None:
    """Otherwise every other cell would be empty for no reason of the market's."""
    assert PriceAxis.between(100, 101, tick=0.5, bins=100).bins == 2


@pytest.mark.parametrize(("value", "expected"), [(1.0, 1.0), (1.1, 2.0), (0.03, 0.05), (0.6, 1.0)])
def test_steps_are_round(value: float, expected: float) -> None:
    """1, 2 or 5 times a power of ten, never below what was requested."""
    assert round_up(value) == expected


def test_the_tick_is_the_smallest_step_between_prices() -> None:
    """Over all columns; a single price gives no tick."""
    assert tick_of([np.array([100.3, 100.1]), np.array([100.2, 105.0])]) == 0.1
    assert tick_of([np.array([100.3])]) == 0.0
