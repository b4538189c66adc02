"""The stored rows as CSV or Parquet, one file a symbol: one row a level, or one column a level.

Every row has its `epoch`: between rows of different epochs there is a gap. Memory holds one row group
of the archive, and `CHUNK_LEVELS` levels in the new shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from booktape.export.files import (
    Outcome,
    Written,
    check_cell,
    file_name,
    gzip_file,
    new_file,
    no_data_for,
)
from booktape.reader import Snapshots
from booktape.reader.rows import LISTS
from booktape.reader.shapes import shaped
from booktape.store.durable_files import disk_errors_named

TableShape: TypeAlias = Literal["long", "wide"]
TableFormat: TypeAlias = Literal["csv", "parquet"]

CHUNK_LEVELS: Final = 250_000
"""In the shape `long` a level takes some 70 bytes."""

_SUFFIXES: Final = {"csv": "csv.gz", "parquet": "parquet"}


def table(
    rows: Snapshots, shape: TableShape, table_format: TableFormat, out: Path
) -> Iterator[Outcome]:
    """Write all rows to one file. Yields the file, then the gaps between the rows.

    Raises NotRecorded if there are no rows, UsageError if the shape needs a depth.
    """
    if table_format == "csv":
        check_cell(rows.query.symbol)
    like = _shaped(pa.RecordBatch.from_pylist([], rows.schema), shape, rows.depth)
    path = out / f"{file_name(rows.query.symbol)}_{shape}.{_SUFFIXES[table_format]}"
    written = 0
    with new_file(path) as (file, stack):
        with disk_errors_named(path):
            put = _opened(table_format, file, like.schema, stack)
        for batch in rows.batches():
            for chunk in _chunks(batch):
                found = _shaped(chunk, shape, rows.depth)
                with disk_errors_named(path):
                    put(found)
                written += found.num_rows
        if not written:
            raise no_data_for(rows.query.symbol)
    yield Written(path, written)
    yield from rows.gaps()


def _chunks(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Slices of the batch with about CHUNK_LEVELS levels each."""
    levels = sum(len(pc.list_flatten(batch.column(name))) for name in LISTS[::2])
    step = max(1, batch.num_rows * CHUNK_LEVELS // max(1, levels))
    for start in range(0, batch.num_rows, step):
        # Copied, because a slice of lists still refers to the levels of the whole batch.
        yield batch.take(pa.array(range(start, min(start + step, batch.num_rows))))


def _shaped(batch: pa.RecordBatch, shape: TableShape, depth: int | None) -> pa.RecordBatch:
    """The batch in a shape. A missing level becomes null, not NaN, because databases treat NaN as a number."""
    found = shaped(batch, shape, depth)
    columns = [
        pc.if_else(pc.is_nan(column), None, column) if pa.types.is_float64(column.type) else column
        for column in found.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=found.schema)


def _opened(
    table_format: TableFormat, file: IO[bytes], schema: pa.Schema, stack: ExitStack
) -> Callable[[pa.RecordBatch], None]:
    """A function that writes rows to a new file."""
    if table_format == "parquet":
        return stack.enter_context(pq.ParquetWriter(file, schema, compression="zstd")).write_batch
    options = pyarrow.csv.WriteOptions(quoting_style="none")
    packed = gzip_file(file, stack)
    lines = pyarrow.csv.CSVWriter(packed, schema, write_options=options)
    return stack.enter_context(lines).write_batch
