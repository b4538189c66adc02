"""Rows on a regular grid of time, without filling across gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from booktape.reader.dataframes import Tabular
from booktape.reader.records import Gap
from booktape.reader.times import moment_us

_NEVER: Final = np.iinfo(np.int64).max
TIME: Final = pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False)

Ints = NDArray[np.int64]


class Resampled(Tabular):
    """One row per interval, from the first row's interval to the last row's. `time` is its start.

    A row has the last book known within its interval: the last one received in it, or else the previous one,
    if its epoch had not ended when the interval began. Where no book was known, all columns except `time` and
    `symbol` are null (NaN in arrays; no row in `long`). Differences between neighbours are then null instead of wrong.

    `receive_time` may go back, because our clock was set back or events were held for a snapshot. A row
    is therefore valid from the latest `receive_time` so far.
    """

    def __init__(
        self, rows: Tabular, ended: Callable[[], dict[int, int]], interval_us: int
    ) -> None:
        self.depth = rows.depth
        self._rows = rows
        self._ended = ended
        self._interval_us = interval_us

    @property
    def schema(self) -> pa.Schema:
        """`time`, then the columns of the rows, all of which but `symbol` may be null."""
        symbol, *others = self._rows.schema
        return pa.schema([TIME, symbol, *(field.with_nullable(True) for field in others)])

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The grid as Arrow batches with lists. They always have `time`, `symbol`, `receive_time` and `epoch`."""
        wanted = list(dict.fromkeys([*(columns or self._rows.schema.names), *_NEEDED]))
        ended = self._ended()
        last: tuple[pa.RecordBatch, Ints] | None = None
        for batch, times in with_validity(self._rows.batches(wanted)):
            yield self._regular(batch, times, ended)
            last = batch.slice(batch.num_rows - 1), times[-1:]
        if last is not None:
            yield self._select(last[0], pa.array([0]), last[1] // self._interval_us)

    def _regular(self, batch: pa.RecordBatch, times: Ints, ended: dict[int, int]) -> pa.RecordBatch:
        """The intervals from the first row's up to, but without, the last row's, which is not complete yet."""
        intervals = times // self._interval_us
        # The last row of each interval, and its interval.
        rows = np.append(np.flatnonzero(np.diff(intervals)), len(intervals) - 1)
        begins = intervals[rows]
        until_us = _ends(batch.column("epoch").to_numpy()[rows], times[rows], ended)
        # At least one: the row is in that interval.
        known = np.maximum(1, (until_us - 1) // self._interval_us - begins[:-1] + 1)
        # Repeat each row for the intervals in which it is valid, then nulls up to the next one.
        counts = np.diff(begins)
        places = np.repeat(rows[:-1], counts)
        nth = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        indices = pa.array(places, mask=nth >= np.repeat(known, counts))
        return self._select(batch, indices, np.repeat(begins[:-1], counts) + nth)

    def _select(
        self, batch: pa.RecordBatch, indices: pa.Array[Any], intervals: Ints
    ) -> pa.RecordBatch:
        taken = batch.take(indices)
        names = [name for name in self.schema.names if name in {*batch.schema.names, "time"}]
        columns = {name: taken.column(name) for name in batch.schema.names}
        columns["time"] = pa.array(intervals * self._interval_us).cast(TIME.type)
        columns["symbol"] = pa.repeat(batch.column("symbol")[0], len(indices))
        schema = pa.schema([self.schema.field(name) for name in names])
        return pa.RecordBatch.from_arrays([columns[name] for name in names], schema=schema)


_NEEDED: Final = ("symbol", "receive_time", "epoch")


def _ends(epochs: Ints, times: Ints, ended: dict[int, int]) -> Ints:
    """When the epoch of each row but the last ended; a time later than any other if it did not end."""
    found = [
        # If the epoch changes and the archive has no gap, the end of the first epoch is not known.
        ended.get(epoch, _NEVER if epoch == after else time)
        for (epoch, after), time in zip(pairwise(epochs.tolist()), times.tolist(), strict=False)
    ]
    return np.array(found, np.int64)


def with_validity(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, Ints]]:
    """The rows, and the time from which each is valid, in microseconds: never before an earlier row.

    A batch begins with the last row of the previous one, so each row but the very last is followed by the next one.
    """
    latest_us = 0
    last: pa.RecordBatch | None = None
    for batch in batches:
        if batch.num_rows:
            rows = batch if last is None else join_batches(last, batch)
            times = rows.column("receive_time").cast(pa.int64()).to_numpy()
            valid: Ints = np.maximum(np.maximum.accumulate(times), latest_us)
            latest_us = int(valid[-1])
            last = rows.slice(rows.num_rows - 1)
            yield rows, valid


def join_batches(first: pa.RecordBatch, second: pa.RecordBatch) -> pa.RecordBatch:
    """The two batches as one."""
    return pa.Table.from_batches([first, second]).combine_chunks().to_batches()[0]


def ends_of_epochs(gaps: Iterable[Gap]) -> dict[int, int]:
    """When each epoch that ended did so, in microseconds since 1970: where its first gap begins.

    An epoch has two gaps if the symbol was delisted before its book was known again.
    """
    found: dict[int, int] = {}
    for gap in gaps:
        start_us = moment_us(gap.start_time)
        found[gap.epoch] = min(start_us, found.get(gap.epoch, start_us))
    return found
