"""`make demo`: every command that it shows exists. It runs for 20 s, so it is not run here."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from booktape.cli import app
from docs.generated import DOCS


def test_the_demo_ends_with_a_picture_and_says_where(
    workplace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each command parses, in this order; the rows are read back."""
    monkeypatch.chdir(tmp_path)
    kinds: list[str] = []

    def understood(command: list[str], **_: Any) -> None:
        found, bound, ignored = app.parse_args(command[3:], exit_on_error=False, print_error=False)
        assert bound.arguments
        assert not ignored
        kinds.append(found.__name__)
        if found.__name__ == "record":
            (tmp_path / "demo-data").symlink_to(workplace / "data")

    monkeypatch.setattr("subprocess.run", understood)
    runpy.run_path(str(DOCS.parent / "examples" / "demo.py"), run_name="__main__")
    assert kinds == ["record", "info", "verify", "plot"]
    shown = capsys.readouterr().out
    assert "best_bid" in shown
    assert shown.rstrip().endswith("and a picture of the book over time in demo-data/heatmap.png.")
