"""Arrow, polars, pandas and numpy show the same rows; a library that is not installed is named."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import booktape
from booktape.errors import UsageError
from booktape.reader.shapes import Shape


@pytest.mark.parametrize("shape", ["lists", "long", "wide"])
def test_every_tool_shows_the_same(rec: booktape.Recording, shape: Shape) -> None:
    """In each shape, with times in UTC and to the microsecond."""
    rows = rec.snapshots("BTCUSDT", depth=2)
    table = rows.to_arrow(shape)
    polars, pandas = rows.to_polars(shape), rows.to_pandas(shape)
    assert polars.to_dicts() == table.to_pylist()
    pd.testing.assert_frame_equal(pandas, table.to_pandas())
    assert polars["receive_time"].dtype == pl.Datetime("us", "UTC")
    assert str(pandas["receive_time"].dtype) == "datetime64[us, UTC]"


def test_the_array_and_its_epochs_match(rec: booktape.Recording) -> None:
    """Row by row they are the numbers of `wide`."""
    rows = rec.snapshots("BTCUSDT", depth=3)
    wide, array, epochs = rows.to_pandas("wide"), rows.to_numpy(), rows.epochs()
    assert array.shape == (280, 12)
    for level in range(3):
        for offset, name in enumerate(("ask_px", "ask_sz", "bid_px", "bid_sz")):
            np.testing.assert_array_equal(array[:, 4 * level + offset], wide[f"{name}_{level:02d}"])
    np.testing.assert_array_equal(epochs, wide["epoch"])


@pytest.mark.parametrize("name", ["polars", "pandas"])
def test_a_missing_library_is_named(
    rec: booktape.Recording, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the extra that installs it."""
    monkeypatch.setitem(sys.modules, name, None)
    rows = rec.snapshots("BTCUSDT")
    with pytest.raises(UsageError, match=rf"^{name} is not installed. Try: pip install 'bookt"):
        rows.to_polars() if name == "polars" else rows.to_pandas()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("from math import no_such_name", "cannot import name 'no_such_name' from 'math'"),
        ("import no_such_library", "No module named 'no_such_library'"),
    ],
)
def test_a_broken_library_is_not_called_missing(
    rec: booktape.Recording,
    tmp_path: Path,
    content: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is incompatible with another package, or lacks one: the sentence has Python's reason."""
    (tmp_path / "polars.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "polars")
    with pytest.raises(UsageError, match=f"^polars is installed, but cannot be imported: {why}"):
        rec.snapshots("BTCUSDT").to_polars()


def test_a_query_reads_nothing_before_it_is_used(
    rec: booktape.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Describing rows, even of a missing symbol, opens no file."""
    monkeypatch.setattr(rec._archive, "open", lambda path: pytest.fail(f"{path} was opened"))
    rec.snapshots("NOSUCH", depth=2).resample("1s")
    rec.replay("NOSUCH")
    rec.snapshots("NOSUCH").batches()
    rec.quotes("NOSUCH").batches()
