"""The same numbers in every shape: compared level by level with plain loops over the lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import booktape
from booktape.core.events import BookRow
from booktape.errors import UsageError
from booktape.reader.rows import SCHEMA
from booktape.reader.shapes import lobster, long, shaped, wide
from booktape.store.schema import snapshot_batch
from reader.truth import moment

SIDES: list[tuple[list[float], list[float]]] = [
    ([3.0, 2.0, 1.0], [4.0]),
    ([], []),
    ([3.0], [4.0, 5.0, 6.0]),
    ([], [4.0, 5.0]),
]


@pytest.fixture
def batch() -> pa.RecordBatch:
    """Sides of every length, none included."""
    rows = []
    for number, (bids, asks) in enumerate(SIDES):
        bid, ask = np.array(bids), np.array(asks)
        rows.append(
            BookRow("X", None, number, number, 1, 0, bid, bid / 10, ask, ask / 10, None, None)
        )
    stored = snapshot_batch(rows)
    symbol = pa.array(["X"] * len(rows))
    return pa.RecordBatch.from_arrays([symbol, *stored.columns], schema=SCHEMA)


def test_long_has_one_row_a_level(batch: pa.RecordBatch) -> None:
    """Bids before asks, best first, counted from 0, with the row's own columns; an empty book has no rows."""
    wanted = [
        (number, side, level, price, price / 10)
        for number, (bids, asks) in enumerate(SIDES)
        for side, prices in (("bid", bids), ("ask", asks))
        for level, price in enumerate(prices)
    ]
    names = ("update_id", "side", "level", "price", "size")
    found = [tuple(row[name] for name in names) for row in long(batch).to_pylist()]
    assert found == wanted
    assert long(batch).schema.names[:7] == [*SCHEMA.names[:6], "bid_horizon"]
    assert not {"best_bid", "bid_px_00"} & {*long(batch).schema.names}


def at(values: list[float], level: int) -> float:
    return values[level] if level < len(values) else float("nan")


def test_wide_has_one_column_a_level(batch: pa.RecordBatch) -> None:
    """With Databento's names; a missing level is NaN."""
    found: dict[str, Any] = wide(batch, 3).to_pydict()
    names = ["bid_px_00", "bid_sz_00", "ask_px_00", "ask_sz_00", "bid_px_01"]
    assert list(found)[8:13] == names
    assert len(found) == 8 + 4 * 3
    for level in range(3):
        for side, place in (("bid", 0), ("ask", 1)):
            wanted = np.array([at(sides[place], level) for sides in SIDES])
            np.testing.assert_array_equal(found[f"{side}_px_{level:02d}"], wanted)
            np.testing.assert_array_equal(found[f"{side}_sz_{level:02d}"], wanted / 10)


def test_the_array_is_in_lobsters_order(batch: pa.RecordBatch) -> None:
    """Ask price, ask size, bid price, bid size; then the next level."""
    found = lobster(batch, 3)
    assert found.shape == (4, 12)
    for number, (bids, asks) in enumerate(SIDES):
        for level in range(3):
            ask, bid = at(asks, level), at(bids, level)
            wanted = [ask, ask / 10, bid, bid / 10]
            np.testing.assert_array_equal(found[number, 4 * level : 4 * level + 4], wanted)


def test_a_slice_of_a_batch_is_shaped_as_itself(batch: pa.RecordBatch) -> None:
    """Offsets inside a larger array do not matter."""
    part = batch.slice(2, 2)
    assert long(part).to_pylist() == long(batch).to_pylist()[4:]
    np.testing.assert_array_equal(lobster(part, 3), lobster(batch, 3)[2:])


def test_an_unknown_shape_is_refused(batch: pa.RecordBatch) -> None:
    """The sentence names the valid ones."""
    with pytest.raises(
        UsageError, match=r"'flat' is not a shape. Choose one of: lists, long, wide"
    ):
        shaped(batch, "flat", 1)  # type: ignore[arg-type]


def test_wide_and_the_array_need_a_depth(rec: booktape.Recording) -> None:
    """There are no 40,000 columns by default."""
    rows = rec.snapshots("BTCUSDT")
    with pytest.raises(UsageError, match=r"wide needs a number of levels. Add depth=20"):
        rows.to_arrow("wide")
    with pytest.raises(UsageError, match=r"wide takes at most 5,000 levels a side, not 5,001"):
        rec.snapshots(rec.symbols()[0], depth=5_001).to_arrow("wide")
    with pytest.raises(UsageError, match="an array needs a number of levels"):
        rows.to_numpy()


@pytest.mark.parametrize("shape", ["lists", "long", "wide"])
def test_an_empty_result_has_the_same_columns(rec: booktape.Recording, shape: Any) -> None:
    """A query without rows gives an empty frame, not an error."""
    some = rec.snapshots("BTCUSDT", depth=2)
    none = rec.snapshots("BTCUSDT", moment(-9), moment(-8), depth=2)
    assert none.to_arrow(shape).schema == some.to_arrow(shape).schema
    assert none.to_arrow(shape).num_rows == 0
    assert none.to_numpy().shape == (0, 8)
    assert none.epochs().shape == (0,)
    assert list(none) == []
    assert none.resample("1s").to_arrow(shape).num_rows == 0
