"""The ranges of time, epoch and update id of each row group in a file of rows, read from its footer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow.parquet as pq

from booktape.store.layout import GROUP_BYTES_MAX
from booktape.store.opening import open_file
from booktape.store.schema import SNAPSHOTS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VALUE_BYTES: Final = 8  # of a number, a time, or the place of a text


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


def open_parquet(source: Any) -> pq.ParquetFile:  # noqa: ANN401 whatever pyarrow opens
    """Open a Parquet file of an archive. Raises ValueError if a row group is too large to be booktape's.

    A file of a hundred kilobytes can hold gigabytes of one repeated value.
    """
    if isinstance(source, Path):
        open_file(source).close()  # raises for a FIFO, where pyarrow would wait
    file = pq.ParquetFile(source)
    check_sizes(file.metadata)
    return file


def check_sizes(metadata: pq.FileMetaData) -> None:
    """Raises ValueError if a row group is too large, decoded, to be one of booktape's.

    Known weakness: of a text column only the dictionary is counted, not how often each text occurs.
    """
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        decoded_bytes = sum(
            max(chunk.total_uncompressed_size, _VALUE_BYTES * chunk.num_values)
            for chunk in map(group.column, range(group.num_columns))
        )
        if decoded_bytes > GROUP_BYTES_MAX:
            raise ValueError(f"its row group {number} has more than {GROUP_BYTES_MAX >> 20} MiB")


def group_extents(metadata: pq.FileMetaData) -> tuple[GroupExtent, ...]:
    """Every row group, in the order of writing. Raises ValueError if a column or its statistics are missing."""
    check_sizes(metadata)
    missing = set(SNAPSHOTS.names) - set(metadata.schema.to_arrow_schema().names)
    if missing:
        raise ValueError(f"it has no column {min(missing)}")
    return tuple(
        _extent(number, metadata.row_group(number)) for number in range(metadata.num_row_groups)
    )


def _extent(number: int, group: pq.RowGroupMetaData) -> GroupExtent:
    statistics = {
        chunk.path_in_schema: chunk.statistics
        for chunk in map(group.column, range(group.num_columns))
        if chunk.path_in_schema in {"receive_time", "epoch", "update_id"}
    }
    times = _range(statistics["receive_time"])
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
        raise ValueError("its row groups have no statistics")
    return statistics.min, statistics.max
