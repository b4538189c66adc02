"""The parts of docs/export.md that need no other tool, run as they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.guide import EXAMPLES, export_everything, run_example


def test_the_guide_runs(
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its commands, then its examples; gaps and files are reported, and nothing else."""
    export_everything(archive, tmp_path, monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    made = list((tmp_path / "exported").iterdir())
    files = sorted(path.name for path in made if path.is_file())
    assert len(files) == 2 + 2 + 1 + 1 + 1 + 1
    # One export is by segment: a folder for each.
    segments = [path for path in made if path.is_dir()]
    assert len(segments) == 2
    assert all(any(folder.iterdir()) for folder in segments)
    shown = sorted(line.partition(":")[0] for line in lines if line.startswith("/"))
    assert [Path(line).name for line in shown if Path(line).parent.name == "exported"] == files
    gap = (
        "BTCUSDT: not known from 2026-06-09 10:13:34.940000+00:00 "
        "until 2026-06-09 10:13:40.330000+00:00 (disconnected)"
    )
    assert lines.count(gap) == 5
    run_example("levels = pandas.read_csv")
    run_example("import duckdb")
    moves = run_example("books.groupby")["moves"]
    assert moves.isna().sum() == 2  # the first book of each stretch has no move


def test_every_example_is_run_somewhere() -> None:
    """Four here need no other tool; those for nautilus_trader and hftbacktest are in test_interop."""
    tools = ("nautilus", "loader", "hftbacktest", "backtest", "pandas", "duckdb")
    assert len(EXAMPLES) == 9
    assert all(any(tool in example for tool in tools) for example in EXAMPLES)
