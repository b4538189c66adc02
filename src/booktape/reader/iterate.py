"""Rows and gaps in one order, each gap between the rows that it separates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from booktape.reader.records import Book, Gap
from booktape.reader.rows import LISTS, SCHEMA, RowQuery, flat
from booktape.reader.times import moment_at
from booktape.store.schema import FIRST_OF

TIMES: Final = ("event_time", "receive_time")
BOOK_COLUMNS: Final = tuple(name for name in SCHEMA.names if name not in FIRST_OF)
"""The columns of a `Book`, which finds its best prices in its lists."""


def rows_and_gaps(
    query: RowQuery, batches: Iterable[pa.RecordBatch], gaps: Sequence[Gap]
) -> Iterator[Book | Gap]:
    """A `Book` for each row, and always a `Gap` between two epochs. `gaps` are sorted by epoch.

    Before the first row and after the last one come the gaps that overlap the query's time.
    """
    last: Book | None = None
    for batch in batches:
        for book in books(batch):
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
    """The gaps between two rows, whatever their times are. If none is stored, an `undeclared` one."""
    found = [gap for gap in gaps if last.epoch <= gap.epoch < book.epoch]
    times = last.receive_time, book.receive_time
    yield from found or [
        Gap.undeclared(book.symbol, last.epoch, times, (last.update_id, book.update_id))
    ]


def books(batch: pa.RecordBatch) -> Iterator[Book]:
    """Each row of a batch of lists. Arrays are copies, so that a kept book does not keep its batch."""
    columns = {name: batch.column(name) for name in BOOK_COLUMNS}
    values = {name: flat(columns[name]) for name in LISTS}
    ends = {name: np.cumsum(pc.list_value_length(columns[name]).to_numpy()) for name in LISTS}
    scalars = {
        name: column.cast(pa.int64()).to_pylist() if name in TIMES else column.to_pylist()
        for name, column in columns.items()
        if name not in LISTS
    }
    starts = dict.fromkeys(LISTS, 0)
    for row in range(batch.num_rows):
        fields: dict[str, Any] = {name: column[row] for name, column in scalars.items()}
        for name in TIMES:
            fields[name] = None if fields[name] is None else moment_at(fields[name])
        for name in LISTS:
            end = int(ends[name][row])
            fields[name] = values[name][starts[name] : end].copy()
            starts[name] = end
        yield Book(**fields)
