"""Rows in other shapes: one row per level, one column per level, one array. Without Python loops over rows.

Rows are stored as `lists`. The other shapes have the best prices only among the levels, not in separate columns. In
`wide` and in the array, a side with fewer levels than the depth is filled with NaN; `long` has no row for a missing
level.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from booktape.core.events import WHOLE_DEPTH, Floats
from booktape.errors import UsageError
from booktape.reader.rows import LISTS, flat
from booktape.store.schema import FIRST_OF

Shape: TypeAlias = Literal["lists", "long", "wide"]

_LEVEL_FIELDS: Final = (
    pa.field("side", pa.string(), nullable=False),
    pa.field("level", pa.int32(), nullable=False),
    pa.field("price", pa.float64(), nullable=False),
    pa.field("size", pa.float64(), nullable=False),
)
# Databento's names (MBP); the order within a level is ours: bid first.
_WIDE_NAMES: Final = ("bid_px", "bid_sz", "ask_px", "ask_sz")


def shaped(batch: pa.RecordBatch, shape: Shape, depth: int | None) -> pa.RecordBatch:
    """A batch of rows in another shape. Raises UsageError for an unknown shape, or `wide` without a depth."""
    if shape in {"wide", "long"} and LISTS[0] not in batch.schema.names:
        raise UsageError(f"Quotes have no levels to show as {shape}. Use snapshots(…, depth=20).")
    if shape == "wide":
        return wide(batch, checked_depth(depth, "wide"))
    if shape == "long":
        return long(batch)
    if shape not in get_args(Shape):
        raise UsageError(f"{shape!r} is not a shape. Choose one of: {', '.join(get_args(Shape))}.")
    return batch


def checked_depth(depth: int | None, what: str) -> int:
    """The depth, which `what` requires. Raises UsageError if it is missing or too large.

    Each level is a column, so an unlimited depth would take all memory. A snapshot has at most `WHOLE_DEPTH` levels.
    """
    if depth is None:
        raise UsageError(f"{what} needs a number of levels. Add depth=20 to snapshots().")
    if depth > WHOLE_DEPTH:
        raise UsageError(f"{what} takes at most {WHOLE_DEPTH:,} levels a side, not {depth:,}.")
    return depth


def wide(batch: pa.RecordBatch, depth: int) -> pa.RecordBatch:
    """One column per level: `bid_px_00, bid_sz_00, ask_px_00, ask_sz_00, bid_px_01, …`."""
    scalars = _scalars(batch)
    sides = [_square(batch, name, depth) for name in LISTS]
    columns, fields = list(scalars.columns), list(scalars.schema)
    for level in range(depth):
        for name, values in zip(_WIDE_NAMES, sides, strict=True):
            columns.append(pa.array(values[:, level]))
            fields.append(pa.field(f"{name}_{level:02d}", pa.float64()))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def long(batch: pa.RecordBatch) -> pa.RecordBatch:
    """One row per level: `side` (bid, ask), `level` from 0, `price`, `size`; bids before asks."""
    of_bids, bids = _positions(batch, "bid_price")
    of_asks, asks = _positions(batch, "ask_price")
    rows = np.concatenate([of_bids, of_asks])
    # A stable sort by row keeps bids before asks, and each side best first.
    order = np.argsort(rows, kind="stable")
    side = np.repeat(np.array(["bid", "ask"], object), [len(bids), len(asks)])
    columns = (
        pa.array(side[order], pa.string()),
        pa.array(np.concatenate([bids, asks])[order].astype(np.int32)),
        pa.array(
            np.concatenate([flat(batch.column("bid_price")), flat(batch.column("ask_price"))])[
                order
            ]
        ),
        pa.array(
            np.concatenate([flat(batch.column("bid_size")), flat(batch.column("ask_size"))])[order]
        ),
    )
    scalars = _scalars(batch).take(pa.array(rows[order]))
    schema = pa.schema([*scalars.schema, *_LEVEL_FIELDS])
    return pa.RecordBatch.from_arrays([*scalars.columns, *columns], schema=schema)


def lobster(batch: pa.RecordBatch, depth: int) -> Floats:
    """(T, 4K) in LOBSTER's order: ask price, ask size, bid price, bid size of each level."""
    names = ("ask_price", "ask_size", "bid_price", "bid_size")
    sides = [_square(batch, name, depth) for name in names]
    return np.stack(sides, axis=2).reshape(batch.num_rows, 4 * depth)


def _scalars(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.select([n for n in batch.schema.names if n not in LISTS and n not in FIRST_OF])


def _positions(batch: pa.RecordBatch, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each level of a list column: its row, and its position in that row."""
    rows = pc.list_parent_indices(batch.column(name)).to_numpy()
    counts = np.bincount(rows, minlength=batch.num_rows)
    starts = np.cumsum(counts) - counts
    return rows, np.arange(len(rows)) - starts[rows]


def _square(batch: pa.RecordBatch, name: str, depth: int) -> Floats:
    """A list column as an array (rows, depth), filled with NaN."""
    rows, positions = _positions(batch, name)
    values = np.full((batch.num_rows, depth), np.nan)
    values[rows, positions] = flat(batch.column(name))
    return values
