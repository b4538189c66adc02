"""DuckDB, polars and pandas read `snapshots/` with one plain line while a recorder is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from booktape.store.schema import FIRST_OF, SNAPSHOTS
from store.small_recording import OPENING, RECORDS, expected, perform
from support.archives import open_archive


def by_duckdb(root: Path) -> list[dict[str, Any]]:
    rows = duckdb.sql(f"FROM '{root}/snapshots/**/*.parquet'")
    assert rows is not None
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


def by_polars(root: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(f"{root}/snapshots").to_dicts()


def by_pandas(root: Path) -> list[dict[str, Any]]:
    return [dict(row) for _, row in pd.read_parquet(f"{root}/snapshots").iterrows()]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An archive with two sealed segments and a third one in the middle of its work."""
    root = tmp_path_factory.mktemp("archive")
    with open_archive(root) as archive:
        perform(archive)
        recording = archive.begin(OPENING, "second")
        for record in RECORDS[:8]:
            recording.handle(record)
        recording.writer.flush()
        assert list((root / "unsealed").iterdir())
        yield root


@pytest.mark.parametrize("read", [by_duckdb, by_polars, by_pandas])
def test_one_line_reads_everything(
    root: Path, read: Callable[[Path], list[dict[str, Any]]]
) -> None:
    """All sealed rows and no others, each with its symbol, levels and nulls."""
    truth = expected(RECORDS)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in read(root):
        found.setdefault(str(row["symbol"]), []).append(row)
    assert found.keys() == truth.rows.keys()
    for symbol, rows in truth.rows.items():
        named = [dict(zip(SNAPSHOTS.names, row, strict=True)) for row in rows]
        own = sorted(found[symbol], key=lambda row: (row["epoch"], row["updates"]))
        assert len(own) == len(named)
        for row, true in zip(own, named, strict=True):
            for name in ("update_id", "epoch", "updates"):
                assert row[name] == true[name]
            for name in ("bid_price", "bid_size", "ask_price", "ask_size"):
                assert list(row[name]) == true[name]
            for name in (*FIRST_OF, "bid_horizon", "ask_horizon"):
                assert (None if pd.isna(row[name]) else row[name]) == true[name]


def test_times_are_utc(root: Path) -> None:
    """pandas and polars show timestamps, not numbers: with their zone, in microseconds."""
    moment = pd.Timestamp("1970-01-01 00:00:02Z")
    record = pd.read_parquet(f"{root}/snapshots")
    assert str(record["receive_time"].dtype) == "datetime64[us, UTC]"
    assert record["receive_time"].min() == moment
    column = pl.read_parquet(f"{root}/snapshots")["receive_time"]
    assert column.dtype == pl.Datetime("us", "UTC")
    assert column.min() == moment.to_pydatetime()
