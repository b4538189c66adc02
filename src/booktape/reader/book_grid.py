"""The book over a range of time, for pictures: one column an interval, with the last book known in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from booktape.core.events import Floats
from booktape.reader.raster import DRAWN_MAX, Prices, check_can_be_drawn, paint, tick_of
from booktape.reader.recording import RecordingQueries
from booktape.reader.resample import Ints
from booktape.reader.rows import LISTS, flat
from booktape.reader.snapshots import Snapshots
from booktape.reader.time_range import TimeRange
from booktape.reader.times import moment_us

_BEST: Final = ("best_bid", "best_ask", "bid_horizon", "ask_horizon", "epoch")
_FEW_LEVELS: Final = 5


class BookGrid:
    """The columns of a picture, on the grid of `resample`; the first one holds the start of the range.

    `best` has the best prices, the horizons and the epoch of each column; NaN where no book was known. Making it reads
    no lists of levels. Raises NotRecorded for prices that cannot be drawn.
    """

    def __init__(self, recording: RecordingQueries, shown: TimeRange) -> None:
        self._recording = recording
        self._shown = shown
        self.step_us = shown.interval // timedelta(microseconds=1)
        self._first = moment_us(shown.start) // self.step_us
        self.begin_us = self._first * self.step_us
        self.count = moment_us(shown.end) // self.step_us - self._first + 1
        # From the last row before the range on: it is valid in it.
        before = recording.snapshots(shown.symbol, end=shown.start, depth=1).last()
        self._since = before.receive_time if before else shown.start
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

    def prices(self, bins: int, bps: float | None) -> Prices:
        """About `bins` cells around the best prices, as `Prices.around` has them; none without a mid."""
        if not np.isfinite(self.mid).any():
            return Prices(0.0, 1.0, 0)
        best = self.best["best_bid"], self.best["best_ask"]
        # The first rows, as many as are decoded at once, show the step of the symbol's prices.
        rows = self._rows(_FEW_LEVELS)
        some = next((b for b in rows.batches(("bid_price", "ask_price")) if b.num_rows), None)
        ticks = [flat(column) for column in some.columns] if some else []
        return Prices.around(*best, tick_of([*best, *ticks]), bins, bps)

    def cells(self, prices: Prices) -> Floats:
        """(columns, bins) sizes; NaN where no book was known."""
        cells = np.full((self.count, prices.bins), np.nan)
        for places, batch in self._columns(LISTS):
            cells[places] = paint(batch, prices)
        return cells

    def total_sizes(self, side: str, levels: int) -> Floats:
        """The sum of the sizes of the best `levels` of the side `bid` or `ask`; NaN where it has none."""
        totals = np.full(self.count, np.nan)
        for places, batch in self._columns((f"{side}_size",), levels):
            column = batch.column(f"{side}_size")
            rows = pc.list_parent_indices(column).to_numpy()
            sizes = np.bincount(rows, np.minimum(flat(column), DRAWN_MAX), batch.num_rows)
            counts = np.bincount(rows, minlength=batch.num_rows)
            totals[places] = np.where(counts > 0, sizes, np.nan)
        return totals

    def _rows(self, depth: int | None) -> Snapshots:
        return self._recording.snapshots(
            self._shown.symbol, self._since, self._shown.after, depth=depth
        )

    def _columns(
        self, names: Sequence[str], depth: int | None = None
    ) -> Iterator[tuple[Ints, pa.RecordBatch]]:
        """The last book known in each column: which columns, and as many rows.

        The last row is valid to the end of the picture, or until its epoch ended: what follows it is not read.
        """
        last: pa.RecordBatch | None = None
        for batch in self._rows(depth).resample(self._shown.interval).batches(names):
            # Found by time, because a running recording may have more rows at the next reading.
            numbers = batch.column("time").cast(pa.int64()).to_numpy() // self.step_us - self._first
            inside = (numbers >= 0) & (numbers < self.count)
            yield numbers[inside], batch.filter(pa.array(inside))
            last = batch.slice(batch.num_rows - 1) if batch.num_rows else last
        if last is not None:
            time_us = last.column("time").cast(pa.int64())[0].as_py()
            epoch = last.column("epoch")[0].as_py()
            ended_us = [moment_us(gap.start_time) for gap in self._shown.gaps if gap.epoch == epoch]
            ends = [(us - 1) // self.step_us - self._first + 1 for us in ended_us]
            begin = max(0, time_us // self.step_us - self._first + 1)
            places = np.arange(begin, min([self.count, *ends]))
            yield places, last.take(np.zeros(len(places), np.int64))
