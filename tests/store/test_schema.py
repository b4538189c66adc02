"""The columns are those of the contract, and the doubles those of the book, bit for bit."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.core.checks import Check, Difference
from booktape.core.events import BookRow, GapInterval, Note
from booktape.core.gap_reasons import (
    ID_GAP,
    KILLED,
    STOPPED,
)
from booktape.errors import Damaged
from booktape.store.extents import group_extents
from booktape.store.parquet_reader import open_parquet, table_format
from booktape.store.schema import (
    CHECK_COLUMNS,
    CHECKS,
    FIRST_OF,
    GAP_COLUMNS,
    GAPS,
    NOTE_COLUMNS,
    NOTES,
    SCALARS,
    SNAPSHOT_COLUMNS,
    SNAPSHOTS,
    SNAPSHOTS_1,
    TABLE_FORMAT,
    TABLE_FORMAT_KEY,
    TABLES,
    TRADES,
    SmallTable,
    snapshot_batch,
)
from booktape.store.small_table import read_table

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME = "timestamp[us, tz=UTC]"
LIST = "list<element: double not null>"

ids = st.integers(0, 2**63 - 1)
times_us = st.integers(0, 10**16)
doubles = st.floats(min_value=0, exclude_min=True, allow_infinity=False)


floats = st.lists(doubles, max_size=5).map(np.array).map(lambda values: values.astype(np.float64))
horizons = st.none() | doubles
book_rows = st.builds(
    BookRow,
    *(st.just("BTCUSDT"), st.none() | times_us, st.integers(0, 10**19), ids, ids, ids),
    *(floats, floats, floats, floats, horizons, horizons),
)


def through_parquet(batch: pa.RecordBatch) -> pa.Table:
    file = BytesIO()
    pq.write_table(pa.Table.from_batches([batch]), file)
    return pq.read_table(file)


def test_columns_of_snapshots() -> None:
    """Names, types, order and nullability are those of the contract; `symbol` is in the name of the folder."""
    assert [(f.name, str(f.type), f.nullable) for f in SNAPSHOTS] == [
        ("event_time", TIME, True),
        ("receive_time", TIME, False),
        ("update_id", "int64", False),
        ("epoch", "int64", False),
        ("updates", "int64", False),
        ("best_bid", "double", True),
        ("best_bid_size", "double", True),
        ("best_ask", "double", True),
        ("best_ask_size", "double", True),
        ("bid_price", LIST, False),
        ("bid_size", LIST, False),
        ("ask_price", LIST, False),
        ("ask_size", LIST, False),
        ("bid_horizon", "double", True),
        ("ask_horizon", "double", True),
    ]


def test_columns_of_gaps() -> None:
    """Only values that are unknown while a gap is open may be null."""
    assert [(f.name, str(f.type), f.nullable) for f in GAPS] == [
        ("symbol", "string", False),
        ("epoch", "int64", False),
        ("start_time", TIME, False),
        ("end_time", TIME, True),
        ("last_update_id", "int64", False),
        ("next_update_id", "int64", True),
        ("missed_updates", "int64", True),
        ("reason", "string", False),
    ]


def test_columns_of_checks_and_notes() -> None:
    """Only a note may have no symbol."""
    assert [(f.name, str(f.type), f.nullable) for f in CHECKS] == [
        ("symbol", "string", False),
        ("time", TIME, False),
        ("update_id", "int64", False),
        ("witness", "string", False),
        ("levels_compared", "int64", False),
        ("mismatches", "int64", False),
        ("detail", "string", False),
    ]
    assert [(f.name, str(f.type), f.nullable) for f in NOTES] == [
        ("symbol", "string", True),
        ("time", TIME, False),
        ("kind", "string", False),
        ("detail", "string", False),
    ]


def test_every_column_is_explained() -> None:
    """The documents are generated from these texts; only columns that are not lists have statistics."""
    columns = (*SNAPSHOT_COLUMNS, *GAP_COLUMNS, *CHECK_COLUMNS, *NOTE_COLUMNS)
    assert all(column.meaning for column in columns)
    assert [n for n in SNAPSHOTS.names if n not in SCALARS] == list(FIRST_OF.values())


def test_table_format_1_lacks_only_the_best_prices() -> None:
    """Its files name no format, and have all other columns in their order."""
    assert [n for n in SNAPSHOTS.names if n not in FIRST_OF] == SNAPSHOTS_1.names


@pytest.mark.parametrize(
    "schema", [SNAPSHOTS, *(table.schema for table in TABLES.values()), TRADES]
)
def test_every_table_names_its_format(schema: pa.Schema, tmp_path: Path) -> None:
    """It is in the key-value metadata of the file, where any Parquet reader finds it."""
    path = tmp_path / "table.parquet"
    pq.write_table(schema.empty_table(), path)
    metadata = pq.read_metadata(path)
    assert (metadata.metadata or {})[b"booktape.table_format"] == b"2"
    assert table_format(metadata) == TABLE_FORMAT == 2


def test_a_table_that_names_no_format_has_the_first(tmp_path: Path) -> None:
    """Older versions named none."""
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    assert table_format(pq.read_metadata(path)) == 1


@pytest.mark.parametrize("named", ["3", "0", "two", "", "\xff"])
def test_a_table_of_a_later_format_is_refused(named: str, tmp_path: Path) -> None:
    """Its columns may have other meanings: the file is named, and its content is not guessed."""
    path = tmp_path / "table.parquet"
    schema = SNAPSHOTS.with_metadata({TABLE_FORMAT_KEY: named})
    pq.write_table(schema.empty_table(), path)
    with pytest.raises(Damaged, match=r"its table format is .*reads 1 to 2"):
        open_parquet(path)
    with pytest.raises(Damaged, match=r"its table format is"):
        group_extents(pq.read_metadata(path))
    with pytest.raises(Damaged, match=r"its table format is"):
        read_table(path, schema)


@given(st.lists(book_rows, min_size=1, max_size=4))
def test_rows_survive_bit_for_bit(rows: list[BookRow]) -> None:
    """Every double, empty sides and nulls; times are truncated to the microsecond, never rounded up."""
    table = through_parquet(snapshot_batch(rows))
    assert table.schema.equals(SNAPSHOTS)
    for name in ("bid_price", "bid_size", "ask_price", "ask_size"):
        for row, stored in zip(rows, table[name], strict=True):
            assert stored.values.to_numpy().tobytes() == getattr(row, name).tobytes()
    for name in ("update_id", "epoch", "updates", "bid_horizon", "ask_horizon"):
        assert table[name].to_pylist() == [getattr(row, name) for row in rows]
    for best, of in FIRST_OF.items():
        assert table[best].to_pylist() == [next(iter(getattr(row, of)), None) for row in rows]
    event_us, receive_us = (table[n].cast(pa.int64()) for n in ("event_time", "receive_time"))
    assert event_us.to_pylist() == [row.event_time_us for row in rows]
    assert receive_us.to_pylist() == [row.received_ns // 1_000 for row in rows]


def test_open_and_closed_gaps_are_stored() -> None:
    """An open gap has nulls; a closed one has the ids missed strictly between two known states."""
    gaps = [
        GapInterval("BTCUSDT", 3, 1_999, 10, ID_GAP, 5_001, 15),
        GapInterval("币安USDT", 1, 2_000, 20, KILLED),
        GapInterval("ETHBTC", 1, 2_000, 20, STOPPED, 3_000, 18),
    ]
    rows = through_parquet(TABLES["gaps"].batch(gaps)).cast(
        pa.schema([(f.name, pa.int64() if str(f.type) == TIME else f.type) for f in GAPS])
    )
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("BTCUSDT", 3, 1, 5, 10, 15, 4, ID_GAP),
        ("币安USDT", 1, 2, None, 20, None, None, KILLED),
        ("ETHBTC", 1, 2, 3, 20, 18, -3, STOPPED),
    ]


def test_a_segment_without_gaps_has_a_table_of_gaps() -> None:
    """An empty file with the same columns says that there were none."""
    table = through_parquet(TABLES["gaps"].batch([]))
    assert table.num_rows == 0
    assert table.schema.equals(GAPS)


def test_each_table_takes_only_its_own_outputs() -> None:
    """It takes them from all outputs, in order."""
    gap = GapInterval("BTCUSDT", 3, 1_999, 10, ID_GAP, 5_001, 15)
    check, note = Check("BTCUSDT", 1, 1, "rest", 5), Note(None, 1, "clock_step", "1.0")
    for name, own in {"gaps": gap, "checks": check, "notes": note}.items():
        table = TABLES[name]
        assert table.batch([note, gap, check, own]).num_rows == 2
        assert table.batch([note, gap, check]) == table.batch([own])
        assert table.batch([]).schema.equals(table.schema)


def test_an_invalid_row_is_refused() -> None:
    """It has one value too few or too many, one of the wrong type, or a null in a required column."""
    rows: list[tuple[object, ...]] = [
        ("BTCUSDT", 1, "status"),
        ("BTCUSDT", 1, "status", "HALT", "more"),
        ("BTCUSDT", "noon", "status", "HALT"),
        ("BTCUSDT", 1, "status", None),
    ]
    for row in rows:
        table = SmallTable(Note, NOTES, lambda _, row=row: row)  # type: ignore[misc]
        with pytest.raises((ValueError, TypeError), match=r"zip|converted|non-nullable"):
            through_parquet(table.batch([Note(None, 1, "", "")]))


def test_checks_as_they_are_stored() -> None:
    """A passed check says how many levels, a failed one which, up to a thousand of them."""
    differences = tuple(Difference("bid", float(n), 0.0, 1.0) for n in range(1, 1_002))
    batch = TABLES["checks"].batch(
        [
            Check("BTCUSDT", 1_999, 10, "depth20", 400, (), 10),
            Check("BTCUSDT", 2_000, 11, "rest", 2_000, differences),
            Check("BTCUSDT", 3_000, 12, "rest", 2_000),
        ]
    )
    rows = [tuple(row.values()) for row in batch.to_pylist()]
    time = [row[1] - EPOCH for row in rows]
    assert time == [timedelta(microseconds=n) for n in (1, 2, 3)]
    assert [row[2:6] for row in rows] == [
        (10, "depth20", 400, 0),
        (11, "rest", 2_000, 1_001),
        (12, "rest", 2_000, 0),
    ]
    assert (rows[0][6], rows[2][6]) == ("10 comparisons", "")
    found = json.loads(rows[1][6])
    assert len(found) == 1_000
    assert found[0] == {"side": "bid", "price": 1.0, "book": 0.0, "witness": 1.0}


def test_notes_as_they_are_stored() -> None:
    """A note about all symbols has none."""
    batch = TABLES["notes"].batch(
        [Note("BTCUSDT", 1_000, "status", "HALT"), Note(None, 2_000, "clock_step", "-5.0")]
    )
    assert batch["symbol"].to_pylist() == ["BTCUSDT", None]
    assert batch["detail"].to_pylist() == ["HALT", "-5.0"]
