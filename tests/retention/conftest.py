"""One archive for all tests of a module; those that change it have a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from verify.small import build


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five segments of three recordings, all on one day. Never written to."""
    root = tmp_path_factory.mktemp("retention") / "archive"
    build(root)
    return root


@pytest.fixture
def archive(built: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(built, tmp_path / "archive")
