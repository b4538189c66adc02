"""`booktape export` as its user meets it: files and gaps by name, or one sentence."""

from __future__ import annotations

import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from booktape.cli import app
from booktape.errors import BooktapeError, NotRecorded, UsageError, WriteFailed
from reader.day import write
from support.mounts import mounted


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of two symbols, with a gap."""
    folder = tmp_path_factory.mktemp("exported")
    write(folder, 60, segment_s=60, cuts=(20,))
    return folder


def run(root: Path, options: str, out: Path) -> None:
    command = ["export", str(root), "--out", str(out), *shlex.split(options)]
    app(command, exit_on_error=False, print_error=False, result_action="return_value")


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ("--format csv --shape wide --depth 2", ["BTCUSDT_wide.csv.gz", "ETHUSDT_wide.csv.gz"]),
        ("--format parquet --symbol btcusdt", ["BTCUSDT_long.parquet"]),
        (
            "--format incremental_book_L2 --symbol ETHUSDT --venue binance-us",
            [
                "binance-us_incremental_book_L2_20260609T000000.000000Z-1_ETHUSDT.csv.gz",
                "binance-us_incremental_book_L2_20260609T000030.000000Z-2_ETHUSDT.csv.gz",
            ],
        ),
        (
            "--format book_snapshot --depth 5 --symbol BTCUSDT --to 2026-06-09T00:00:10",
            ["binance_book_snapshot_5_20260609T000000.000000Z-1_BTCUSDT.csv.gz"],
        ),
        (
            "--format hftbacktest --symbol BTCUSDT --from 2026-06-09T00:00:40Z",
            ["BTCUSDT_20260609T000040.000000Z-2_0000.npz"],
        ),
    ],
)
def test_each_format_has_its_files(
    root: Path, options: str, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For all or some symbols, for all or part of the time; the report names each file."""
    run(root, options, tmp_path)
    printed = capsys.readouterr().out
    assert names(tmp_path) == files
    assert all(f"{tmp_path / name}: " in printed for name in files)


def test_a_gap_is_reported(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With beginning, end and reason."""
    run(root, "--format incremental_book_L2 --symbol BTCUSDT", tmp_path)
    first, gap, second, *_ = capsys.readouterr().out.splitlines()
    assert gap == (
        "BTCUSDT: not known from 2026-06-09 00:00:20+00:00 "
        "until 2026-06-09 00:00:30+00:00 (disconnected)"
    )
    assert first.endswith("-1_BTCUSDT.csv.gz: 78 rows")
    assert second.endswith("-2_BTCUSDT.csv.gz: 98 rows")


@pytest.mark.parametrize(
    "options", ["incremental_book_L2", "csv --shape wide --depth 1", "parquet"]
)
def test_the_gap_in_which_the_recording_ends_is_reported(
    root: Path, options: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By every format, once, and only within the requested time."""
    run(root, f"--symbol BTCUSDT --format {options}", tmp_path / "all")
    last = "BTCUSDT: not known from 2026-06-09 00:00:59+00:00 until now (stopped)"
    lines = capsys.readouterr().out.splitlines()
    assert (lines[-1], lines.count(last)) == (last, 1)
    run(root, f"--symbol BTCUSDT --to 2026-06-09T00:00:50 --format {options}", tmp_path / "part")
    assert "stopped" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ("--format csv --symbol XRPUSDT", NotRecorded, "has no data for XRPUSDT"),
        ("--format csv --shape wide", UsageError, "wide needs a number of levels. Add --depth"),
        ("--format book_snapshot", UsageError, "book_snapshot needs a number of levels"),
        ("--format book_snapshot --depth 1000000000", UsageError, "takes at most 5,000 levels"),
        ("--format csv --shape wide --depth 1000000000", UsageError, "takes at most 5,000 levels"),
        ("--format hftbacktest --depth 5", UsageError, "hftbacktest holds the whole book"),
        ("--format incremental_book_L2 --depth 5", UsageError, "holds the whole book"),
        ("--format hftbacktest --shape long", UsageError, "--shape does not apply to"),
        ("--format csv --from yesterday", UsageError, "--from yesterday is not a valid time"),
        ("--format csv --to tomorrow", UsageError, "--to tomorrow is not a valid time"),
        ("--format csv --from ''", UsageError, "is not a valid time"),
        ("--format csv --from 2026-06-09 --to 2026-06-08", UsageError, "is later than --to"),
        ("--format csv --from 2030-01-01", NotRecorded, "BTCUSDT has no data in that time"),
        ("--format hftbacktest --from 2030-01-01", NotRecorded, "BTCUSDT has no data in that"),
        ("--format hftbacktest --to 2020-01-01", NotRecorded, "of BTCUSDT in that time"),
    ],
)
def test_a_mistake_is_reported_in_one_sentence(
    root: Path, options: str, error: type[BooktapeError], sentence: str, tmp_path: Path
) -> None:
    """Nothing is written."""
    with pytest.raises(error) as caught:
        run(root, options, tmp_path / "out")
    assert sentence in str(caught.value)
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []


def test_nothing_is_exported_into_the_archive_itself(root: Path) -> None:
    """However its path is written."""
    with pytest.raises(UsageError, match="is the archive itself"):
        run(root, "--format csv", root / "tape" / "..")


def test_no_file_is_replaced(root: Path, tmp_path: Path) -> None:
    """A second export stops at the first file."""
    run(root, "--format parquet --symbol BTCUSDT", tmp_path)
    before = (tmp_path / "BTCUSDT_long.parquet").read_bytes()
    with pytest.raises(UsageError, match=r"BTCUSDT_long\.parquet exists already"):
        run(root, "--format parquet --symbol BTCUSDT --depth 1", tmp_path)
    assert (tmp_path / "BTCUSDT_long.parquet").read_bytes() == before


def test_a_target_that_cannot_be_written_is_reported(root: Path, tmp_path: Path) -> None:
    """It is the disk's failure, not the user's mistake."""
    with (
        mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "tmpfs") as disk,
        pytest.raises(WriteFailed, match="Cannot write"),
    ):
        run(root, "--format parquet", disk / "new")


# ── a folder for each segment ───────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same minute in six segments."""
    folder = tmp_path_factory.mktemp("segments")
    write(folder, 60, segment_s=10, cuts=(20,))
    return folder


def files(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.mark.parametrize("options", ["parquet --depth 3", "incremental_book_L2"])
def test_each_segment_has_a_folder(
    segments: Path, options: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In shards, one at a time or all at once: the same bytes. A second run touches nothing."""
    command = f"--per-segment --format {options}"
    run(segments, command, tmp_path / "one")
    made = files(tmp_path / "one")
    output = capsys.readouterr().out
    count = len(list((tmp_path / "one").iterdir()))
    assert f"{count} segments: {count} exported, 0 already there, 0 left out." in output
    assert len(list((tmp_path / "one").glob("*/export.json"))) == count > 3
    for number in (1, 2, 3):
        run(segments, f"{command} --shard {number}/3", tmp_path / "three")
    assert files(tmp_path / "three") == made
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*")}
    run(segments, command, tmp_path / "one")
    assert f"{count} segments: 0 exported, {count} already there" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*")} == before


def test_segments_together_hold_every_row(segments: Path, tmp_path: Path) -> None:
    """Each row once, in order, like one file for all segments."""
    command = "--format parquet --symbol BTCUSDT"
    run(segments, command, tmp_path / "whole")
    run(segments, f"{command} --per-segment", tmp_path / "parts")
    whole = pq.read_table(tmp_path / "whole" / "BTCUSDT_long.parquet")
    parts = sorted((tmp_path / "parts").glob("*/BTCUSDT_long.parquet"))
    assert len(parts) > 3
    assert pa.concat_tables([pq.read_table(path) for path in parts]).equals(whole)


@pytest.mark.system
def test_two_processes_write_the_same_bytes(segments: Path, tmp_path: Path) -> None:
    """For each segment, whichever process writes it."""
    command = "--format parquet --symbol BTCUSDT --per-segment"
    run(segments, command, tmp_path / "one")
    run(segments, f"{command} --jobs 2", tmp_path / "two")
    assert files(tmp_path / "two") == files(tmp_path / "one")


def test_a_segment_of_another_request_stays_as_it_is(segments: Path, tmp_path: Path) -> None:
    """Two different results cannot have the same name."""
    run(segments, "--per-segment --format parquet --symbol BTCUSDT", tmp_path / "out")
    made = files(tmp_path / "out")
    for other in ("parquet", "csv --symbol BTCUSDT", "parquet --symbol BTCUSDT --depth 3"):
        with pytest.raises(UsageError, match="exported with other options"):
            run(segments, f"--per-segment --format {other}", tmp_path / "out")
    assert files(tmp_path / "out") == made


def test_a_damaged_segment_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All other segments are exported; exit code 1. When it is repaired, the next run adds it."""
    root, out = tmp_path / "data", tmp_path / "out"
    write(root, 30, segment_s=10)
    rows = sorted(root.glob("snapshots/symbol=BTCUSDT/*/*"))[1]
    whole = rows.read_bytes()
    rows.write_bytes(whole[:100])
    command = ["export", str(root), "--per-segment", "--format", "csv", "--out", str(out)]
    assert app(command, exit_on_error=False, print_error=False, result_action="return_value") == 1
    output = capsys.readouterr()
    assert "3 segments: 2 exported, 0 already there, 1 left out." in output.out
    assert f"{rows.name.removesuffix('.parquet')}: left out" in output.out
    assert str(rows) in output.err
    assert len(list(out.iterdir())) == 2
    rows.write_bytes(whole)
    assert app(command, exit_on_error=False, print_error=False, result_action="return_value") == 0
    assert "1 exported, 2 already there" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--jobs 2", "--shard 1/2", "--dask tcp://127.0.0.1:8786"])
def test_workers_need_segments(segments: Path, option: str, tmp_path: Path) -> None:
    """One process must write a file that spans segments."""
    with pytest.raises(UsageError, match="Add --per-segment"):
        run(segments, f"--format csv {option}", tmp_path / "out")
    assert not (tmp_path / "out").exists()
