"""The examples of docs/reader.md, run as they stand, one after the other."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

import booktape
from docs.generated import DOCS
from reader.day import write

EXAMPLES = re.findall(r"```python\n(.*?)```", (DOCS / "reader.md").read_text(), re.DOTALL)


def test_the_guide_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a recording with a gap; each example prints what its text says."""
    write(tmp_path / "data", 200, segment_s=80, cuts=(100,))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown = []
    for example in EXAMPLES:
        exec(compile(example, "reader.md", "exec"), names)  # noqa: S102 it is our own guide
        shown.append(capsys.readouterr().out)
    opening, rows, iterating, quotes, grid, moments, _ = shown
    assert "['BTCUSDT', 'ETHUSDT']" in opening
    assert "BTCUSDT 190 94.975% {'disconnected': 1}" in opening
    assert "bid_px_00" in rows
    assert "(50, 40) (50,)" in rows
    assert "not known from 2026-06-09 00:01:40+00:00 until 2026-06-09 00:01:50" in iterating
    assert "best_ask_size" in quotes
    assert "spread_bps" in quotes
    assert "std" in grid
    assert moments.splitlines()[0] == "100.5"
    assert len(moments.splitlines()) == 1 + 9 + 9


def test_duckdb_sees_unsealed_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the reader's table; the files alone end earlier."""
    write(tmp_path / "data", 200, segment_s=80, seal=False)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"rec": booktape.open("data")}
    exec(compile(EXAMPLES[-1], "reader.md", "exec"), names)  # noqa: S102 it is our own guide
    ((latest,),) = ast.literal_eval(capsys.readouterr().out)
    sealed = booktape.open("data", unsealed=False).snapshots("BTCUSDT").to_arrow()
    assert latest == pc.max(sealed["update_id"]).as_py() + 40
