"""`booktape rebuild` as its user meets it: a line for each segment, an exit code, or one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from booktape.cli import app
from booktape.errors import UsageError
from store.contents import stored
from verify.small import BTC, build, sealed, verified


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    build(root)
    return root


def run(*arguments: str) -> int:
    """The exit code of the command."""
    with pytest.raises(SystemExit) as ended:
        app(["rebuild", *arguments], exit_on_error=False, print_error=False)
    return int(ended.value.code or 0)


def test_rebuild_reports_all_segments_in_one_sentence(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run reports that they exist already."""
    command = (str(archive), "--every", "1", "--out", str(tmp_path / "fine"))
    assert run(*command) == 0
    assert capsys.readouterr().out == "5 segments: 5 rebuilt.\n"
    assert verified(tmp_path / "fine").clean
    assert run(*command) == 0
    assert capsys.readouterr().out == "5 segments: 5 already there.\n"


def test_one_symbol_and_a_range_of_time_can_be_rebuilt(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The symbol may be in lower case; the range selects segments."""
    stretch = ["--from", "1970-01-01T00:00:35", "--to", "1970-01-01T01:01:01+01:00"]
    out = tmp_path / "fine"
    assert (
        run(str(archive), "--every", "1", "--out", str(out), "--symbol", "btcusdt", *stretch) == 0
    )
    assert capsys.readouterr().out == "2 segments: 2 rebuilt.\n"
    assert set(stored(out).rows) == {BTC}


def test_a_damaged_tape_gives_exit_code_1(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Something is missing, and the line says why."""
    sealed(archive, "tape")[0].write_bytes(b"")
    assert run(str(archive), "--every", "1", "--out", str(tmp_path / "fine")) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert ": left out. " in first
    assert "is not what was recorded" in first
    assert last == "5 segments: 4 rebuilt, 1 left out."


def test_rebuilding_onto_itself_is_refused(archive: Path) -> None:
    """It is a mistake, reported in one sentence."""
    with pytest.raises(UsageError, match="is the archive itself"):
        app(
            ["rebuild", str(archive), "--every", "1", "--out", str(archive)],
            exit_on_error=False,
            print_error=False,
        )
