"""Opens the Parquet files of an archive. A file that is damaged, or that booktape did not write, raises Damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from booktape.errors import Damaged
from booktape.store.layout import GROUP_BYTES_MAX
from booktape.store.opening import open_file
from booktape.store.schema import SNAPSHOTS, SNAPSHOTS_1, TABLE_FORMAT, TABLE_FORMAT_KEY

_VALUE_BYTES: Final = 8  # of a number, a time, or the place of a text
_SHOWN_MAX: Final = 60


@contextmanager
def parquet_errors() -> Iterator[None]:
    """Raise as Damaged what pyarrow raises for the content of a file. Needed wherever a file is opened or decoded.

    For some damage pyarrow raises an OSError without a number; one with a number is the system's, and stays. A text
    that is not UTF-8, or a time that Python's types cannot hold, is found when the value becomes a Python object.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise
        raise Damaged(str(error)) from error


@parquet_errors()
def open_parquet(source: Any) -> pq.ParquetFile:  # noqa: ANN401 whatever pyarrow opens
    """Open a Parquet file of an archive. Raises OSError, and Damaged as `check_footer` does."""
    if isinstance(source, Path):
        open_file(source).close()  # raises for a FIFO, where pyarrow would wait
    file = pq.ParquetFile(source)
    check_footer(file.metadata)
    return file


def check_footer(metadata: pq.FileMetaData) -> None:
    """Raises Damaged for a table format of a later version, and for a row group too large to be booktape's.

    A file of a hundred kilobytes can hold gigabytes of one repeated value. A text counts here only as a reference to
    it; `read_table` counts the text each time it occurs. Known weakness: the footer is believed. A footer that was
    forged to state less than the pages hold is not found here.
    """
    table_format(metadata)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        decoded_bytes = sum(
            max(chunk.total_uncompressed_size, _VALUE_BYTES * chunk.num_values)
            for chunk in map(group.column, range(group.num_columns))
        )
        if decoded_bytes > GROUP_BYTES_MAX:
            raise Damaged(f"its row group {number} has more than {GROUP_BYTES_MAX >> 20} MiB")


def table_format(metadata: pq.FileMetaData) -> int:
    """The format of a table: 1 if the file does not say. Raises Damaged for a format unknown to this version."""
    text = (metadata.metadata or {}).get(TABLE_FORMAT_KEY.encode(), b"1").decode(errors="replace")
    known = range(1, TABLE_FORMAT + 1)
    if text not in map(str, known):
        raise Damaged(
            f"its table format is {text[:20]!r}, but this version of booktape reads 1 to {TABLE_FORMAT}"
        )
    return int(text)


def snapshots_schema(metadata: pq.FileMetaData) -> pa.Schema:
    """The columns that a file of rows has, by its table format. Raises Damaged as `table_format` does."""
    return SNAPSHOTS if table_format(metadata) > 1 else SNAPSHOTS_1


def check_schema(file: pq.ParquetFile, wanted: pa.Schema) -> None:
    """Raises Damaged unless a file has exactly these columns, in their order."""
    found = file.schema_arrow
    check_columns(found, wanted)
    if further := set(found.names) - set(wanted.names):
        raise Damaged(f"it has an extra column {_shortened(min(further))}")
    if not found.equals(wanted):
        raise Damaged("its columns are in another order, or differ in which of them may be null")


def check_columns(found: pa.Schema, wanted: pa.Schema) -> None:
    """Raises Damaged unless a file has these columns, of these types, and no two of the same name. Others may exist."""
    if missing := set(wanted.names) - set(found.names):
        raise Damaged(f"it has no column {min(missing)}")
    if len(set(found.names)) < len(found.names):
        raise Damaged("two of its columns have the same name")
    for field in wanted:
        stored = found.field(field.name).type
        # A recorder did not write a type that would first have to be converted: it is some other file. A list whose
        # elements may be null is not another type: `check_values` finds out whether any element is null.
        if _without_nulls(stored) != _without_nulls(field.type):
            raise Damaged(
                f"its column {field.name} has the type {_shortened(str(stored))} instead of {field.type}"
            )


def _without_nulls(of: pa.DataType) -> pa.DataType:
    """The same type; for a list, with elements that are never null."""
    if not isinstance(of, pa.ListType):
        return of
    return pa.list_(of.value_field.with_nullable(False))


def _shortened(text: str) -> str:
    """For a message: a file that is not booktape's may have a name or a type of any length."""
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]} …"


def check_values(rows: pa.RecordBatch | pa.Table, schema: pa.Schema) -> None:
    """Raises Damaged if a value that every row has is missing, or a number is not finite (NaN or infinite).

    `rows` may lack columns of the schema, and may have others.
    """
    for name in schema.names:
        if name not in rows.schema.names:
            continue
        column = rows.column(name)
        values = pc.list_flatten(column) if pa.types.is_list(column.type) else column
        if (column.null_count or values.null_count) and not schema.field(name).nullable:
            raise Damaged(f"in one of its rows {name} is missing")
        if pa.types.is_floating(values.type) and pc.all(pc.is_finite(values)).as_py() is False:
            raise Damaged(f"in one of its rows {name} is not a number")
