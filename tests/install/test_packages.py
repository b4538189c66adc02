"""The wheel and the sdist: their contents, and that they work without the source tree.

`make test-system` checks the contents. To check that the wheel, installed alone, records and proves takes the index
and some minutes: `make test-long` does it, once for each supported Python on the path.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path
from typing import Final

import pytest

from install.fresh import ROOT, Fresh

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS: Final = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
DEADLINE_S: Final = 120


def build(source: Path, folder: Path, *targets: str) -> list[Path]:
    """The output of the build backend for a source tree, called as `make dist` does."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    for target in targets:
        command += ["-t", target]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    (made,) = build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of this tree."""
    (made,) = build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")
    return made


def metadata(wheel: Path) -> Message:
    """What the index and pip are told."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


def test_the_wheel_holds_the_program_and_nothing_else(wheel: Path) -> None:
    """Each file of src/booktape, including the page's, and no test; besides them only its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    info = f"booktape-{PROJECT['version']}.dist-info/"
    source = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "booktape").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if not name.startswith(info)} == source
    for needed in ("py.typed", "web/page/index.html", "web/page/uplot/LICENSE"):
        assert f"booktape/{needed}" in source
    assert {name.removeprefix(info) for name in names if name.startswith(info)} == {
        *("METADATA", "WHEEL", "RECORD", "entry_points.txt"),
        *(f"licenses/{name}" for name in PROJECT["license-files"]),
    }


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """The readme as Markdown, both licences, each supported Python, and keywords to find it by."""
    told = metadata(wheel)
    assert (told["Name"], told["Version"]) == ("booktape", PROJECT["version"])
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload() == (ROOT / "README.md").read_text()
    assert told["License-Expression"] == "MIT"
    assert told.get_all("License-File") == PROJECT["license-files"]
    assert "order book" in told["Keywords"].split(",")
    assert told["Requires-Python"] == f">={PYTHONS[0]}"
    assert [f"3.{minor}" for minor in range(11, 15)] == PYTHONS
    extras = told.get_all("Provides-Extra") or []
    assert set(extras) == set(PROJECT["optional-dependencies"])


def test_the_sdist_holds_the_files_that_git_tracks(sdist: Path) -> None:
    """So its tests run, and no archive or environment in the folder is published."""
    if not (ROOT / ".git").exists():
        pytest.skip("this tree was not cloned")
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 the one on the path
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    known = {name for name in listed.stdout.split("\0") if name}
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert known <= names
    tops = {name.partition("/")[0] for name in known}
    assert {name.partition("/")[0] for name in names} == {"PKG-INFO", *tops}


def test_the_sdist_makes_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    """Byte for byte: a wheel built from the sdist is the published one."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (again,) = build(tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "again", "wheel")
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


# ── installed ───────────────────────────────────────────────────────────────────────────────────


def interpreter(version: str) -> str:
    """A Python of this version; skips if there is none."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{version}")
    if found and not subprocess.run([found, "-c", ""], check=False, capture_output=True).returncode:
        return found
    pytest.skip(f"there is no Python {version} on the path")


class Installed:
    """The command of an installed wheel, run in a folder unrelated to the source tree."""

    def __init__(self, fresh: Fresh, folder: Path) -> None:
        self._command = fresh.python.with_name("booktape")
        self._folder = folder
        hidden = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in hidden and not name.startswith("BOOKTAPE_")
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it."""
        return subprocess.Popen(
            [self._command, *arguments],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """Run it to its end; returns its stdout."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, (arguments, out, err)
        return out


@pytest.mark.long
@pytest.mark.parametrize("version", PYTHONS)
def test_the_wheel_alone_records_and_proves(version: str, wheel: Path, tmp_path: Path) -> None:
    """With the newest versions of its dependencies, as pip and pipx install it."""
    fresh = Fresh(tmp_path / "venv", interpreter(version))
    fresh.fetch("structlog", tmp_path)
    done = fresh.pip("install", "--quiet", wheel)
    assert done.returncode == 0, done.stderr
    check = fresh.pip("check")
    assert check.returncode == 0, check.stdout
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    booktape = Installed(fresh, folder)
    _ask_its_health(booktape)
    assert "BTCUSDT" in booktape.run("info", "books")
    assert "Verified: everything stored in 1 segment" in booktape.run("verify", "books")
    assert "--web" in booktape.run("view", "--help")


def _ask_its_health(booktape: Installed) -> None:
    """While it records it serves its page, and `health` finds it alive and, before long, ready."""
    recorder = booktape.start(
        *("record", "BTCUSDT", "--exchange", "sim", "--out", "books", "--web", "0")
    )
    assert recorder.stderr
    try:
        url = ""
        for line in recorder.stderr:
            if "url=" in line:
                url = line.rpartition("url=")[2].split()[0]
                break
        assert url, recorder.poll()
        booktape.run("health", url)
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            asked = booktape.start("health", url, "--ready")
            out, err = asked.communicate(timeout=DEADLINE_S)
            if asked.returncode == 0:
                break
            assert time.monotonic() < deadline_s, (out, err)
    finally:
        recorder.send_signal(signal.SIGTERM)
        _, err = recorder.communicate(timeout=DEADLINE_S)
    assert recorder.returncode == 0, err
