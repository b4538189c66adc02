"""Pictures of a recording. Each function takes a reader's `Recording` and returns a matplotlib Figure.

    rec = booktape.open("data")
    heatmap(rec, "BTCUSDT", start, end)      sizes over time and price, the mid, gaps, the horizon
    depth(rec, "BTCUSDT", moment)            cumulative size on both sides at a moment
    spread(rec, "BTCUSDT", start, end)       best bid and ask, spread, imbalance
    calendar(rec)                            share of each day in which each book was known
    save(figure, "heatmap.png")              or .svg

matplotlib is an extra: `pip install 'booktape[plot]'`. No window is ever opened.
"""

from __future__ import annotations

from booktape.plot.calendar import calendar
from booktape.plot.depth import depth
from booktape.plot.heatmap import heatmap
from booktape.plot.spread import LEVELS, spread
from booktape.plot.style import check_name, save

__all__ = ["LEVELS", "calendar", "check_name", "depth", "heatmap", "save", "spread"]
