"""Two recordings of the same five minutes: one sealed, the other with an unsealed last segment."""

from __future__ import annotations

from pathlib import Path

import pytest

import booktape
from reader.day import write

SECONDS, SEGMENT_S, CUTS = 300, 100, (40, 150)


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments, all sealed."""
    root = tmp_path_factory.mktemp("sealed")
    write(root, SECONDS, segment_s=SEGMENT_S, cuts=CUTS)
    return root


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, except that the last segment is as a running or killed recorder leaves it."""
    root = tmp_path_factory.mktemp("running")
    write(root, SECONDS, segment_s=SEGMENT_S, cuts=CUTS, seal=False)
    return root


@pytest.fixture
def rec(sealed: Path) -> booktape.Recording:
    return booktape.open(sealed)
