"""`booktape export` as its user meets it: files and gaps by name, or one sentence."""

from __future__ import annotations

import shlex
from pathlib import Path

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
    """Of all symbols or of those named, of all the time or a part; each file is named."""
    run(root, options, tmp_path)
    printed = capsys.readouterr().out
    assert names(tmp_path) == files
    assert all(f"{tmp_path / name}: " in printed for name in files)


def test_a_gap_is_reported(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From when until when, and why."""
    run(root, "--format incremental_book_L2 --symbol BTCUSDT", tmp_path)
    first, gap, second, *_ = capsys.readouterr().out.splitlines()
    assert gap == (
        "BTCUSDT: not known from 2026-06-09 00:00:20+00:00 "
        "until 2026-06-09 00:00:30+00:00 (disconnected)"
    )
    assert first.endswith("-1_BTCUSDT.csv.gz: 78 rows")
    assert second.endswith("-2_BTCUSDT.csv.gz: 98 rows")


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
        ("--format csv --from 2030-01-01", NotRecorded, "BTCUSDT has no data in that time"),
        ("--format hftbacktest --from 2030-01-01", NotRecorded, "BTCUSDT has no data in that"),
        ("--format hftbacktest --to 2020-01-01", NotRecorded, "of BTCUSDT in that time"),
    ],
)
def test_a_mistake_is_one_sentence(
    root: Path, options: str, error: type[BooktapeError], sentence: str, tmp_path: Path
) -> None:
    """And nothing is written."""
    with pytest.raises(error) as caught:
        run(root, options, tmp_path / "out")
    assert sentence in str(caught.value)
    assert not (tmp_path / "out").exists() or names(tmp_path / "out") == []


def test_the_archive_itself_is_no_place_for_exports(root: Path) -> None:
    """Whatever way it is written."""
    with pytest.raises(UsageError, match="is the archive itself"):
        run(root, "--format csv", root / "tape" / "..")


def test_no_file_is_replaced(root: Path, tmp_path: Path) -> None:
    """The second time it stops at the first file."""
    run(root, "--format parquet --symbol BTCUSDT", tmp_path)
    before = (tmp_path / "BTCUSDT_long.parquet").read_bytes()
    with pytest.raises(UsageError, match=r"BTCUSDT_long\.parquet exists already"):
        run(root, "--format parquet --symbol BTCUSDT --depth 1", tmp_path)
    assert (tmp_path / "BTCUSDT_long.parquet").read_bytes() == before


def test_a_place_that_cannot_be_written_is_reported(root: Path, tmp_path: Path) -> None:
    """It is the disk's failure, not the user's mistake."""
    with (
        mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "tmpfs") as disk,
        pytest.raises(WriteFailed, match="Cannot write"),
    ):
        run(root, "--format parquet", disk / "new")
