"""One recording for all tests: two epochs with a gap between them, and a gap after the last."""

from __future__ import annotations

from pathlib import Path

import pytest

import booktape
from export.seeded_recording import record, tape_records


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("seeded"), tape_records())


@pytest.fixture
def rec(archive: Path) -> booktape.Recording:
    return booktape.open(archive)
