"""The rows of one symbol between two times, as Arrow batches.

Row groups are selected by the statistics of `receive_time`, not by the date in the file's name: our clock
may have been wrong. Each group is cut to the depth before the next one is read, so memory holds one group. If no
list is requested, memory holds as many groups of a file as have ROWS_AT_ONCE rows, of some 80 bytes each.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from booktape.core.events import BookRow, Floats
from booktape.errors import Damaged, NotRecorded
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.progress import tracked
from booktape.reader.records import Gap
from booktape.reader.tape_query import start_of, unsealed_outputs
from booktape.reader.times import moment_us
from booktape.store.extents import GroupExtent
from booktape.store.parquet_file import BOOK_ROWS, StagedGroup
from booktape.store.parquet_reader import check_values, open_parquet, snapshots_schema
from booktape.store.schema import FIRST_OF, SNAPSHOTS, snapshot_batch

ROWS_AT_ONCE: Final = 500_000
LISTS: Final = ("bid_price", "bid_size", "ask_price", "ask_size")
SCHEMA: Final = pa.schema([pa.field("symbol", pa.string(), nullable=False), *SNAPSHOTS])
"""The columns of the reader: `symbol`, which is stored in the folder's name, then the stored columns."""

IDENTITY: Final = ("symbol", "event_time", "receive_time", "update_id", "epoch", "updates")
QUOTES: Final = pa.schema([SCHEMA.field(name) for name in (*IDENTITY, *FIRST_OF)])
"""The columns of `quotes`."""


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Rows with `start_us <= receive_time < end_us`, at most `depth` levels a side."""

    symbol: str
    start_us: int | None = None
    end_us: int | None = None
    depth: int | None = None

    def may_hold(self, first_us: int, last_us: int) -> bool:
        """Whether the query may select a row that lies between these times, both included."""
        before = self.end_us is not None and first_us >= self.end_us
        after = self.start_us is not None and last_us < self.start_us
        return not (before or after)

    def contains(self, time_us: int) -> bool:
        """Whether the query selects a row with this time."""
        return self.may_hold(time_us, time_us)

    def select(self, times: pa.Array[Any] | pa.ChunkedArray[Any]) -> NDArray[np.bool_]:
        """Which of these times the query selects."""
        times_us = times.cast(pa.int64()).to_numpy()
        keep = np.ones(len(times_us), bool)
        if self.start_us is not None:
            keep &= times_us >= self.start_us
        if self.end_us is not None:
            keep &= times_us < self.end_us
        return keep

    def overlaps(self, gap: Gap) -> bool:
        """Whether a gap overlaps the time of the query."""
        before = self.end_us is None or moment_us(gap.start_time) < self.end_us
        if self.start_us is None or gap.end_time is None:
            return before
        return before and moment_us(gap.end_time) > self.start_us


class _Part(NamedTuple):
    """A file that may have rows of a query, and its row groups that may have some; None for an unsealed tape."""

    file: ArchiveFile
    groups: list[GroupExtent] | None

    def read(
        self, archive: ArchiveFiles, query: RowQuery, columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """The rows, in the order of writing."""
        if self.groups is None:
            return _tape_batches(archive, query, self.file, columns)
        return _sealed_batches(archive, query, self.file, self.groups, columns)

    def by_group(self) -> list[_Part]:
        """A part for each row group; a tape is one."""
        return [self] if self.groups is None else [self._replace(groups=[g]) for g in self.groups]


def batches(
    archive: ArchiveFiles, query: RowQuery, columns: Sequence[str] = SCHEMA.names
) -> Iterator[pa.RecordBatch]:
    """The rows in the order of recording: by epoch, and within one by `update_id`.

    Raises NotRecorded if the archive has no data for the symbol at any time.
    """
    for part in tracked(_parts(archive, query), f"reading {query.symbol}"):
        yield from part.read(archive, query, columns)


def last_row(
    archive: ArchiveFiles, query: RowQuery, columns: Sequence[str]
) -> pa.RecordBatch | None:
    """The last row of a query, as a batch of one; None if it has no rows. Groups are read from the last to the first."""
    for part in reversed(_parts(archive, query)):
        for group in reversed(part.by_group()):
            last = None
            for batch in group.read(archive, query, columns):
                # A copy, because a slice would keep the whole batch alive.
                last = batch.take(pa.array([batch.num_rows - 1])) if batch.num_rows else last
            if last is not None:
                return last
    return None


def _parts(archive: ArchiveFiles, query: RowQuery) -> list[_Part]:
    """The files that may have rows of a query. Raises NotRecorded."""
    # If a file of rows cannot be read but its tape is still unsealed, the tape gives the same rows.
    files, tapes = archive.with_tail(lambda: in_order(archive, archive.rows(query.symbol)))
    if not files:
        _check_symbol(archive, query.symbol, tapes)
    sealed = [_Part(file, _groups(archive, query, file)) for file in files]
    return [*(part for part in sealed if part.groups), *(_Part(tape, None) for tape in tapes)]


def _groups(archive: ArchiveFiles, query: RowQuery, file: ArchiveFile) -> list[GroupExtent]:
    """The row groups that may have rows of a query."""
    return [one for one in archive.extents(file) if query.may_hold(one.first_us, one.last_us)]


def in_order(archive: ArchiveFiles, files: Sequence[ArchiveFile]) -> list[ArchiveFile]:
    """The files of one symbol in the order of recording, without those that have no rows.

    The order of names is that of the clock, and a clock may be set back. Epochs never go back, and ids grow within one.
    Known weakness: the footer of each file is read, once while the recording is open.
    """
    known = {file: archive.extents(file) for file in files}
    return sorted(
        (file for file in files if known[file]),
        key=lambda file: (known[file][0].first_epoch, known[file][0].first_id, file.segment),
    )


def _check_symbol(archive: ArchiveFiles, symbol: str, tapes: Sequence[ArchiveFile]) -> None:
    known = known_symbols(archive, tapes)
    if symbol not in known:
        there = textwrap.shorten(", ".join(known), 80, placeholder=" …")
        raise NotRecorded(f"{archive.name} has no data for {symbol}. It has: {there or 'none'}.")


def known_symbols(archive: ArchiveFiles, tapes: Sequence[ArchiveFile]) -> list[str]:
    """The symbols with sealed rows, and those that are being recorded."""
    found = set(archive.symbols())
    for tape in tapes:
        if start := start_of(archive, tape):
            found.update(start.symbols)
    return sorted(found)


def _sealed_batches(
    archive: ArchiveFiles,
    query: RowQuery,
    file: ArchiveFile,
    groups: Sequence[GroupExtent],
    columns: Sequence[str],
) -> Iterator[pa.RecordBatch]:
    """The rows of some groups of a file."""
    with archive.skip_damaged(file.path), archive.open(file) as opened:
        parquet = open_parquet(opened)
        stored = snapshots_schema(parquet.metadata).names
        # A file of table format 1 has no best prices: they are the first elements of its lists.
        wanted = [
            name if name in stored else FIRST_OF[name] for name in columns if name != "symbol"
        ]
        needed = list(dict.fromkeys([*wanted, "receive_time"]))
        for numbers in _read_at_once(groups, needed):
            rows = parquet.read_row_groups(numbers, columns=needed)
            for batch in rows.combine_chunks().to_batches():
                check_values(batch, SNAPSHOTS)
                _check_sides(batch)
                yield _cut(batch, query, columns)


def _check_sides(batch: pa.RecordBatch) -> None:
    """Raises Damaged if a side has unequal numbers of prices and sizes, a size of 0 or less, or another best level.

    Known weakness: only columns that are read are compared. Best prices that are read without their lists are believed,
    also a null beside a list that is not empty: lists have no statistics that would show how many of them are empty.
    """
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    for price, size in (LISTS[:2], LISTS[2:]):
        if price in columns and size in columns:
            lengths = [pc.list_value_length(columns[name]) for name in (price, size)]
            if not lengths[0].equals(lengths[1]):
                raise Damaged(f"its lists {price} and {size} have different lengths")
        if size in columns and (flat(columns[size]) <= 0).any():
            raise Damaged(f"in one of its rows {size} is not above 0")
    for name, of in FIRST_OF.items():
        if name in columns and of in columns and columns[name] != first_elements(columns[of]):
            raise Damaged(f"in one of its rows {name} is not the first of {of}")


def _read_at_once(groups: Sequence[GroupExtent], columns: Sequence[str]) -> list[list[int]]:
    """Which row groups are decoded together: one if there are lists, else as many as have ROWS_AT_ONCE rows."""
    parts: list[list[int]] = []
    rows = 0
    for group in groups:
        rows += group.rows
        if not parts or has_lists(columns) or rows > ROWS_AT_ONCE:
            parts.append([])
            rows = group.rows
        parts[-1].append(group.number)
    return parts


def has_lists(columns: Iterable[str]) -> bool:
    """Whether any of these columns is a list of levels. If none is, reading them is cheap."""
    return not set(LISTS).isdisjoint(columns)


def row_extents(archive: ArchiveFiles, file: ArchiveFile, group: GroupExtent) -> list[GroupExtent]:
    """The extents of single rows of a row group; none if it cannot be read."""
    found: list[GroupExtent] = []
    with archive.skip_damaged(file.path), archive.open(file) as opened:
        columns = ["receive_time", "epoch", "update_id"]
        rows = open_parquet(opened).read_row_group(group.number, columns=columns)
        check_values(rows, SNAPSHOTS)
        values = (rows[name].cast(pa.int64()).to_pylist() for name in columns)
        found += [row_extent(*row) for row in zip(*values, strict=True)]
    return found


def row_extent(time_us: int, epoch: int, update_id: int) -> GroupExtent:
    """One row as a row group of its own."""
    return GroupExtent(0, 1, time_us, time_us, epoch, epoch, update_id, update_id)


def _tape_batches(
    archive: ArchiveFiles, query: RowQuery, tape: ArchiveFile, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """The rows that follow from an unsealed tape, with at most one row group of them in memory."""
    before_ns = None if query.end_us is None else query.end_us * 1_000
    group = StagedGroup(BOOK_ROWS)
    depth = query.depth if has_lists(columns) else 1
    for row in unsealed_outputs(archive, tape, query.symbol, before_ns):
        if isinstance(row, BookRow) and group.add(_shallow(row, depth)):
            yield _cut(snapshot_batch(group.rows), query, columns)
            group = StagedGroup(BOOK_ROWS)
    if group.rows:
        yield _cut(snapshot_batch(group.rows), query, columns)


def _shallow(row: BookRow, depth: int | None) -> BookRow:
    if depth is None:
        return row
    # Copies, because views would keep the whole book alive.
    return replace(row, **{name: getattr(row, name)[:depth].copy() for name in LISTS})


def _cut(batch: pa.RecordBatch, query: RowQuery, columns: Sequence[str]) -> pa.RecordBatch:
    """The rows, levels and columns of the query."""
    keep = query.select(batch.column("receive_time"))
    # Most groups are needed as a whole; then no copy is made.
    if not keep.all():
        batch = batch.filter(pa.array(keep))
    found = {name: _column(batch, name, query) for name in columns}
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    return pa.RecordBatch.from_arrays(list(found.values()), schema=schema)


def _column(batch: pa.RecordBatch, name: str, query: RowQuery) -> pa.Array[Any]:
    if name == "symbol":
        return pa.repeat(query.symbol, batch.num_rows)
    if name not in batch.schema.names:
        return first_elements(batch.column(FIRST_OF[name]))
    if name in LISTS and query.depth is not None:
        return pc.list_slice(batch.column(name), 0, query.depth)
    return batch.column(name)


# Any, in both: pyarrow's stubs do not say what the lists hold.
def flat(column: pa.Array[Any]) -> Floats:
    """All values of a list column in one array."""
    return pc.list_flatten(column).to_numpy()


def first_elements(column: pa.Array[Any]) -> pa.Array[Any]:
    """The first element of each list; null where the list is empty or null."""
    return pc.list_element(pc.list_slice(column, 0, 1, return_fixed_size_list=True), 0)
