"""Real recordings can be drawn: their data is less tidy than a simulated market's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import booktape
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import SegmentStart
from booktape.plot import calendar, depth, heatmap, save, spread
from captures.capture import BTCUSDT, TEN, frames, needs_captures
from plot import drawn
from support.archives import open_archive
from support.rotation import finish

pytestmark = needs_captures


def record(root: Path, name: str, limit: int) -> booktape.Recording:
    """A capture, recorded with a row every tenth event."""
    opening, *tape = frames(name, limit, every=10)
    assert isinstance(opening, SegmentStart)
    with open_archive(root) as archive:
        recording = archive.begin(opening, "capture")
        for frame in tape:
            recording.handle(frame)
        finish(recording, STOPPED).result()
    return booktape.open(root)


def test_a_deep_book_has_all_its_pictures(tmp_path: Path) -> None:
    """BTCUSDT, 5,000 levels a side: each picture is written, and the heatmap is full of sizes."""
    rec = record(tmp_path / "data", *BTCUSDT)
    symbol = "BTCUSDT"
    figures = [heatmap(rec, symbol), depth(rec, symbol), spread(rec, symbol), calendar(rec)]
    for number, figure in enumerate(figures):
        assert save(figure, tmp_path / f"{number}.png").stat().st_size > 10_000
    cells = figures[0].axes[0].images[0].get_array()
    assert isinstance(cells, np.ma.MaskedArray)
    assert cells.count() > cells.size / 2
    assert drawn.title(figures[1]).startswith("BTCUSDT: depth of the book at 2026-06-07 19:48:5")


def test_prices_are_plain_numbers(tmp_path: Path) -> None:
    """Cheap and expensive coins, few decimals or many: no power of ten, no offset on the axis."""
    rec = record(tmp_path / "data", *TEN)
    for symbol in ("AXSBNB", "DENTUSDT", "ETHBRL"):
        figure = heatmap(rec, symbol)
        figure.draw_without_rendering()
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert len(labels) >= 3
        assert not any("e" in label for label in labels)
