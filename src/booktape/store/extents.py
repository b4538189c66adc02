"""How far a file of rows reaches, as its footer says: row group by row group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import pyarrow.parquet as pq

from booktape.store.schema import SNAPSHOTS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class GroupExtent(NamedTuple):
    """One row group: its number in the file, how many rows it has, and the range of what they say.

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


def group_extents(metadata: pq.FileMetaData) -> tuple[GroupExtent, ...]:
    """Every row group, in the order in which it was written.

    Raises ValueError for a file that lacks a column of ours, or its statistics.
    """
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
        raise ValueError("its row groups say nothing of the times that they hold")
    return statistics.min, statistics.max
