"""A real shell completes a command and an option, once it has the line from docs/installation.md."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from booktape.cli import completion
from install.fresh import ROOT

INTERACTIVE: Final = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
BEFORE: Final = {"bash": "", "zsh": "autoload -U compinit; compinit -D", "fish": ""}
SHOWS: Final = {
    "bash": "booktape() { printf '<%s>' \"$@\"; }",
    "zsh": "booktape() { printf '<%s>' \"$@\"; }",
    "fish": "function booktape; printf '<%s>' $argv; end",
}
"""Stands in for the command, and shows what the shell has made of the keys."""

ON_A_TERMINAL: Final = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""A separate session, which this terminal controls."""

DEADLINE_S: Final = 60


def documented(shell: str) -> str:
    """The line for its start file."""
    text = (ROOT / "docs" / "installation.md").read_text()
    line = re.search(rf"^\| {shell} \| .* \| `(.*)` \|$", text, re.MULTILINE)
    assert line
    return line[1].replace("\\|", "|")


class Keyboard:
    """A terminal with a typist; `screen` is everything written to it."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.screen = ""

    def type(self, keys: str) -> None:
        """Press these keys."""
        os.write(self._terminal, keys.encode())

    def until(self, text: str) -> None:
        """Wait until this was written."""
        deadline_s = time.monotonic() + DEADLINE_S
        while text not in self.screen:
            left_s = deadline_s - time.monotonic()
            assert select.select([self._terminal], [], [], max(0, left_s))[0], self.screen
            self.screen += os.read(self._terminal, 1 << 16).decode(errors="replace")


@contextmanager
def typing(shell: str, home: Path) -> Iterator[Keyboard]:
    """An interactive shell, with the command on its path and none of this user's settings."""
    ours, theirs = pty.openpty()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, *INTERACTIVE[shell]],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=home,
        env={"HOME": str(home), "PATH": path, "TERM": "xterm", "INPUTRC": os.devnull},
    )
    os.close(theirs)
    try:
        yield Keyboard(ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("shell", INTERACTIVE)
def test_a_real_shell_completes(shell: str, tmp_path: Path) -> None:
    """`reb` becomes the command, `--jo` its option, `arch` the name of a folder."""
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} on the path")
    (tmp_path / "archive").mkdir()
    with typing(shell, tmp_path) as keyboard:
        # Quotes within the word: the echo of the typed text then differs from the text that is waited for.
        for line in (BEFORE[shell], documented(shell), SHOWS[shell], "echo rea''dy"):
            keyboard.type(f"{line}\n")
        keyboard.until("ready")
        # Not typed ahead: a shell that is still completing takes further keys literally.
        keyboard.type("booktape reb\t")
        keyboard.until("rebuild")
        keyboard.type("--jo\t")
        keyboard.until("--jobs")
        keyboard.type("4 arch\t")
        keyboard.until("archive")
        keyboard.type("\n")
        keyboard.until("<rebuild><--jobs><4><archive")


@pytest.mark.parametrize("shell", INTERACTIVE)
def test_each_shell_has_its_line(shell: str) -> None:
    """Even if the shell itself is not on this machine."""
    assert f"booktape completion {shell}" in documented(shell)


def test_an_archive_is_completed_as_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Even where the address of a bucket may stand instead."""
    completion("zsh")
    script = capsys.readouterr().out
    lines = [line for line in script.splitlines() if "The archive'\\''s folder" in line]
    assert len(lines) >= 6
    for line in lines:
        assert ":_files" in line, line
