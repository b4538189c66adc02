"""The backtest, where hftbacktest is installed (`make interop`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from docs.generated import DOCS

EXAMPLE = DOCS.parent / "examples" / "backtest.py"


def test_a_backtest_trades_on_known_books_only(workplace: Path, tmp_path: Path) -> None:
    """It runs to the end, trades, and sits out the seconds of the gap."""
    pytest.importorskip("hftbacktest", reason="hftbacktest is not installed: make interop")
    done = subprocess.run(
        [sys.executable, EXAMPLE, workplace / "data"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()[-2].split()
    seconds, known, orders = int(words[0]), int(words[3]), int(words[-2])
    assert seconds >= 118
    assert seconds - 40 < known < seconds - 4
    assert orders > 0


def test_a_missing_hftbacktest_is_reported(workplace: Path, tmp_path: Path) -> None:
    """In one sentence. The example is `"backtest.py"`."""
    (tmp_path / "hftbacktest.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, EXAMPLE, workplace / "data"],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert done.stderr == "This example needs hftbacktest. Try: pip install hftbacktest\n"
