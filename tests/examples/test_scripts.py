"""The examples, run as a reader would run them, on a recording with a gap."""

from __future__ import annotations

import runpy
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import booktape
from docs.generated import DOCS

EXAMPLES = DOCS.parent / "examples"


@pytest.fixture
def run(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run one example; returns its variables afterwards."""

    def run_example(name: str) -> dict[str, Any]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, str(workplace / "data")])
        return runpy.run_path(str(EXAMPLES / name))

    return run_example


def test_every_example_is_a_notebook_and_has_a_test() -> None:
    """Cells begin with `# %%`; `demo` is a separate program (`make demo`)."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for path in EXAMPLES.glob("*.py"):
        if path.name != "demo.py":
            assert path.read_text().count("\n# %%") >= 4, path
            assert f'"{path.name}"' in tests, path


def test_reading_and_plotting(run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows the gap, and leaves three pictures."""
    run("read_and_plot.py")
    assert "because: disconnected" in capsys.readouterr().out
    pictures = {path.name for path in tmp_path.iterdir()}
    assert pictures == {f"BTCUSDT-{one}" for one in ("heatmap.png", "spread.svg", "depth.png")}


def test_no_feature_and_no_label_spans_a_gap(run: Any, workplace: Path) -> None:
    """Compared with a plain loop over the reader's rows, in which the gap appears as an object."""
    names = run("features.py")
    frame, samples = names["frame"], names["samples"]
    flows, before = [], None
    for item in booktape.open(workplace / "data").snapshots("BTCUSDT", depth=1):
        if isinstance(item, booktape.Gap):
            before = None
            continue
        flows.append(np.nan if before is None else plain_flow(before, item))
        before = item
    np.testing.assert_allclose(frame["ofi"], flows)
    assert np.isnan(flows).sum() == 2
    (gap,) = names["quotes"].gaps()
    ends = samples.index + timedelta(seconds=1)
    assert not ((ends > gap.start_time + timedelta(seconds=1)) & (ends <= gap.end_time)).any()
    assert np.isfinite(names["x"]).all()
    assert np.isfinite(names["y"]).all()
    assert len(samples) > 80


def plain_flow(before: booktape.Book, after: booktape.Book) -> float:
    """The definition, case by case."""
    (b0, q0), (b1, q1) = ((x.bid_price[0], x.bid_size[0]) for x in (before, after))
    (a0, r0), (a1, r1) = ((x.ask_price[0], x.ask_size[0]) for x in (before, after))
    bid = q1 if b1 > b0 else -q0 if b1 < b0 else q1 - q0
    ask = r1 if a1 < a0 else -r0 if a1 > a0 else r1 - r0
    return float(bid - ask)


def test_a_month_in_sql(
    run: Any, workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each answer names both symbols; a query for one symbol opens no other symbol's file."""
    names = run("month.py")
    shown = capsys.readouterr().out
    assert shown.count("BTCUSDT") == shown.count("XMRBTC") == 4
    copy = Path(shutil.copytree(workplace / "data" / "snapshots", tmp_path / "copy"))
    for path in copy.glob("symbol=XMRBTC/*/*.parquet"):
        path.write_bytes(b"opening this fails")
    fresh = duckdb.connect()
    fresh.execute(f"CREATE VIEW books AS FROM '{copy}/**/*.parquet'")
    assert names["first"][0] == "BTCUSDT"
    assert fresh.execute(names["one_day"], names["first"]).fetchall()[0][0] > 1_000
