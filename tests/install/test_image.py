"""The steps of deploy/docker/Dockerfile, without Docker: its first stage in a fresh environment.

Known weakness: the image itself is not built, and its base is another Python than the one that runs the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from install.fresh import ROOT, Fresh

INSTALLED = "/opt/booktape"


def first_stage() -> list[tuple[str, str]]:
    """Its COPY and RUN steps, in order."""
    text = (ROOT / "deploy" / "docker" / "Dockerfile").read_text().replace("\\\n", " ")
    stage = text.split("\nFROM ")[1]
    return re.findall(r"^(COPY|RUN) (.*)$", stage, re.MULTILINE)


@pytest.mark.long
def test_the_first_stage_installs_booktape_and_what_it_needs(tmp_path: Path) -> None:
    """From nothing but the copied files; the result has neither build tools nor packages that only the demo needs."""
    fresh, folder = Fresh(tmp_path / "base"), tmp_path / "build"
    fresh.fetch("structlog", tmp_path)
    folder.mkdir()
    installed = tmp_path / "opt"
    environment = {**os.environ, "PATH": f"{fresh.python.parent}:{os.environ['PATH']}"}
    for step, words in first_stage():
        if step == "RUN":
            command = words.replace(INSTALLED, str(installed))
            done = subprocess.run(
                ["/bin/sh", "-ec", command],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (command, done.stderr)
            continue
        *sources, target = words.split()
        for source in sources:
            _copy(ROOT / source, folder / target, target)
    version = subprocess.run(
        [installed / "bin" / "booktape", "--version"], check=True, capture_output=True
    )
    assert version.stdout
    names = {
        each.name.partition("-")[0] for each in installed.glob("lib/*/site-packages/*.dist-info")
    }
    assert {"booktape", "pyarrow", "aiohttp"} <= names
    assert not names & {"hatchling", "duckdb", "matplotlib"}


def _copy(source: Path, place: Path, target: str) -> None:
    """As COPY does: a folder's content into the target, a file into it where it ends with a slash or a dot."""
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
        return
    place = place / source.name if target.endswith(("/", ".")) else place
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, place)
