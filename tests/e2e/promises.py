"""The promises that every archive must keep, whatever happened while it was recorded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

import pyarrow.parquet as pq

from booktape.verify.order import Scope
from booktape.verify.run import verify
from booktape.verify.stored_files import FolderFiles
from support.truth import TracedMarket

Levels: TypeAlias = list[tuple[float, float]]
Truth: TypeAlias = Callable[[str, int], tuple[Levels, ...]]
Row: TypeAlias = dict[str, Any]


def truth_of(market: TracedMarket) -> Truth:
    """The built-in market's own truth, in the form that `check_archive` expects."""
    truth = market.truth()

    def sides(symbol: str, update_id: int) -> tuple[Levels, ...]:
        book = truth.book(symbol, update_id)
        return book.bids, book.asks

    return sides


def rows_of(root: Path) -> dict[str, list[Row]]:
    """Every stored row of every symbol, by epoch and count: file names follow a clock that may be set."""
    found: dict[str, list[Row]] = {}
    for folder in sorted((root / "snapshots").glob("symbol=*")):
        files = sorted(folder.glob("date=*/*.parquet"), key=lambda path: path.name)
        tables = [pq.read_table(path, partitioning=None) for path in files]
        rows = [row for table in tables for row in table.to_pylist()]
        rows.sort(key=lambda row: (row["epoch"], row["updates"]))
        found[unquote(folder.name.removeprefix("symbol="))] = rows
    return found


def gaps_of(root: Path) -> list[Row]:
    """Every stored gap, by epoch; if one was open and closed later, the closing row comes last."""
    files = sorted(root.glob("gaps/date=*/*.parquet"), key=lambda path: path.name)
    gaps = [row for path in files for row in pq.read_table(path, partitioning=None).to_pylist()]
    return sorted(gaps, key=lambda gap: (gap["epoch"], gap["end_time"] is not None))


def check_archive(root: Path, truth: Truth, every: int) -> dict[str, list[Row]]:
    """Rows equal the truth, are N events apart, and agree with the gaps and the tape. Returns the rows."""
    report = verify(FolderFiles(root), Scope())
    assert report.clean, report.found.kept[:3]
    found = rows_of(root)
    gaps = gaps_of(root)
    for symbol, rows in found.items():
        for row in rows:
            check_row(row, truth(symbol, row["update_id"]))
        check_epochs(rows, every, [gap for gap in gaps if gap["symbol"] == symbol])
    return found


def check_row(row: Row, truth: tuple[Levels, ...]) -> None:
    """A row equals the truth level by level: complete inside its horizon, and nothing false beyond it."""
    for side, true, sign in (("bid", truth[0], -1), ("ask", truth[1], 1)):
        stored = list(zip(row[f"{side}_price"], row[f"{side}_size"], strict=True))
        horizon = row[f"{side}_horizon"]
        if horizon is None:
            assert stored == true, (side, row["update_id"])
            continue
        inside = [level for level in true if sign * level[0] <= sign * horizon]
        assert stored[: len(inside)] == inside, (side, row["update_id"])
        assert set(stored) <= set(true), (side, row["update_id"])


def check_epochs(rows: list[Row], every: int, gaps: list[Row]) -> None:
    """Rows of an epoch are exactly N events apart; between two epochs there is exactly one gap."""
    epochs = [(epoch, list(group)) for epoch, group in groupby(rows, lambda row: row["epoch"])]
    for _, own in epochs:
        assert [row["updates"] for row in own] == [i * every for i in range(len(own))]
        assert all(a["update_id"] < b["update_id"] for a, b in pairwise(own))
    assert [epoch for epoch, _ in epochs] == list(range(1, len(epochs) + 1))
    closed = [gap for gap in gaps if gap["next_update_id"] is not None]
    assert [gap["epoch"] for gap in closed] == list(range(1, len(epochs)))
    for gap, (before, after) in zip(closed, pairwise(epochs), strict=True):
        check_gap(gap, before[1][-1], after[1][0])


def check_gap(gap: Row, last: Row, first: Row) -> None:
    """A gap reaches from the last known state to the first row that is known again.

    By our own clock; if that was set back meanwhile, it does not end before it began.
    """
    assert gap["next_update_id"] == first["update_id"]
    assert gap["end_time"] == max(gap["start_time"], first["receive_time"])
    assert gap["last_update_id"] >= last["update_id"]
    assert gap["start_time"] <= gap["end_time"]
    apart = gap["next_update_id"] - gap["last_update_id"]
    assert gap["missed_updates"] == (apart - 1 if apart else 0)
