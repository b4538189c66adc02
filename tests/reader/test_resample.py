"""A regular grid: never a value from another epoch or from the future."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import booktape
from booktape.errors import UsageError
from reader.conftest import CUTS
from reader.day import BEGIN_S, write
from reader.truth import moment, truths


def by_hand(interval_s: float) -> list[tuple[datetime, int | None, int | None]]:
    """Interval, update id and epoch: for each interval the last book known in it."""
    rows = list(truths("BTCUSDT"))
    found: list[tuple[datetime, int | None, int | None]] = []
    number = 0
    while number * interval_s <= rows[-1].second:
        begin, end = number * interval_s, (number + 1) * interval_s
        last = [row for row in rows if row.second < end][-1]
        # Known from the row to the next gap: the book counts if that time reaches into the interval.
        lost = next((cut for cut in CUTS if last.second <= cut <= begin), None)
        known = last.second >= begin or lost is None
        pair = (last.update_id, last.epoch) if known else (None, None)
        found.append((moment(begin), *pair))
        number += 1
    return found


@pytest.mark.parametrize("name", ["sealed", "running"])
@pytest.mark.parametrize("interval", ["100ms", "1s", "3s", "60s", "1h"])
def test_each_interval_has_the_last_book_known_in_it(
    name: str, interval: str, request: pytest.FixtureRequest
) -> None:
    """Carried forward while its epoch lasts; null in a gap. Compared with a plain loop."""
    length = {"100ms": 0.1, "1s": 1, "3s": 3, "60s": 60, "1h": 3_600}[interval]
    rec = booktape.open(request.getfixturevalue(name))
    table = rec.snapshots("BTCUSDT", depth=1).resample(interval).to_arrow()
    columns = [table[name].to_pylist() for name in ("time", "update_id", "epoch")]
    assert list(zip(*columns, strict=True)) == by_hand(length)


def test_the_grid_is_aligned_to_1970(rec: booktape.Recording) -> None:
    """Wherever a recording begins, so two recordings have the same intervals."""
    table = rec.snapshots("BTCUSDT", depth=1).resample("7s").to_arrow()
    assert moment(0) - table["time"][0].as_py() == timedelta(seconds=BEGIN_S % 7)


def test_inside_a_gap_everything_is_null(rec: booktape.Recording) -> None:
    """In every shape; `long` has no row, and arrays have NaN. The symbol and the time stay."""
    rows = rec.snapshots("BTCUSDT", depth=2).resample("1s")
    wide = rows.to_pandas("wide").set_index("time")
    hole = wide.loc[moment(40) : moment(49)]
    assert len(hole) == 10  # the gap begins with the first of these seconds
    assert hole.drop(columns="symbol").isna().all(axis=None)
    assert set(hole["symbol"]) == {"BTCUSDT"}
    assert not wide["bid_px_00"].drop(hole.index).loc[: moment(140)].isna().any()
    assert np.isnan(rows.to_numpy()[40:50]).all()
    assert rows.to_numpy().shape == (300, 8)
    times = set(rows.to_polars("long")["time"])
    assert moment(40) not in times
    assert {moment(39), moment(50)} <= times


def test_differences_across_a_gap_are_null(rec: booktape.Recording) -> None:
    """The nulls are there for this reason."""
    frame = rec.snapshots("BTCUSDT", depth=1).resample("1s").to_pandas("wide")
    steps = frame.set_index("time")["update_id"].diff()
    assert steps.loc[moment(50) : moment(50)].isna().all()
    assert set(steps.dropna()) == {1.0}


def test_epochs_without_a_gap_between_them_are_not_joined(sealed: Path, tmp_path: Path) -> None:
    """Even if the files that declare the gap are missing."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    shutil.rmtree(root / "gaps")
    table = booktape.open(root).snapshots("BTCUSDT", depth=1).resample("1s").to_arrow()
    assert table["update_id"].to_pylist()[38:52] == [38, 39, *[None] * 10, 50, 51]


def test_a_quiet_book_is_known_until_its_epoch_ends(tmp_path: Path) -> None:
    """A row counts until the next one, even across row groups."""
    write(tmp_path, 1_300, segment_s=3_600)
    rows = booktape.open(tmp_path).snapshots("BTCUSDT", depth=1)
    halves = rows.resample("500ms").to_arrow()
    assert halves["update_id"].to_pylist() == [n // 2 for n in range(2 * 1_300 - 1)]
    only = rows.resample("1m").to_arrow()["update_id"].to_pylist()
    assert only == [*range(59, 1_299, 60), 1_299]


def test_an_array_of_epochs_needs_no_null(rec: booktape.Recording) -> None:
    """Outside a gap it is as long as the frame."""
    rows = rec.snapshots("BTCUSDT", end=moment(30), depth=1).resample("1s")
    assert rows.epochs().tolist() == [1] * 30


def test_an_invalid_interval_is_refused(rec: booktape.Recording) -> None:
    """Before anything is read."""
    with pytest.raises(UsageError, match="1x is not a valid duration"):
        rec.snapshots("BTCUSDT").resample("1x")
