"""How much of the time was known, and what was lost and why."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import booktape
from booktape.errors import DamagedFile
from booktape.reader import Coverage, Gap
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.coverage import DAYS_MAX, DayCoverage, day_coverage, days_between
from booktape.reader.summary import summarize
from reader.day import SYMBOLS, write
from reader.truth import moment, truths

NOON = datetime(2026, 6, 9, 12, tzinfo=UTC)


def test_rows_times_and_losses(rec: booktape.Recording, sealed: Path) -> None:
    """As counted by hand: two cuts of ten seconds within 299 s."""
    found = rec.coverage()
    assert [c.symbol for c in found] == list(SYMBOLS)
    for own in found:
        assert own.rows == len(list(truths(own.symbol)))
        assert (own.first, own.last, own.span_s) == (moment(0), moment(299), 299)
        assert (own.lost_s, own.gaps, own.epochs) == (20, {"disconnected": 2}, 3)
        assert own.coverage == pytest.approx(279 / 299)
        files = sealed.glob(f"snapshots/symbol={own.symbol}/*/*.parquet")
        assert own.bytes == sum(file.stat().st_size for file in files)


def test_the_unsealed_end_counts(rec: booktape.Recording, running: Path) -> None:
    """As it will once sealed, except for the bytes; unless it was left out."""
    sealed = [(c.symbol, c.rows, c.last, c.lost_s, c.gaps, c.epochs) for c in rec.coverage()]
    later = booktape.open(running).coverage()
    assert [(c.symbol, c.rows, c.last, c.lost_s, c.gaps, c.epochs) for c in later] == sealed
    without = booktape.open(running, unsealed=False).coverage()
    assert all(c.last == moment(199) for c in without)


def test_a_half_sealed_segment_is_counted_once(sealed: Path, tmp_path: Path) -> None:
    """Its rows have their final name already; its tape does not."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    whole = booktape.open(root).coverage()
    tape = max(root.glob("tape/*/*"))
    unsealed = root / "unsealed" / tape.name.removesuffix(".jsonl.zst")
    unsealed.mkdir(parents=True)
    tape.rename(unsealed / "tape.jsonl.zst")
    assert booktape.open(root).coverage() == whole


def test_rows_of_a_damaged_file_do_not_count(sealed: Path, tmp_path: Path) -> None:
    """Its end can be read, but it is not as it was sealed: `info` calls it damaged and counts the others."""
    root = tmp_path / "copy"
    shutil.copytree(sealed, root)
    victim = sorted(root.glob("snapshots/symbol=BTCUSDT/*/*"))[1]
    whole = pq.read_table(victim, partitioning=None)
    pq.write_table(whole.slice(5), victim, row_group_size=600)
    archive = ArchiveFiles.find(root, unsealed=False)
    with pytest.warns(DamagedFile, match="it was sealed with"):
        found = summarize(archive, booktape.Recording(archive)).symbols
    wanted = {"BTCUSDT": 280 - whole.num_rows, "ETHUSDT": 280}
    assert {own.symbol: own.rows for own in found} == wanted
    left = [path for path in root.glob("snapshots/symbol=BTCUSDT/*/*") if path != victim]
    assert found[0].bytes == sum(path.stat().st_size for path in left)


def test_a_single_row_is_covered(tmp_path: Path) -> None:
    """It covers no time, and loses none."""
    write(tmp_path, 1, segment_s=10)
    assert [c.coverage for c in booktape.open(tmp_path).coverage()] == [1.0, 1.0]


def test_a_recording_without_rows_covers_nothing(tmp_path: Path) -> None:
    """There is no symbol, rather than one with made-up times."""
    (tmp_path / "snapshots" / "symbol=BTCUSDT").mkdir(parents=True)
    assert booktape.open(tmp_path).coverage() == []


def test_a_day_is_the_recorded_time_less_the_lost_time() -> None:
    """Half a day, a day with a gap across midnight, and the rest."""
    own = Coverage("X", 2, 0, 1, NOON, NOON + timedelta(days=2), 0.0, {})
    lost = Gap("X", 1, NOON + timedelta(hours=11), NOON + timedelta(hours=15), 1, 2, 0, "stopped")
    days = days_between(own.first, own.last)
    assert [day.day for day in days] == [9, 10, 11]
    assert [day_coverage(own, [lost], day) for day in days] == [
        DayCoverage(11 * 3600, 1),
        DayCoverage(21 * 3600, 1),
        DayCoverage(12 * 3600, 0),
    ]
    # An open gap reaches to the last row.
    assert day_coverage(own, [replace(lost, end_time=None)], days[2]) == DayCoverage(0, 1)
    assert day_coverage(own, [], date(2026, 6, 1)) == DayCoverage()
    # Time within two gaps is lost once.
    twice = [lost, replace(lost, start_time=NOON + timedelta(hours=10), epoch=2)]
    assert day_coverage(own, twice, days[0]) == DayCoverage(10 * 3600, 2)


def test_the_number_of_days_is_bounded() -> None:
    """Rows from year 2 and year 9998 in one recording are a forgery or a wrong clock: the last hundred years count."""
    days = days_between(datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC))
    assert (len(days), days[-1]) == (DAYS_MAX, date(9998, 12, 31))
