"""Queries for the rows of one symbol, which read only when they are used; rows and gaps in one order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.dataframes import Tabular
from booktape.reader.gaps import gap_list
from booktape.reader.records import Book, Gap
from booktape.reader.replay import gap_at_end
from booktape.reader.resample import Resampled, ends_of_epochs
from booktape.reader.rows import LISTS, QUOTES, SCHEMA, RowQuery, batches, flat, last_row
from booktape.reader.spread import COLUMNS, mean_spread
from booktape.reader.times import length_us, moment_at
from booktape.store.schema import FIRST_OF

_TIMES: Final = ("event_time", "receive_time")
_BOOK_COLUMNS: Final = tuple(name for name in SCHEMA.names if name not in FIRST_OF)
"""The columns of a `Book`, which takes its best prices from its lists."""


class SymbolRows(Tabular):
    """Rows of one symbol with `start <= receive_time < end`: whole books, or their best prices only."""

    def __init__(self, archive: ArchiveFiles, query: RowQuery) -> None:
        self.query = query
        self.depth = query.depth
        self._archive = archive

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in the order of recording. One row group at a time; several where no lists are read."""
        return batches(self._archive, self.query, columns or self.schema.names)

    def last_row(self, columns: Sequence[str]) -> pa.RecordBatch | None:
        """The last row, as a batch of one; None if there are no rows. Row groups are read from the last to the first."""
        return last_row(self._archive, self.query, columns)

    def gaps(self) -> list[Gap]:
        """The gaps between `start` and `end`, by epoch."""
        return [gap for gap in self._all_gaps() if self.query.overlaps(gap)]

    def gap_at_end(self) -> Gap | None:
        """The gap in which the recording ends, if it overlaps the query's time. This reads the last tape.

        After the recorder was stopped, `gaps` lacks this gap until the next recording closes it.
        """
        gap = gap_at_end(self._archive, self.query)
        return gap if gap and self.query.overlaps(gap) else None

    def resample(self, interval: timedelta | str) -> Resampled:
        """One row per interval (`100ms`, `1s`, `5m`): the last book known within it.

        Intervals in which no book was known have a row of nulls: nothing is filled across epochs.
        """
        return Resampled(self, self.ends_of_epochs, length_us(interval))

    def ends_of_epochs(self) -> dict[int, int]:
        """When each epoch that ended did so."""
        # All gaps are needed: a loss may begin within the query's time and be noticed after it.
        return ends_of_epochs(gap_list(self._archive, self.query.symbol))

    def _all_gaps(self) -> list[Gap]:
        return gap_list(self._archive, self.query.symbol, self.query.end_us)


class Snapshots(SymbolRows):
    """Whole books, at most `depth` levels a side."""

    @property
    def schema(self) -> pa.Schema:
        """`symbol`, then the columns of `snapshots` in docs/format.md."""
        return SCHEMA

    def __iter__(self) -> Iterator[Book | Gap]:
        """Every row as a `Book`, and a `Gap` wherever the book was not known."""
        return _rows_and_gaps(self.query, self.batches(_BOOK_COLUMNS), self._all_gaps())

    def last(self) -> Book | None:
        """The last row; None if there are no rows. Row groups are read from the last to the first."""
        row = self.last_row(_BOOK_COLUMNS)
        return None if row is None else next(_books(row))


class Quotes(SymbolRows):
    """Best bid and ask with their sizes; null where a side is empty. No list of levels is decoded.

    If a file has no columns of best prices (table format 1), they come from its lists, which takes as long as
    reading whole books.
    """

    @property
    def schema(self) -> pa.Schema:
        """`symbol`, the times, `update_id`, `epoch` and `updates`, then the best prices and sizes."""
        return QUOTES

    def spread(self, interval: timedelta | str) -> pa.Table:
        """The mean spread of each interval (`1s`, `1m`, `1h`) over the time for which the book was known.

        One row per interval, from the first row's to the last row's: `time` is its start, `spread` and `spread_bps`
        (hundredths of a percent of the mid) are means over time, `known_s` is how many seconds of the interval count.
        A row counts until the next one, but never across a gap; a row with an empty side does not count. The last row
        of the recording counts only if its epoch ended. The row before `start` counts from `start` on, and the last
        one before `end` up to `end`, so a range read in parts has the same seconds as in one go. If no time in an
        interval counts, its spread is null.
        """
        interval_us = length_us(interval)
        query = self.query
        before = after = None
        if query.start_us is not None:
            earlier = replace(query, start_us=None, end_us=query.start_us)
            before = last_row(self._archive, earlier, COLUMNS)
        if query.end_us is not None:
            later = replace(query, start_us=query.end_us, end_us=None)
            found = batches(self._archive, later, COLUMNS)
            after = next((batch.slice(0, 1) for batch in found if batch.num_rows), None)
        around = chain([before] if before else [], self.batches(COLUMNS), [after] if after else [])
        return mean_spread(around, self.ends_of_epochs(), interval_us, query.start_us, query.end_us)


def _rows_and_gaps(
    query: RowQuery, batches: Iterable[pa.RecordBatch], gaps: Sequence[Gap]
) -> Iterator[Book | Gap]:
    """A `Book` for each row, and always a `Gap` between two epochs. `gaps` are sorted by epoch.

    The gaps before the first row and after the last one are those that overlap the query's time.
    """
    last: Book | None = None
    for batch in batches:
        for book in _books(batch):
            if last is None:
                yield from (g for g in gaps if g.epoch < book.epoch and query.overlaps(g))
            elif book.epoch != last.epoch:
                yield from _between(last, book, gaps)
            yield book
            last = book
    for gap in gaps:
        if (last is None or gap.epoch >= last.epoch) and query.overlaps(gap):
            yield gap


def _between(last: Book, book: Book, gaps: Sequence[Gap]) -> Iterator[Gap]:
    """The gaps between two rows, whatever their times are; if none is stored, an `undeclared` gap."""
    found = [gap for gap in gaps if last.epoch <= gap.epoch < book.epoch]
    times = last.receive_time, book.receive_time
    yield from found or [
        Gap.undeclared(book.symbol, last.epoch, times, (last.update_id, book.update_id))
    ]


def _books(batch: pa.RecordBatch) -> Iterator[Book]:
    """Each row of a batch of lists. Arrays are copies, so that a kept book does not keep its batch."""
    columns = {name: batch.column(name) for name in _BOOK_COLUMNS}
    values = {name: flat(columns[name]) for name in LISTS}
    ends = {name: np.cumsum(pc.list_value_length(columns[name]).to_numpy()) for name in LISTS}
    scalars = {
        name: column.cast(pa.int64()).to_pylist() if name in _TIMES else column.to_pylist()
        for name, column in columns.items()
        if name not in LISTS
    }
    starts = dict.fromkeys(LISTS, 0)
    for row in range(batch.num_rows):
        fields: dict[str, Any] = {name: column[row] for name, column in scalars.items()}
        for name in _TIMES:
            fields[name] = None if fields[name] is None else moment_at(fields[name])
        for name in LISTS:
            end = int(ends[name][row])
            fields[name] = values[name][starts[name] : end].copy()
            starts[name] = end
        yield Book(**fields)
