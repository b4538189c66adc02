"""Each lock installs into a fresh environment with the oldest pip that is supported, and is complete.

Complete installations need the index and take minutes: `make locks` makes them. In `make test-system`
pip checks the environment that the tests run in, which was installed from `run.txt` and
`dev.txt`. `make interop` and `make peers` ask `pip check` about theirs.
"""

from __future__ import annotations

import ensurepip
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from install.fresh import LOCKS, ROOT, Fresh, lock_options

WHOLE: Final = bool(os.environ.get("BOOKTAPE_WHOLE_LOCKS"))
OLDEST_PIP: Final = "22.3"
"""The pip that Python 3.11.0 shipped with. Stated in docs/installation.md."""


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    """With the oldest supported pip; later Pythons cannot run it, and do not ship an older one."""
    version = OLDEST_PIP if sys.version_info < (3, 12) else ensurepip.version()
    made = Fresh(tmp_path / "venv")
    made.fetch(f"pip=={version}", tmp_path)
    done = made.pip("install", "--no-index", "--find-links", tmp_path, f"pip=={version}")
    assert done.returncode == 0, done.stderr
    assert made.installed_pip() == tuple(int(part) for part in version.split(".")[:2])
    return made


@pytest.mark.skipif(not WHOLE, reason="takes minutes, and the index: `make locks`")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_installs_with_the_oldest_pip_and_is_complete(lock: Path, fresh: Fresh) -> None:
    """With the Makefile's own command; `pip check` finds nothing missing and no conflict."""
    done = fresh.pip("install", *lock_options(lock.name), "-r", lock)
    assert done.returncode == 0, done.stderr
    check = fresh.pip("check")
    assert check.returncode == 0, check.stdout


def test_the_environment_of_these_tests_is_complete() -> None:
    """`make test-system` has just installed `run.txt` and `dev.txt`, and booktape beside them."""
    check = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout


def test_every_installation_of_the_makefile_takes_the_lock_as_complete() -> None:
    """It also checks the downloads."""
    for lock in LOCKS:
        assert {"--no-deps", "--require-hashes"} <= set(lock_options(lock.name))


def test_an_audit_that_compared_nothing_is_not_clean() -> None:
    """Without --strict pip-audit exits with 0 if the index knows no advisories; it also reads every lock."""
    line = re.search(r"/bin/pip-audit (.*) -r \"\$\$lock\"", (ROOT / "Makefile").read_text())
    assert line
    assert "--strict" in shlex.split(line[1])


def test_the_oldest_pip_is_stated() -> None:
    """So is the oldest Python that the package supports."""
    readme = (ROOT / "docs" / "installation.md").read_text()
    assert f"pip {OLDEST_PIP}" in readme
    oldest_python = re.search(
        r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text()
    )
    assert oldest_python
    assert f"Python {oldest_python[1]}" in readme
