"""The output of every benchmark goes to the terminal and, on request, into docs/performance.md."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from docs.generated import DOCS, replaced


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str, str], None]:
    """`report(block, text)` prints; with BOOKTAPE_BENCH_WRITE=1 it also writes the page's block."""
    page = DOCS / "performance.md"

    def say(block: str, text: str) -> None:
        whole = replaced(page.read_text(), block, text)
        if os.environ.get("BOOKTAPE_BENCH_WRITE"):
            page.write_text(whole)
        with capsys.disabled():
            print(f"\n\n{text}")

    return say
