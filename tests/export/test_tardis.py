"""Tardis's layouts, read back with pandas and DuckDB: every book, and one file between two gaps."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

import booktape
from booktape.errors import DamagedFile
from booktape.export.files import Written
from booktape.export.tardis import Naming, decimal, incremental, snapshots
from booktape.export.updates import Update, updates
from booktape.reader import Gap
from export.seeded_recording import record, tape_records
from export.test_updates import applied, sides
from support.oracle import SYMBOL


@pytest.fixture
def items(rec: booktape.Recording) -> list[Update]:
    return [item for item in updates(rec.replay(SYMBOL)) if isinstance(item, Update)]


def naming(out: Path) -> Naming:
    return Naming(out, "binance", SYMBOL)


def test_every_book_comes_back_from_the_increments(
    rec: booktape.Recording, items: list[Update], tmp_path: Path
) -> None:
    """Each file is read alone: its first lines are the whole book."""
    list(incremental(updates(rec.replay(SYMBOL)), naming(tmp_path)))
    books = {item.book.update_id: sides(item.book) for item in items}
    remaining = iter(items)
    for path in sorted(tmp_path.iterdir()):
        lines = pd.read_csv(path)
        # Two events may have the same stamps, so lines are counted, not grouped.
        at, bids, asks = 0, dict[float, float](), dict[float, float]()
        while at < len(lines):
            item = next(remaining)
            mine = lines.iloc[at : at + len(item.bids) + len(item.asks)]
            assert set(mine.is_snapshot) == {at == 0}
            assert set(mine.timestamp) == {item.exchange_us}
            assert set(mine.local_timestamp) == {item.local_us}
            for side, book in (("bid", bids), ("ask", asks)):
                levels = mine[mine.side == side]
                new = applied(book, list(zip(levels.price, levels.amount, strict=True)))
                book.clear()
                book.update(new)
            assert (bids, asks) == books[item.book.update_id]
            at += len(mine)
    assert next(remaining, None) is None


def test_the_columns_are_those_of_tardis(rec: booktape.Recording, tmp_path: Path) -> None:
    """Their names and their order, as DuckDB detects them."""
    list(incremental(updates(rec.replay(SYMBOL)), naming(tmp_path)))
    columns = duckdb.execute(f"DESCRIBE FROM '{tmp_path}/*.csv.gz'").fetchall()
    assert [(name, kind) for name, kind, *_ in columns] == [
        ("exchange", "VARCHAR"),
        ("symbol", "VARCHAR"),
        ("timestamp", "BIGINT"),
        ("local_timestamp", "BIGINT"),
        ("is_snapshot", "BOOLEAN"),
        ("side", "VARCHAR"),
        ("price", "DOUBLE"),
        ("amount", "DOUBLE"),
    ]
    names = duckdb.execute(f"SELECT DISTINCT exchange, symbol FROM '{tmp_path}/*.csv.gz'")  # noqa: S608 our own folder
    assert names.fetchall() == [("binance", SYMBOL)]


def test_a_gap_ends_a_file(rec: booktape.Recording, tmp_path: Path) -> None:
    """The report names it between the two files; names give the start and the epoch of each."""
    first, gap, second, last = incremental(updates(rec.replay(SYMBOL)), naming(tmp_path))
    assert isinstance(first, Written)
    assert isinstance(second, Written)
    assert isinstance(gap, Gap)
    assert isinstance(last, Gap)
    kind = "binance_incremental_book_L2"
    assert first.path.name == f"{kind}_20260609T101320.330000Z-1_BTCUSDT.csv.gz"
    assert second.path.name == f"{kind}_20260609T101340.330000Z-2_BTCUSDT.csv.gz"
    assert sorted(tmp_path.iterdir()) == [first.path, second.path]
    assert len(pd.read_csv(second.path)) == second.rows


@pytest.mark.parametrize("kind", ["incremental_book_L2", "book_snapshot_5"])
@pytest.mark.parametrize("loss", ["missing", "damaged"])
def test_a_lost_tape_in_the_middle_of_an_epoch_ends_a_file(
    tmp_path: Path, kind: str, loss: str
) -> None:
    """The epoch is the same on both sides, and the gap is `undeclared`. No file has a second snapshot."""
    root = record(tmp_path / "archive", tape_records(), rotate_after=(40, 80, 120))
    _, tape, *_ = sorted(root.glob("tape/*/*.zst"))
    if loss == "missing":
        tape.unlink()
    else:
        os.truncate(tape, tape.stat().st_size - 300)
    items = updates(booktape.open(root).replay(SYMBOL))
    out = naming(tmp_path / "exported")
    made = snapshots(items, out, 5) if kind == "book_snapshot_5" else incremental(items, out)
    with pytest.warns(DamagedFile):
        outcomes = list(made)
    reasons = [one.reason for one in outcomes if isinstance(one, Gap)]
    assert reasons == ["undeclared", "disconnected", "disconnected"]
    paths = [one.path for one in outcomes if isinstance(one, Written)]
    epochs = [path.name.split("Z-")[1].split("_")[0] for path in paths]
    assert epochs == ["1", "1", "2"]
    if kind == "incremental_book_L2":
        for path in paths:
            whole_book = pd.read_csv(path).is_snapshot
            assert whole_book.iloc[0]
            assert whole_book.diff().sum() == 1, "a second snapshot in one file"


@pytest.mark.parametrize("depth", [1, 5, 400])
def test_the_best_levels_are_written_whenever_they_change(
    rec: booktape.Recording, items: list[Update], tmp_path: Path, depth: int
) -> None:
    """And only then; a missing level is an empty cell."""
    list(snapshots(updates(rec.replay(SYMBOL)), naming(tmp_path), depth))
    files = sorted(tmp_path.iterdir())
    found = [row for path in files for row in pd.read_csv(path).itertuples(index=False)]
    assert pd.read_csv(files[0]).columns[4:8].tolist() == [
        *("asks[0].price", "asks[0].amount", "bids[0].price", "bids[0].amount"),
    ]
    expected, last = [], None
    for item in items:
        bids, asks = (list(side.items())[:depth] for side in sides(item.book))
        if (item.epoch, bids, asks) != last:
            expected.append((item.exchange_us, item.local_us, asks, bids))
        last = (item.epoch, bids, asks)
    assert len(found) == len(expected)
    for row, (exchange_us, local_us, asks, bids) in zip(found, expected, strict=True):
        assert tuple(row[:4]) == ("binance", SYMBOL, exchange_us, local_us)
        assert _levels(row[4::4], row[5::4]) == asks
        assert _levels(row[6::4], row[7::4]) == bids


def _levels(prices: Any, sizes: Any) -> list[tuple[float, float]]:
    return [level for level in zip(prices, sizes, strict=True) if not pd.isna(level[0])]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((7600.0, "7600"), (0.00001, "0.00001"), (1e-08, "0.00000001"), (0.1, "0.1")),
        *((46_116_860_414.0, "46116860414"), (1e22, "10000000000000000000000"), (0.0, "0")),
    ],
)
def test_numbers_are_plain_and_exact(value: float, text: str) -> None:
    """No exponent, no unnecessary digit, and the same double when read back."""
    assert decimal(value) == text
    assert float(text) == value
    assert Decimal(text) == Decimal(repr(value))
