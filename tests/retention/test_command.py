"""`booktape prune`, and what commands and the reader report about removed tapes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import booktape
from booktape.cli import app
from booktape.commands.prune import kept
from booktape.errors import BookNotKnown, DamagedArchive, TapesRemoved, UsageError
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules, prune
from verify.small import BTC, rows_of, verified


def call(*line: str | Path) -> int:
    code = app(list(map(str, line)), exit_on_error=False, result_action="return_value")
    return code if isinstance(code, int) else 0


def link_to_nowhere(path: Path) -> None:
    path.symlink_to("/nowhere")


def at(second: float) -> datetime:
    return datetime.fromtimestamp(second, UTC)


@pytest.mark.parametrize(
    ("texts", "limit"),
    [
        ((), Limit()),
        (("all",), Limit()),
        (("0",), Limit(age_s=0)),
        (("30d",), Limit(age_s=30 * 86_400)),
        (("500GB",), Limit(size_bytes=500 * 10**9)),
        (("1.5TiB", "365d"), Limit(365 * 86_400, round(1.5 * 2**40))),
    ],
)
def test_limits_are_times_and_sizes(texts: tuple[str, ...], limit: Limit) -> None:
    assert kept("--keep", texts) == limit


@pytest.mark.parametrize(
    "texts",
    [
        ("30",),
        ("",),
        ("-1d",),
        ("500",),
        ("500G",),
        ("5gb",),
        ("30d", "1d"),
        ("1GB", "2GB"),
        ("all", "1d"),
    ],
)
def test_an_invalid_limit_is_refused(texts: tuple[str, ...]) -> None:
    """A number without a unit may be meant as a time or as a size."""
    with pytest.raises(UsageError, match="--keep"):
        kept("--keep", texts)


def test_exit_codes_and_sentences(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 when everything past its limit is gone; 1 when something is not verified; 2 when nothing was requested."""
    assert call("prune", archive, "--keep-tape", "9GB") == 0
    assert "Nothing was removed." in capsys.readouterr().out
    assert call("prune", archive, "--keep-tape", "0") == 0
    out = capsys.readouterr().out
    assert "third stays: the next start continues from it." in out
    assert "Removed: 4 tapes, verified first" in out
    assert call("info", archive) == 0
    assert "Removed on purpose" in capsys.readouterr().out
    with pytest.raises(UsageError, match="Say what to keep"):
        call("prune", archive)


def test_an_unverified_segment_is_named(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = rows_of(archive, BTC, 0)
    file.write_bytes(file.read_bytes() + b"?")
    assert call("prune", archive, "--keep", "0") == 1
    assert "it is not verified: snapshots/symbol=BTCUSDT" in capsys.readouterr().out
    assert verified(archive).exit_code == 1


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_bytes(b"\0"), os.mkfifo, Path.mkdir, link_to_nowhere]
)
def test_an_unreadable_receipt_ends_the_pass(
    archive: Path, spoil: Callable[[Path], object]
) -> None:
    """The error names it, with exit code 1: what was removed, and why, is not guessed."""
    assert call("prune", archive, "--keep-tape", "0") == 0
    receipt = min(archive.glob("removed/*/*.json"))
    receipt.unlink()
    spoil(receipt)
    with pytest.raises(DamagedArchive, match=receipt.name):
        call("prune", archive, "--keep-tape", "0")
    with pytest.raises(DamagedArchive, match=receipt.name):
        call("compact", archive, "--out", archive.parent / "days")
    assert DamagedArchive.exit_code == 1


def test_a_book_whose_tape_was_removed_is_not_known(archive: Path) -> None:
    """The sentence says why."""
    recording = booktape.open(archive)
    assert recording.at(BTC, at(12)).update_id
    prune(archive, Rules(tapes=Limit(age_s=0)))
    with pytest.raises(BookNotKnown, match="was removed on purpose"):
        recording.at(BTC, at(12))


def test_a_replay_names_the_time_it_lacks(archive: Path) -> None:
    """Once; not if the tapes of the requested time are there."""
    recording = booktape.open(archive)
    prune(archive, Rules(tapes=Limit(age_s=0)), 60 * 10**6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wanted = list(recording.replay(BTC, at(61)))
    with pytest.warns(TapesRemoved, match="1970-01-01 00:00:00 to 1970-01-01 00:01:00"):
        found = list(recording.replay(BTC))
    assert len(found) == len(wanted) > 3
    (sentence,) = recording.lacks
    assert "(2 segments)" in sentence


def test_a_rebuild_names_what_it_leaves_out(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The remaining segments are rebuilt, and verify as far as their first tape is proved."""
    prune(archive, Rules(tapes=Limit(age_s=0)), 60 * 10**6)
    assert call("rebuild", archive, "--every", "1", "--out", tmp_path / "fine") == 0
    out = capsys.readouterr().out
    assert "were removed on purpose (2 segments)" in out
    assert "3 segments: 3 rebuilt." in out


def test_an_export_names_what_it_leaves_out(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exports of rows lack nothing; those of events name the time."""
    prune(archive, Rules(tapes=Limit(age_s=0)), 60 * 10**6)
    line = ("export", archive, "--symbol", BTC, "--out")
    assert call(*line, tmp_path / "rows", "--format", "parquet") == 0
    assert "removed" not in capsys.readouterr().err
    assert call(*line, tmp_path / "events", "--format", "incremental_book_L2") == 0
    assert "were removed on purpose" in capsys.readouterr().err


def test_compact_makes_a_copy_by_days(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reports the days copied, already there, and left out; it refuses to copy into the archive itself."""
    assert call("compact", archive, "--out", tmp_path / "days") == 0
    assert "3 days copied, 0 already there." in capsys.readouterr().out
    assert call("compact", archive, "--out", tmp_path / "days") == 0
    assert "0 days copied, 3 already there." in capsys.readouterr().out
    assert call("verify", tmp_path / "days") == 0
    file = rows_of(archive, BTC, 0)
    file.write_bytes(file.read_bytes() + b"?")
    assert call("compact", archive, "--out", tmp_path / "others") == 1
    assert "left out" in capsys.readouterr().out
    for wrong in (archive, archive / "snapshots"):
        with pytest.raises(UsageError):
            call("compact", archive, "--out", wrong)
    with pytest.raises(UsageError, match="no sealed segment"):
        call("compact", tmp_path / "nothing", "--out", tmp_path / "more")
