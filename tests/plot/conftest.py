"""Two minutes of two symbols with ten seconds missing, in two segments; the last one has no gap."""

from __future__ import annotations

from pathlib import Path

import pytest

import booktape
from reader.day import write

SECONDS, CUT = 120, 40


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write(folder, SECONDS, segment_s=60, cuts=(CUT,))
    return folder


@pytest.fixture(scope="session")
def rec(root: Path) -> booktape.Recording:
    return booktape.open(root)
