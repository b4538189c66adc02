"""Queries for rows of one symbol, which read only when they are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pyarrow as pa

from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.dataframes import Tabular
from booktape.reader.gaps import gap_list
from booktape.reader.iterate import BOOK_COLUMNS, books, rows_and_gaps
from booktape.reader.records import Book, Gap
from booktape.reader.resample import Resampled, ends_of_epochs
from booktape.reader.rows import QUOTES, SCHEMA, RowQuery, batches, last_row
from booktape.reader.spread import COLUMNS, mean_spread
from booktape.reader.times import length_us


class SymbolRows(Tabular):
    """Rows of one symbol with `start <= receive_time < end`: whole books, or their best prices only."""

    def __init__(self, archive: ArchiveFiles, query: RowQuery) -> None:
        self.query = query
        self.depth = query.depth
        self._archive = archive

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in the order of their update ids. At a time: a row group, or without lists many."""
        return batches(self._archive, self.query, columns or self.schema.names)

    def last_row(self, columns: Sequence[str]) -> pa.RecordBatch | None:
        """The last row, as a batch of one; None if there is none. Row groups are read from the last one on."""
        return last_row(self._archive, self.query, columns)

    def gaps(self) -> list[Gap]:
        """The gaps between `start` and `end`, by epoch."""
        return [gap for gap in self._all_gaps() if self.query.overlaps(gap)]

    def resample(self, interval: timedelta | str) -> Resampled:
        """One row per interval (`100ms`, `1s`, `5m`): the last book known within it.

        Intervals in which no book was known have a row of nulls: nothing is filled across epochs.
        """
        return Resampled(self, self._all_gaps, length_us(interval))

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
        return rows_and_gaps(self.query, self.batches(BOOK_COLUMNS), self._all_gaps())

    def last(self) -> Book | None:
        """The last row; None if there is none. Row groups are read from the last one on."""
        row = self.last_row(BOOK_COLUMNS)
        return None if row is None else next(books(row))


class Quotes(SymbolRows):
    """Best bid and ask with their sizes; null where a side is empty. No list of levels is decoded.

    Where a file has no columns of best prices (table format 1) they come from its lists, which takes as long as
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
        A row counts until the next one, and never across a gap; a row with an empty side does not count. What is before
        the first row does not count, nor what follows the last one unless its epoch ended. Where no second counts the
        spread is null.
        """
        interval_us = length_us(interval)
        ended = ends_of_epochs(self._all_gaps())
        return mean_spread(self.batches(COLUMNS), ended, interval_us, self.query.end_us)
