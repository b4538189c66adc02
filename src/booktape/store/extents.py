"""The ranges of time, epoch and update id of each row group in a file of rows, read from its footer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from booktape.errors import Damaged
from booktape.store.layout import GROUP_BYTES_MAX
from booktape.store.opening import open_file
from booktape.store.schema import SNAPSHOTS, SNAPSHOTS_1, TABLE_FORMAT, TABLE_FORMAT_KEY

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VALUE_BYTES: Final = 8  # of a number, a time, or the place of a text
_FIRST_TIME: Final = datetime(2, 1, 1, tzinfo=UTC)
_LAST_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Python's times are in the years 1 to 9999. With a year less at each end, durations can be added."""

_NO_TIME: Final = "its times are not all within the years 2 to 9998"
_OBJECT_BYTES: Final = 64  # of one value, once it is a Python object


class GroupExtent(NamedTuple):
    """One row group: its number in the file, its number of rows, and the ranges of their values.

    All ranges include both ends. Times are `receive_time` in microseconds since 1970.
    """

    number: int
    rows: int
    first_us: int
    last_us: int
    first_epoch: int
    last_epoch: int
    first_id: int
    last_id: int


@contextmanager
def parquet_errors() -> Iterator[None]:
    """Raise as Damaged what pyarrow raises for the content of a file. Needed wherever one is opened or decoded.

    It raises an OSError without a number for some damage; one with a number is the system's, and stays. That a text is
    not UTF-8, or a time not one of Python's, is found when the value becomes a Python object.
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

    A file of a hundred kilobytes can hold gigabytes of one repeated value. Of a text only its place is counted, not how
    often it occurs: `read_table` counts that. Known weakness: what the footer says is believed. One that was forged to
    say less than the pages hold is not found here.
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
    """The format of a table: 1 if the file does not say. Raises Damaged for one that this version does not know."""
    text = (metadata.metadata or {}).get(TABLE_FORMAT_KEY.encode(), b"1").decode(errors="replace")
    known = range(1, TABLE_FORMAT + 1)
    if text not in map(str, known):
        raise Damaged(
            f"its table format is {text[:20]!r}, and this version of booktape reads 1 to {TABLE_FORMAT}"
        )
    return int(text)


def snapshots_schema(metadata: pq.FileMetaData) -> pa.Schema:
    """The columns that a file of rows has, by its table format. Raises Damaged as `table_format` does."""
    return SNAPSHOTS if table_format(metadata) > 1 else SNAPSHOTS_1


def check_schema(file: pq.ParquetFile, wanted: pa.Schema) -> None:
    """Raises Damaged unless a file has exactly these columns."""
    found = file.schema_arrow
    if not found.equals(wanted):
        raise Damaged(f"its columns are {', '.join(f'{f.name} {f.type}' for f in found)}")


def _check_columns(found: pa.Schema, wanted: Sequence[str]) -> None:
    if missing := set(wanted) - set(found.names):
        raise Damaged(f"it has no column {min(missing)}")
    if len(set(found.names)) < len(found.names):
        raise Damaged("two of its columns have one name")


@parquet_errors()
def read_table(source: Any, schema: pa.Schema) -> pa.Table:  # noqa: ANN401 whatever pyarrow opens
    """All of a small table (gaps, checks, notes), with the columns of this schema.

    Raises OSError, and Damaged if it has others, or is too large to be booktape's.

    Its rows become Python objects, so each value counts as one. Texts are read as a dictionary first, because
    one long text can stand in a million rows.
    """
    file = open_parquet(source)
    stored, metadata = file.schema_arrow, file.metadata
    _check_columns(stored, schema.names)
    if not metadata.num_rows:
        return schema.empty_table()
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    values = sum(
        group.column(number).num_values for group in groups for number in range(group.num_columns)
    )
    _check_table(values * _OBJECT_BYTES)
    texts = [field.name for field in stored if pa.types.is_string(field.type)]
    table = pq.ParquetFile(source, read_dictionary=texts).read(use_threads=False)
    _check_table(sum(_text_bytes(chunk) for name in texts for chunk in table[name].chunks))
    for field in stored:
        if pa.types.is_timestamp(field.type):
            _check_times(table[field.name].cast(pa.int64()))
    for field in schema:
        if table[field.name].null_count and not field.nullable:
            raise Damaged(f"a {field.name} is missing")
    return table.select(schema.names).cast(schema)


def rows_max(schema: pa.Schema) -> int:
    """The most rows of a small table that `read_table` reads."""
    return GROUP_BYTES_MAX // (_OBJECT_BYTES * len(schema))


def _check_times(moments_us: pa.ChunkedArray[Any]) -> None:
    found: Any = pc.min_max(moments_us).as_py()
    for moment_us in filter(None, found.values()):
        if not _microseconds(_FIRST_TIME) <= moment_us < _microseconds(_LAST_TIME):
            raise Damaged(_NO_TIME)


def _check_table(decoded_bytes: int) -> None:
    if decoded_bytes > GROUP_BYTES_MAX:
        raise Damaged(f"it has more than {GROUP_BYTES_MAX >> 20} MiB, decoded")


def _text_bytes(texts: pa.Array[Any]) -> int:
    if not isinstance(texts, pa.DictionaryArray):
        return texts.nbytes
    lengths = pc.call_function("binary_length", [texts.dictionary]).to_numpy()
    # A text that is null has no place in the dictionary.
    return int(lengths[texts.indices.drop_null().to_numpy()].sum(dtype=np.int64))


@parquet_errors()
def group_extents(metadata: pq.FileMetaData) -> tuple[GroupExtent, ...]:
    """Every row group, in the order of writing. Raises Damaged if a column or its statistics are missing."""
    check_footer(metadata)
    _check_columns(metadata.schema.to_arrow_schema(), snapshots_schema(metadata).names)
    return tuple(
        _extent(number, metadata.row_group(number)) for number in range(metadata.num_row_groups)
    )


def _extent(number: int, group: pq.RowGroupMetaData) -> GroupExtent:
    statistics = {
        chunk.path_in_schema: chunk.statistics
        for chunk in map(group.column, range(group.num_columns))
        if chunk.path_in_schema in {"receive_time", "event_time", "epoch", "update_id"}
    }
    try:
        times = _range(statistics["receive_time"])
        exchange = statistics["event_time"]
        all_times = (*times, *(_range(exchange) if exchange and exchange.has_min_max else ()))
    except OverflowError as error:
        raise Damaged(_NO_TIME) from error  # it is no datetime
    if not all(_FIRST_TIME <= time < _LAST_TIME for time in all_times):
        raise Damaged(_NO_TIME)
    return GroupExtent(
        number,
        group.num_rows,
        _microseconds(times[0]),
        _microseconds(times[1]),
        *_range(statistics["epoch"]),
        *_range(statistics["update_id"]),
    )


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


# Any: the column knows the type of its values, the stubs do not.
def _range(statistics: Any) -> tuple[Any, Any]:  # noqa: ANN401
    if statistics is None or not statistics.has_min_max:
        raise Damaged("its row groups have no statistics")
    return statistics.min, statistics.max
