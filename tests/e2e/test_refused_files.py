"""A file that the operating system refuses is named in one sentence, whichever command meets it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from e2e.commands import BOOKTAPE, run_here
from e2e.test_damaged_files import WITHOUT_POWER
from verify.small import build


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("refused") / "archive"
    build(root)
    return root


def run_command(*arguments: str | bytes | Path) -> subprocess.CompletedProcess[str]:
    """Run as root without its privileges, subject to permissions like any other user."""
    if shutil.which("setpriv") is None or os.getuid() != 0:
        pytest.skip("needs to be root, and setpriv of util-linux, to be a root without its power")
    command = [*WITHOUT_POWER, *BOOKTAPE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


COMMANDS = ("info", "verify", "export")


def line(name: str, root: Path | bytes, out: Path) -> list[str | bytes | Path]:
    options: dict[str, list[str | Path]] = {
        "rebuild": ["--every", "1", "--out", out],
        "export": ["--format", "csv", "--out", out],
        "plot": ["calendar", "--file", out.with_suffix(".png")],
    }
    return [name, root, *options.get(name, [])]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("room", ["snapshots", pytest.param("", marks=pytest.mark.long)])
def test_an_unreadable_folder_is_named(archive: Path, tmp_path: Path, name: str, room: str) -> None:
    """The whole archive, or one of its folders: no traceback, and an exit code that says so."""
    root = Path(shutil.copytree(archive, tmp_path / "copy"))
    (root / room).mkdir(exist_ok=True)
    (root / room).chmod(0)
    try:
        done = run_command(*line(name, root, tmp_path / "out"))
    finally:
        (root / room).chmod(0o755)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode


@pytest.mark.parametrize("name", COMMANDS)
def test_a_name_that_is_not_an_archive_is_refused(tmp_path: Path, name: str) -> None:
    """A file, something below a file, and bytes that are not text."""
    (tmp_path / "file").write_text("a thesis")
    for root in (tmp_path / "file", tmp_path / "file" / "x", os.fsencode(tmp_path) + b"/\xff"):
        code, _, _ = run_here(*map(os.fsdecode, line(name, root, tmp_path / "out")))
        assert code in {2, 74}
