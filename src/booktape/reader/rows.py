"""One symbol's rows of a stretch of time, one Arrow batch after the other.

Row groups are chosen by the statistics of `receive_time`, whatever the date in their file's name: our
clock may have been wrong. Each group is cut to the depth asked for before the next one is read: memory
holds one group.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from booktape.core.events import BookRow
from booktape.core.tape_records import SegmentStart
from booktape.errors import NotRecorded
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.progress import tracked
from booktape.reader.records import Gap
from booktape.reader.tape_query import outputs, read_records
from booktape.reader.times import moment_us
from booktape.store.extents import GroupExtent, open_parquet
from booktape.store.layout import symbol_folder
from booktape.store.schema import SNAPSHOTS, snapshot_batch
from booktape.store.segment_writer import Group

LISTS: Final = ("bid_price", "bid_size", "ask_price", "ask_size")
SCHEMA: Final = pa.schema([pa.field("symbol", pa.string(), nullable=False), *SNAPSHOTS])
"""What every reader shows: `symbol` stands in the folder's name, then the columns as stored."""


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Which rows: `start_us <= receive_time < end_us`, at most `depth` levels a side."""

    symbol: str
    start_us: int | None = None
    end_us: int | None = None
    depth: int | None = None

    def may_hold(self, first_us: int, last_us: int) -> bool:
        """Whether a stretch of time, both ends included, has anything to do with it."""
        before = self.end_us is not None and first_us >= self.end_us
        after = self.start_us is not None and last_us < self.start_us
        return not (before or after)

    def contains(self, time_us: int) -> bool:
        """Whether a row of this time is one of them."""
        return self.may_hold(time_us, time_us)

    def overlaps(self, gap: Gap) -> bool:
        """Whether a gap reaches into it."""
        before = self.end_us is None or moment_us(gap.start_time) < self.end_us
        if self.start_us is None or gap.end_time is None:
            return before
        return before and moment_us(gap.end_time) > self.start_us


def batches(
    place: ArchiveFiles,
    query: RowQuery,
    *,
    unsealed: bool = True,
    columns: Sequence[str] = SCHEMA.names,
) -> Iterator[pa.RecordBatch]:
    """The rows in the order in which they were written, which is that of `update_id`.

    Raises NotRecorded for a symbol of which there is nothing, in any time.
    """
    # Listed first: what is sealed meanwhile is then read as sealed or from its tape, not missed.
    tapes = place.unsealed() if unsealed else []
    sealed = place.rows(symbol_folder(query.symbol))
    if not sealed:
        _check_symbol(place, query.symbol, tapes)
    # Where a file cannot be read, its tape tells the same, as long as it is not sealed.
    done = {file.segment for file in sealed if place.extents(file)}
    files = [file for file in in_order(place, sealed) if _may_hold(place, query, file)]
    files += [tape for tape in tapes if tape.segment not in done]
    for file in tracked(files, f"reading {query.symbol}"):
        yield from _of_file(place, query, file, list(columns))


def in_order(place: ArchiveFiles, files: Sequence[ArchiveFile]) -> list[ArchiveFile]:
    """One symbol's files of rows, as they were recorded; without those that hold none.

    Epochs never fall back, and ids grow within one, while a clock may be set back: names do not tell.
    Known weakness: the footer of each file is read for it, once as long as the recording is open.
    """
    known = {file: place.extents(file) for file in files}
    return sorted(
        (file for file in files if known[file]),
        key=lambda file: (known[file][0].first_epoch, known[file][0].first_id, file.segment),
    )


def _check_symbol(place: ArchiveFiles, symbol: str, tapes: Sequence[ArchiveFile]) -> None:
    known = known_symbols(place, tapes)
    if symbol not in known:
        there = textwrap.shorten(", ".join(known), 80, placeholder=" …")
        raise NotRecorded(f"{place.root} holds nothing of {symbol}. It holds: {there or 'none'}.")


def known_symbols(place: ArchiveFiles, tapes: Sequence[ArchiveFile]) -> list[str]:
    """Those with sealed rows, and those that are being recorded."""
    found = set(place.symbols())
    for tape in tapes:
        with place.reading(tape.path):
            start = next(read_records(place, tape, None), None)
            if isinstance(start, SegmentStart):
                found.update(start.symbols)
    return sorted(found)


def _may_hold(place: ArchiveFiles, query: RowQuery, file: ArchiveFile) -> bool:
    return any(query.may_hold(group.first_us, group.last_us) for group in place.extents(file))


def _of_file(
    place: ArchiveFiles, query: RowQuery, file: ArchiveFile, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    of_file = _of_sealed if file.path.endswith(".parquet") else _of_tape
    return of_file(place, query, file, columns)


def _of_sealed(
    place: ArchiveFiles, query: RowQuery, file: ArchiveFile, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    wanted = [name for name in columns if name != "symbol"]
    groups = [g for g in place.extents(file) if query.may_hold(g.first_us, g.last_us)]
    with place.reading(file.path), place.open(file.path) as opened:
        parquet = open_parquet(opened)
        for group in groups:
            rows = parquet.read_row_group(
                group.number, columns=list(dict.fromkeys([*wanted, "receive_time"]))
            )
            for batch in rows.combine_chunks().to_batches():
                yield _cut(batch, query, columns)


def read_scalars(place: ArchiveFiles, file: ArchiveFile, group: GroupExtent) -> list[GroupExtent]:
    """A row group row by row, each as if it were one by itself; none where it cannot be read."""
    found: list[GroupExtent] = []
    with place.reading(file.path), place.open(file.path) as opened:
        columns = ["receive_time", "epoch", "update_id"]
        rows = open_parquet(opened).read_row_group(group.number, columns=columns)
        values = (rows[name].cast(pa.int64()).to_pylist() for name in columns)
        for time_us, epoch, last_id in zip(*values, strict=True):
            ranges = (time_us, time_us, epoch, epoch, last_id, last_id)
            found.append(GroupExtent(group.number, 1, *ranges))
    return found


def _of_tape(
    place: ArchiveFiles, query: RowQuery, tape: ArchiveFile, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    """The rows that an unsealed tape will be sealed as: at most one row group of them in memory."""
    before_ns = None if query.end_us is None else query.end_us * 1_000
    group = Group()
    for row in outputs(place, tape, query.symbol, before_ns):
        if isinstance(row, BookRow) and group.add(_shallow(row, query.depth)):
            yield _cut(snapshot_batch(group.rows), query, columns)
            group = Group()
    if group.rows:
        yield _cut(snapshot_batch(group.rows), query, columns)


def _shallow(row: BookRow, depth: int | None) -> BookRow:
    if depth is None:
        return row
    # Copies, since a view would keep the whole book alive.
    return replace(row, **{name: getattr(row, name)[:depth].copy() for name in LISTS})


def _cut(batch: pa.RecordBatch, query: RowQuery, columns: Sequence[str]) -> pa.RecordBatch:
    """The rows, levels and columns asked for."""
    times = batch.column("receive_time").cast(pa.int64()).to_numpy()
    keep = np.ones(len(times), bool)
    if query.start_us is not None:
        keep &= times >= query.start_us
    if query.end_us is not None:
        keep &= times < query.end_us
    # Most groups are wanted whole: they are spared the copy.
    if not keep.all():
        batch = batch.filter(pa.array(keep))
    found = {name: _column(batch, name, query) for name in columns}
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    return pa.RecordBatch.from_arrays(list(found.values()), schema=schema)


def _column(batch: pa.RecordBatch, name: str, query: RowQuery) -> pa.Array[Any]:
    if name == "symbol":
        return pa.repeat(query.symbol, batch.num_rows)
    if name in LISTS and query.depth is not None:
        return pc.list_slice(batch.column(name), 0, query.depth)
    return batch.column(name)
