"""The mean spread of each interval of time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from booktape.core.events import Floats
from booktape.reader.resample import TIME, Ints, with_validity

COLUMNS: Final = ("receive_time", "epoch", "best_bid", "best_ask")
_FIELDS: Final[list[pa.Field[Any]]] = [
    TIME,
    pa.field("spread", pa.float64()),
    pa.field("spread_bps", pa.float64()),
    pa.field("known_s", pa.float64(), nullable=False),
]
SPREAD: Final = pa.schema(_FIELDS)
_NEVER: Final = 2**62


def mean_spread(
    batches: Iterable[pa.RecordBatch],
    ended: Mapping[int, int],
    interval_us: int,
    start_us: int | None = None,
    end_us: int | None = None,
) -> pa.Table:
    """Spread and its hundredths of a percent of the mid, as means over the time that is known, by interval.

    `batches` have the COLUMNS. A row counts until the next one, or until its epoch ended, which `ended` says in
    microseconds, but not before `start_us` and not beyond `end_us`. A row with an empty side has no spread and does not
    count.
    """
    limits = start_us if start_us is not None else -_NEVER, end_us if end_us is not None else _NEVER
    parts: list[tuple[Ints, Floats]] = []
    touched: list[int] = []

    def count(rows: pa.RecordBatch, begins: Ints, ends: Ints) -> None:
        begun = (limits[0] <= begins) & (begins < limits[1])
        begins, ends = np.clip(begins, *limits), np.clip(ends, *limits)
        shown = begun | (begins < ends)
        if shown.any():
            reached = np.maximum(begins, ends - 1)[shown]
            touched.extend((int(begins[shown].min()), int(reached.max())))
            parts.append(_sums(rows, begins, ends, interval_us))

    last: tuple[pa.RecordBatch, Ints] | None = None
    for rows, begins in with_validity(batches):
        count(rows, begins[:-1], _ends(rows, begins, ended))
        last = rows.slice(rows.num_rows - 1), begins[-1:]
    if last is not None:
        row, begin = last
        until_us = ended.get(row.column("epoch")[0].as_py(), int(begin[0]))
        count(row, begin, np.array([until_us]))
    if not parts:
        return SPREAD.empty_table()
    return _table(parts, min(touched) // interval_us, max(touched) // interval_us, interval_us)


def _ends(rows: pa.RecordBatch, begins: Ints, ended: Mapping[int, int]) -> Ints:
    """When each row but the last stops being valid: at the next row, or at the end of its epoch."""
    ends: Ints = begins[1:].copy()
    epochs = rows.column("epoch").to_numpy()
    for row in np.flatnonzero(np.diff(epochs)).tolist():
        # If the archive has no gap there, the end of the epoch is not known.
        ends[row] = min(ends[row], ended.get(int(epochs[row]), begins[row]))
    return ends


def _sums(rows: pa.RecordBatch, begins: Ints, ends: Ints, interval_us: int) -> tuple[Ints, Floats]:
    """Cut the time of each row that has an end at the bounds of the intervals. The last row may have none.

    Returns the numbers of the intervals, and for each interval the known microseconds, and the spread and the bps
    multiplied by their microseconds.
    """
    bid, ask = (
        rows.column(name).to_numpy(zero_copy_only=False)[: len(ends)] for name in COLUMNS[2:]
    )
    with np.errstate(over="ignore", invalid="ignore"):  # prices of 1e308 have no mid
        spread = ask - bid
        bps = spread / ((ask + bid) / 2) * 1e4
    counted = np.flatnonzero((ends > begins) & np.isfinite(spread))
    firsts = begins[counted] // interval_us
    counts = (ends[counted] - 1) // interval_us - firsts + 1
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    intervals = np.repeat(firsts, counts) + nth
    of = np.repeat(counted, counts)
    low, high = intervals * interval_us, (intervals + 1) * interval_us
    known_us = np.minimum(ends[of], high) - np.maximum(begins[of], low)
    found, places = np.unique(intervals, return_inverse=True)
    weighted = known_us, known_us * spread[of], known_us * bps[of]
    sums = [np.bincount(places, each, len(found)).astype(np.float64) for each in weighted]
    return found, np.stack(sums)


def _table(parts: list[tuple[Ints, Floats]], first: int, last: int, interval_us: int) -> pa.Table:
    """One row for each interval; its spread is null if no book was known in it."""
    totals = np.zeros((3, last - first + 1))
    for intervals, sums in parts:
        totals[:, intervals - first] += sums
    known_us, spread, bps = totals
    unknown = known_us == 0
    known = np.where(unknown, 1.0, known_us)
    columns: list[pa.Array[Any]] = [
        pa.array(np.arange(first, last + 1) * interval_us).cast(TIME.type),
        pa.array(spread / known, mask=unknown),
        pa.array(bps / known, mask=unknown),
        pa.array(known_us / 1e6),
    ]
    return pa.Table.from_arrays(columns, schema=SPREAD)
