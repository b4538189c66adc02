"""One small archive for all tests of this room; each damages a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from verify.small import build


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never written to."""
    root = tmp_path_factory.mktemp("verify") / "archive"
    build(root)
    return root
