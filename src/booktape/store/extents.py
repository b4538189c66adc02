"""The ranges of time, epoch and update id of each row group in a file of rows, read from its footer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import pyarrow.parquet as pq

from booktape.errors import Damaged
from booktape.store.parquet_reader import (
    check_columns,
    check_footer,
    parquet_errors,
    snapshots_schema,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US: Final = (datetime(2, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_END_US: Final = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
"""Python's times are in the years 1 to 9999. One year less at each end leaves room to add durations."""

_NO_TIME: Final = "its times are not all within the years 2 to 9998"


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


@parquet_errors()
def group_extents(metadata: pq.FileMetaData) -> tuple[GroupExtent, ...]:
    """Every row group, in the order of writing.

    Raises Damaged if a column or its statistics are missing, or a column has another type than a recorder gives it.
    """
    check_footer(metadata)
    check_columns(metadata.schema.to_arrow_schema(), snapshots_schema(metadata))
    return tuple(
        _extent(number, metadata.row_group(number)) for number in range(metadata.num_row_groups)
    )


def _extent(number: int, group: pq.RowGroupMetaData) -> GroupExtent:
    statistics = {
        chunk.path_in_schema: chunk.statistics
        for chunk in map(group.column, range(group.num_columns))
        if chunk.path_in_schema in {"receive_time", "event_time", "epoch", "update_id"}
    }
    exchange = statistics["event_time"]
    if exchange and exchange.has_min_max:
        time_range_us(exchange)  # checks it
    return GroupExtent(
        number,
        group.num_rows,
        *time_range_us(statistics["receive_time"]),
        *_range(statistics["epoch"]),
        *_range(statistics["update_id"]),
    )


# Any, here and below: the type of the values depends on the column, which the stubs do not know.
def time_range_us(statistics: Any) -> tuple[int, int]:  # noqa: ANN401
    """The first and the last time of a column, in microseconds since 1970. Raises Damaged."""
    try:
        first, last = _range(statistics)
    except OverflowError as error:
        raise Damaged(_NO_TIME) from error  # it is not a datetime
    first_us, last_us = ((at - _EPOCH) // timedelta(microseconds=1) for at in (first, last))
    check_times_us(first_us, last_us)
    return first_us, last_us


def check_times_us(*times_us: int) -> None:
    """Raises Damaged for a time outside the years 2 to 9998, which Python's times can hold with room to spare."""
    if not all(_FIRST_US <= time_us < _END_US for time_us in times_us):
        raise Damaged(_NO_TIME)


def _range(statistics: Any) -> tuple[Any, Any]:  # noqa: ANN401
    if statistics is None or not statistics.has_min_max:
        raise Damaged("its row groups have no statistics")
    return statistics.min, statistics.max
