"""A query for rows of one symbol, which reads only when it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pyarrow as pa

from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.dataframes import Tabular
from booktape.reader.gaps import gap_list
from booktape.reader.iterate import rows_and_gaps
from booktape.reader.records import Book, Gap
from booktape.reader.resample import Resampled
from booktape.reader.rows import SCHEMA, RowQuery, batches
from booktape.reader.times import length_us


class Snapshots(Tabular):
    """The rows of one symbol with `start <= receive_time < end`, at most `depth` levels a side."""

    def __init__(self, archive: ArchiveFiles, query: RowQuery, *, unsealed: bool) -> None:
        self.query = query
        self.depth = query.depth
        self._archive = archive
        self._unsealed = unsealed

    @property
    def schema(self) -> pa.Schema:
        """`symbol`, then the columns of `snapshots` in docs/format.md."""
        return SCHEMA

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in the order of their update ids, at most a row group at a time."""
        wanted = SCHEMA.names if columns is None else columns
        return batches(self._archive, self.query, unsealed=self._unsealed, columns=wanted)

    def gaps(self) -> list[Gap]:
        """The gaps between `start` and `end`, by epoch."""
        found = self._all_gaps()
        return [gap for gap in found if self.query.overlaps(gap)]

    def __iter__(self) -> Iterator[Book | Gap]:
        """Every row as a `Book`, and a `Gap` wherever the book was not known."""
        return rows_and_gaps(self.query, self.batches(), self._all_gaps())

    def resample(self, interval: timedelta | str) -> Resampled:
        """One row per interval (`100ms`, `1s`, `5m`): the last book known within it.

        Intervals in which no book was known have a row of nulls: nothing is filled across epochs.
        """
        return Resampled(self, self._all_gaps, length_us(interval))

    def _all_gaps(self) -> list[Gap]:
        query = self.query
        return gap_list(
            self._archive, query.symbol, unsealed=self._unsealed, before_us=query.end_us
        )
