"""A fresh virtual environment, and the commands with which the Makefile installs into one."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LOCKS: Final = sorted((ROOT / "requirements").glob("*.txt"))


class Fresh:
    """A virtual environment with nothing but its Python's own pip."""

    def __init__(self, folder: Path, interpreter: str | Path = sys.executable) -> None:
        self.python = folder / "bin" / "python"
        subprocess.run([interpreter, "-m", "venv", folder], check=True)

    def pip(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run pip; the caller checks the exit code."""
        return subprocess.run(
            [self.python, "-m", "pip", *arguments], capture_output=True, text=True, check=False
        )

    def fetch(self, requirement: str, folder: Path) -> None:
        """Download one small package into a folder; skips the test where no index is reachable."""
        fetched = self.pip(
            *("download", "--quiet", "--no-deps", "--retries", "1", "--timeout", "30"),
            *("--dest", folder, requirement),
        )
        if fetched.returncode:
            why = fetched.stderr.strip().splitlines()[-1]
            pytest.skip(f"no index is reachable from here: {why}")

    def installed_pip(self) -> tuple[int, int]:
        """The version of the pip in it."""
        found = re.match(r"pip (\d+)\.(\d+)", self.pip("--version").stdout)
        assert found
        return int(found[1]), int(found[2])


def lock_options(lock: str) -> list[str]:
    """The options of `pip install` with which the Makefile installs `requirements/<lock>`."""
    makefile = (ROOT / "Makefile").read_text()
    line = re.search(
        rf"-m pip install (.*) -r requirements/{re.escape(lock)}$", makefile, re.MULTILINE
    )
    assert line, f"the Makefile does not install {lock}"
    return shlex.split(line[1])
