"""The book over a range of time, for pictures: one column an interval, with the last book known in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from booktape.core.events import Floats
from booktape.reader.raster import DRAWN_MAX, PriceAxis, check_can_be_drawn, paint, tick_of
from booktape.reader.recording import RecordingQueries
from booktape.reader.resample import Ints
from booktape.reader.rows import LISTS, flat
from booktape.reader.time_range import TimeRange
from booktape.reader.times import moment_us

_BEST: Final = ("best_bid", "best_ask", "bid_horizon", "ask_horizon", "epoch")
_FEW_LEVELS: Final = 5


class BookGrid:
    """The columns of a picture, on the grid of `resample`; the first one holds the start of the range.

    `best` has the best prices, the horizons and the epoch of each column; NaN where no book was known. No lists of
    levels are read for it. Raises NotRecorded for prices that cannot be drawn.
    """

    def __init__(self, recording: RecordingQueries, shown: TimeRange) -> None:
        self._recording = recording
        self._shown = shown
        self._ended = recording.snapshots(shown.symbol, end=shown.after).ends_of_epochs()
        self.step_us = shown.interval // timedelta(microseconds=1)
        self._first = moment_us(shown.start) // self.step_us
        self.begin_us = self._first * self.step_us
        self.count = moment_us(shown.end) // self.step_us - self._first + 1
        self.best = {name: np.full(self.count, np.nan) for name in _BEST}
        for places, batch in self._columns(_BEST):
            for name, values in self.best.items():
                values[places] = batch.column(name).to_numpy(zero_copy_only=False)
        check_can_be_drawn(shown.symbol, self.best["best_bid"], self.best["best_ask"])

    @property
    def mid(self) -> Floats:
        """Halfway between best bid and best ask."""
        mid: Floats = (self.best["best_bid"] + self.best["best_ask"]) / 2
        return mid

    def prices(self, bins: int, bps: float | None) -> PriceAxis:
        """About `bins` cells around the best prices, as in `PriceAxis.around`; none without a mid."""
        if not np.isfinite(self.mid).any():
            return PriceAxis(0.0, 1.0, 0)
        best = self.best["best_bid"], self.best["best_ask"]
        # The row before the range and the first batch are enough to find the step of the symbol's prices.
        some = islice(self._columns(("bid_price", "ask_price"), _FEW_LEVELS), 2)
        sides = [side for _, rows in some for side in (rows["bid_price"], rows["ask_price"])]
        return PriceAxis.around(*best, tick_of([*best, *map(flat, sides)]), bins, bps)

    def cells(self, prices: PriceAxis) -> Floats:
        """(columns, bins) sizes; NaN where no book was known."""
        cells = np.full((self.count, prices.bins), np.nan)
        for places, batch in self._columns(LISTS):
            cells[places] = paint(batch, prices)
        return cells

    def total_sizes(self, side: str, levels: int) -> Floats:
        """The sum of the sizes of the best `levels` of a side, `bid` or `ask`; NaN where the side is empty."""
        totals = np.full(self.count, np.nan)
        for places, batch in self._columns((f"{side}_size",), levels):
            column = batch.column(f"{side}_size")
            rows = pc.list_parent_indices(column).to_numpy()
            sizes = np.bincount(rows, np.minimum(flat(column), DRAWN_MAX), batch.num_rows)
            counts = np.bincount(rows, minlength=batch.num_rows)
            totals[places] = np.where(counts > 0, sizes, np.nan)
        return totals

    def _columns(
        self, names: Sequence[str], depth: int | None = None
    ) -> Iterator[tuple[Ints, pa.RecordBatch]]:
        """The last book known in each column: the numbers of columns, and a row for each, or one row for all of them.

        A later pair replaces an earlier one. The last row before the range is valid from the range's start, and the last
        row in it up to its end, unless their epochs ended: rows after the range are not read.
        """
        symbol, start, after = self._shown.symbol, self._shown.start, self._shown.after
        names = [*names, "epoch"] if "epoch" not in names else names
        before = self._recording.snapshots(symbol, end=start, depth=depth).last_row(names)
        if before is not None:
            yield self._held(before, 0), before
        rows = self._recording.snapshots(symbol, start, after, depth=depth)
        last: pa.RecordBatch | None = None
        for batch in rows.resample(self._shown.interval).batches(names):
            # Columns are found by time, because a running recording may have more rows at the next reading.
            numbers = batch.column("time").cast(pa.int64()).to_numpy() // self.step_us - self._first
            yield numbers, batch
            last = batch.slice(batch.num_rows - 1) if batch.num_rows else last
        if last is not None:
            time_us = last.column("time").cast(pa.int64())[0].as_py()
            yield self._held(last, time_us // self.step_us - self._first + 1), last

    def _held(self, row: pa.RecordBatch, begin: int) -> Ints:
        """The columns from `begin` on in which this row is valid, if it is the last one."""
        ended_us = self._ended.get(row.column("epoch")[0].as_py())
        end = self.count
        if ended_us is not None:
            end = min(end, (ended_us - 1) // self.step_us - self._first + 1)
        return np.arange(begin, end)
