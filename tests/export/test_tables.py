"""CSV and Parquet, read back with DuckDB and pandas: the stored rows, with their epoch."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest

import booktape
from booktape.errors import NotRecorded, UsageError
from booktape.export import tables
from booktape.export.files import Written
from booktape.export.tables import TableFormat, TableShape, table
from booktape.reader import Gap
from support.oracle import SYMBOL

FORMATS: list[TableFormat] = ["csv", "parquet"]
SHAPES: list[TableShape] = ["long", "wide"]


def exported(
    rec: booktape.Recording, out: Path, shape: TableShape, form: TableFormat
) -> pd.DataFrame:
    """As pandas reads it; it must be told which columns of a CSV are times."""
    first, *gaps = table(rec.snapshots(SYMBOL, depth=7), shape, form, out)
    assert isinstance(first, Written)
    assert all(isinstance(gap, Gap) for gap in gaps)
    assert len(gaps) == 2
    assert list(out.iterdir()) == [first.path]
    found = (
        pd.read_parquet(first.path)
        if form == "parquet"
        else pd.read_csv(first.path, parse_dates=["event_time", "receive_time"])
    )
    assert len(found) == first.rows
    return found


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_holds_what_the_reader_gives(
    rec: booktape.Recording, tmp_path: Path, shape: TableShape, form: TableFormat
) -> None:
    """Every value, exactly; `epoch` distinguishes the rows before and after the gap."""
    found = exported(rec, tmp_path, shape, form)
    expected = rec.snapshots(SYMBOL, depth=7).to_pandas(shape)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, check_exact=True)
    assert set(found["epoch"]) == {1, 2}


@pytest.mark.parametrize("form", FORMATS)
def test_a_missing_level_is_null(
    rec: booktape.Recording, tmp_path: Path, form: TableFormat
) -> None:
    """For a database NaN would be a number, the greatest of all."""
    (written, *_) = table(rec.snapshots(SYMBOL, depth=70), "wide", form, tmp_path)
    assert isinstance(written, Written)
    counts = duckdb.execute(_MISSING.format(written.path)).fetchall()
    assert counts[0][0] > 0
    assert counts[0][1] == 0


_MISSING = """
    SELECT count(*) FILTER (bid_px_69 IS NULL), count(*) FILTER (isnan(bid_px_69)) FROM '{}'
"""


def test_a_batch_is_cut_to_a_bounded_size(
    rec: booktape.Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the shape `long` a row group may give millions of rows: it is written in pieces."""
    whole = exported(rec, tmp_path / "whole", "long", "parquet")
    monkeypatch.setattr(tables, "CHUNK_LEVELS", 100)
    cut = exported(rec, tmp_path / "cut", "long", "parquet")
    (path,) = (tmp_path / "cut").iterdir()
    sizes = [group[0] for group in duckdb.execute(_GROUPS.format(path)).fetchall()]
    assert len(sizes) > 10
    assert max(sizes) <= 100
    pd.testing.assert_frame_equal(whole, cut)


_GROUPS = "SELECT DISTINCT row_group_num_rows, row_group_id FROM parquet_metadata('{}')"


def test_without_rows_there_is_no_file(rec: booktape.Recording, tmp_path: Path) -> None:
    """A time range without rows is the user's mistake."""
    rows = rec.snapshots(SYMBOL, "2030-01-01T00:00:00Z")
    with pytest.raises(NotRecorded, match="BTCUSDT has no data in that time"):
        list(table(rows, "long", "parquet", tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_wide_needs_a_depth(rec: booktape.Recording, tmp_path: Path) -> None:
    """Nothing is written without one."""
    with pytest.raises(UsageError, match="number of levels"):
        list(table(rec.snapshots(SYMBOL), "wide", "csv", tmp_path))
    assert list(tmp_path.iterdir()) == []
