"""The pictures of docs/plots.md, drawn from the built-in exchange. `make pictures` draws them again.

Three minutes of one symbol with an outage of ten seconds; and for the calendar a synthetic week.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import booktape
from booktape.plot import calendar, depth, heatmap, save, spread
from booktape.sim.market.market import Market
from plot.scene import record
from plot.week import write as write_week

PICTURES: Final = Path(__file__).parents[2] / "docs" / "pictures"


def draw(into: Path) -> None:
    """All four."""
    with TemporaryDirectory() as folder:
        market = Market(("BTCUSDT",), seed=8, levels=2_000)
        record(Path(folder), market, 180, "outage=70-80", every=2, depth=500)
        rec = booktape.open(folder)
        save(heatmap(rec, "BTCUSDT", bps=60), into / "heatmap.png")
        save(depth(rec, "BTCUSDT", bps=60), into / "depth.png")
        save(spread(rec, "BTCUSDT"), into / "spread.png")
    with TemporaryDirectory() as folder:
        write_week(Path(folder))
        save(calendar(booktape.open(folder)), into / "calendar.png")


if __name__ == "__main__":
    draw(PICTURES)
