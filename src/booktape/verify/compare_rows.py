"""Reads the stored rows of one symbol, a few at a time, and compares each with the model's book."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from booktape.errors import Damaged
from booktape.store.opening import open_file
from booktape.store.parquet_reader import (
    check_schema,
    open_parquet,
    parquet_errors,
    snapshots_schema,
)
from booktape.store.positioned import PositionedReader
from booktape.verify.findings import Counts, Findings, damage
from booktape.verify.model.book import DecimalSide, Floats
from booktape.verify.model.sync import ModelSync

Row = TypeVar("Row")

_BATCH_ROWS: Final = 32
_LISTS: Final = ("bid_price", "bid_size", "ask_price", "ask_size")
_BEST: Final = dict(
    zip(("best_bid", "best_bid_size", "best_ask", "best_ask_size"), _LISTS, strict=True)
)


class Reopened(PositionedReader):
    """A file for reading that is open only during each read.

    The files of a segment are read in parallel, one for each symbol, in the order of the tape. If all of them
    were open, a process could have too few descriptors.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.stat().st_size)
        self._path = path

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, or fewer at the end of the file; everything without a size."""
        with open_file(self._path) as file:
            file.seek(self._at)
            found = file.read(size)
        self._at += len(found)
        return found


class StoredRow(NamedTuple):
    """One row; `scalars` are plain numbers (times in microseconds) or None."""

    number: int
    scalars: dict[str, Any]
    lists: dict[str, Floats]

    @property
    def place(self) -> tuple[int, int]:
        """Its position: rows of a symbol are ordered by epoch and updates."""
        return self.scalars["epoch"], self.scalars["updates"]


def checked_batches(
    path: Path, wanted: Callable[[pq.FileMetaData], pa.Schema], rows: int
) -> Iterator[pa.RecordBatch]:
    """The rows of a file, `rows` at a time. Raises Damaged, also if it has other columns than wanted, and OSError."""
    with parquet_errors(), open_parquet(pa.PythonFile(Reopened(path), mode="r")) as file:
        check_schema(file, wanted(file.metadata))
        yield from file.iter_batches(rows, use_threads=False)


def read_rows(path: Path) -> Iterator[StoredRow]:
    """All rows of a file, in order. Raises Damaged, OSError.

    Memory: one row group as pyarrow decodes it, at most about 100 MB.
    """
    number = 0
    for batch in checked_batches(path, snapshots_schema, _BATCH_ROWS):
        yield from _rows(batch, number)
        number += batch.num_rows


def _rows(batch: pa.RecordBatch, first: int) -> Iterator[StoredRow]:
    numbers = [name for name in batch.schema.names if name not in _LISTS]
    scalars = {name: plain(batch.column(name)) for name in numbers}
    lists = {name: _lists(batch.column(name)) for name in _LISTS}
    for index in range(batch.num_rows):
        yield StoredRow(
            first + index,
            {name: values[index] for name, values in scalars.items()},
            {name: values[index] for name, values in lists.items()},
        )


def plain(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> list[Any]:
    """The values of a column as plain objects; times in microseconds."""
    is_time = pa.types.is_timestamp(column.type)
    return list((column.cast(pa.int64()) if is_time else column).to_pylist())


def _lists(column: pa.Array[Any]) -> list[Floats]:
    if not isinstance(column, pa.ListArray) or column.null_count or column.values.null_count:
        raise Damaged("a list of levels is null, or holds a null")
    values = column.values.to_numpy()
    offsets = column.offsets.to_pylist()
    return [values[a:b] for a, b in pairwise(offsets)]


class FileComparison(Generic[Row]):
    """The rows of one symbol's file, in order. `table` is the name under which they are counted.

    A row that cannot be read is reported once, and counts as the end of the file.
    """

    def __init__(
        self, table: str, file: str, symbol: str, rows: Iterator[Row], found: Findings
    ) -> None:
        self.is_damaged = False
        self._table = table
        self._file = file
        self._symbol = symbol
        self._rows = rows
        self._found = found

    @property
    def counts(self) -> Counts:
        """The counts of the symbol."""
        return self._found.counts_of(self._symbol)

    def read(self) -> Row | None:
        """The next stored row."""
        try:
            return next(self._rows, None)
        except (OSError, Damaged) as error:
            self.is_damaged = True
            self._found.different(self._file, damage(error), symbol=self._symbol)
            return None

    def missing(self, what: str, row: int | None = None, **where: str) -> None:
        """Count a row that follows from the tape and is not stored. In a damaged file it is not reported again."""
        if self.is_damaged:
            self.counts.different[self._table] += 1
        else:
            self.different(what, row, **where)

    def different(self, what: str, row: int | None = None, **where: str | int | None) -> None:
        """Count and report a row that is not as it follows from the tape."""
        self.counts.different[self._table] += 1
        self._found.different(self._file, what, symbol=self._symbol, row=row, **where)


class RowComparison(FileComparison[StoredRow]):
    """The rows of one symbol's file, each compared with the row that follows from the tape."""

    def __init__(self, file: str, path: Path, symbol: str, found: Findings) -> None:
        super().__init__("rows", file, symbol, read_rows(path), found)
        self._next = self.read()

    def expect(self, sync: ModelSync, stamp_ns: int) -> None:
        """Compare the next stored row with this book, of which a row follows from the tape."""
        place = sync.epoch, sync.updates
        while self._next and self._next.place < place:
            self.different("this row does not follow from the tape", self._next.number)
            self._next = self.read()
        if self._next and self._next.place == place:
            self._compare(sync, stamp_ns, self._next)
            self._next = self.read()
        else:
            self.missing(f"the row of epoch {place[0]} after {place[1]} updates is missing")

    def finish(self, *, complete: bool) -> None:
        """End the comparison. Further stored rows are differences, or unverifiable if the tape is incomplete."""
        while self._next:
            if complete:
                self.different("this row does not follow from the tape", self._next.number)
            else:
                self.counts.unverifiable += 1
            self._next = self.read()

    def _compare(self, sync: ModelSync, stamp_ns: int, stored: StoredRow) -> None:
        wrong = next(_differences(sync, stamp_ns, stored), None)
        inexact = list(sync.book.inexact())
        lost = next((number for number in inexact if not number.is_capped), None)
        if wrong:
            self.different("differs from the tape", stored.number, **wrong)
        elif lost:
            shown = {"expected": f"{lost.value:f}", "stored": repr(lost.double)}
            self.different("no double is this number", stored.number, **shown)
        else:
            self.counts.equal["rows"] += 1
            self.counts.capped += bool(inexact)
            self.counts.inherited += sync.inherited


def _differences(
    sync: ModelSync, stamp_ns: int, stored: StoredRow
) -> Iterator[dict[str, str | int]]:
    book = sync.book
    wanted = {
        "event_time": sync.event_time_us,
        "receive_time": stamp_ns // 1_000,
        "update_id": sync.update_id,
        "epoch": sync.epoch,
        "updates": sync.updates,
        "bid_horizon": _horizon(book.bids),
        "ask_horizon": _horizon(book.asks),
    }
    lists = dict(zip(_LISTS, (*book.bids.doubles(), *book.asks.doubles()), strict=True))
    # Files of table format 1 have no columns of best prices.
    wanted |= {best: _first(lists[of]) for best, of in _BEST.items() if best in stored.scalars}
    for name, value in wanted.items():
        if stored.scalars[name] != value:
            yield {"column": name, "expected": str(value), "stored": str(stored.scalars[name])}
    for name, values in lists.items():
        if not np.array_equal(stored.lists[name], values):
            yield {"column": name, **_first_level(values, stored.lists[name])}


def _first(levels: Floats) -> float | None:
    return float(levels[0]) if len(levels) else None


def _horizon(side: DecimalSide) -> float | None:
    return None if side.horizon is None else side.horizon.double


def _first_level(wanted: Floats, stored: Floats) -> dict[str, str | int]:
    """The first level at which two lists differ, with both values."""
    both = min(len(wanted), len(stored))
    unequal = np.flatnonzero(wanted[:both] != stored[:both])
    at = int(unequal[0]) if len(unequal) else both
    shown = [repr(float(values[at])) if at < len(values) else "none" for values in (wanted, stored)]
    return {"level": at, "expected": shown[0], "stored": shown[1]}
