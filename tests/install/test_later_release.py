"""A later release on the index does not change what a lock installs.

A pip of 2023 looks for the newest version of a package that another one asks for with an extra, even
though the lock pins it, and then stops: "all requirements must have their versions pinned with ==".
So an install from a lock breaks on the day of the next release. The lock is complete, so the Makefile
tells pip not to resolve. Here an index in a folder has such a release; no network is used.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Final

import pytest

from install.fresh import LOCKS, Fresh, lock_options

pytestmark = pytest.mark.long

RESOLVES_EXTRAS_ANEW: Final = (24, 0)
"""Known for pips below this version; later ones may do better."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """The pip that this Python ships with."""
    return Fresh(tmp_path_factory.mktemp("later") / "venv")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """`whole` requires `part[more]`; `part` has had a release since the lock was written."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel(folder, "whole", "1.0", "Requires-Dist: part[more]")
    for version in ("1.0", "1.1"):
        wheel(folder, "part", version, "Provides-Extra: more")
    return folder


@pytest.fixture
def lock(index: Path) -> Path:
    """What `make lock` would have written the day before the release."""
    pinned = (index / "part-1.0-py3-none-any.whl", index / "whole-1.0-py3-none-any.whl")
    lines = [
        f"{path.name.split('-')[0]}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in pinned
    ]
    path = index.parent / "lock.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("options", {tuple(lock_options(lock.name)) for lock in LOCKS})
def test_a_later_release_does_not_break_the_installation(
    options: tuple[str, ...], fresh: Fresh, index: Path, lock: Path
) -> None:
    """With the Makefile's options, which are the same for all locks, pip installs the pinned version."""
    offline = ("--ignore-installed", "--no-index", "--find-links", index)
    done = fresh.pip("install", *options, *offline, "-r", lock)
    assert done.returncode == 0, done.stderr
    assert "Version: 1.0\n" in fresh.pip("show", "part").stdout


def test_the_release_breaks_an_installation_that_resolves(
    fresh: Fresh, index: Path, lock: Path
) -> None:
    """So the test above can fail: without --no-deps this pip stops."""
    if fresh.installed_pip() >= RESOLVES_EXTRAS_ANEW:
        pytest.skip("this Python brings a pip that may resolve it")
    offline = ("--no-index", "--find-links", index)
    done = fresh.pip(
        "install", "--dry-run", "--ignore-installed", "--require-hashes", *offline, "-r", lock
    )
    assert done.returncode != 0
    assert "pinned with ==" in done.stderr


def wheel(folder: Path, name: str, version: str, *headers: str) -> None:
    """The smallest package that pip installs: no module, only its metadata."""
    info = f"{name}-{version}.dist-info"
    head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers, "")
    files = {
        "METADATA": "\n".join(head),
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{info}/{file},,\n" for file in (*files, "RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in {**files, "RECORD": record}.items():
            archive.writestr(f"{info}/{file}", text)
