"""The best prices over time, their spread, and the imbalance of the best levels."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from booktape.core.events import Floats
from booktape.errors import UsageError
from booktape.plot import style
from booktape.plot.lines import line, read_grid
from booktape.processes.terminal import counted
from booktape.reader import Recording
from booktape.reader.book_grid import BookGrid
from booktape.reader.time_range import TimeRange
from booktape.reader.times import Moment

COLUMNS: Final = 1_000
LEVELS: Final = 5


def spread(
    rec: Recording,
    symbol: str,
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    levels: int = LEVELS,
) -> Figure:
    """Best bid and ask, the spread in bps of the mid, and the imbalance of the best levels.

    The imbalance is (bids - asks) / (bids + asks), summed over the sizes of the best `levels` of
    each side: +1 is all bids, -1 all asks. Each point is the last book known in its interval.
    Raises NotRecorded if no book was known in this time range.
    """
    if levels < 1:
        raise UsageError(f"levels={levels} is not a valid number of levels. Write 1 or more.")
    shown = TimeRange.clip(rec, symbol, start, end, COLUMNS)
    grid = read_grid(rec, shown)
    picture = style.figure(10, 7)
    price, width, weight = picture.subplots(3, 1, sharex=True, height_ratios=(3, 2, 2))
    _prices(price, grid, style.assets(symbol)[1])
    _line(width, grid, spread_bps(grid), "spread (bps of the mid)")
    width.set_ylim(bottom=0)
    _line(
        weight, grid, imbalance(grid, levels), f"imbalance of\nthe best {counted(levels, 'level')}"
    )
    weight.axhline(0, color=style.NEUTRAL, lw=0.6, ls=":")
    weight.set_ylim(-1.05, 1.05)
    weight.set_yticks([-1, 0, 1], ["-1 (asks)", "0", "+1 (bids)"])
    hatched = [style.hatch_gaps(axes, shown) for axes in (price, width, weight)]
    style.legend_below(picture, [*price.get_lines()[:2], *hatched[0]])
    style.head(
        picture,
        price,
        f"{style.name(symbol)}: best prices, spread and imbalance",
        f"Each point is the last book known within {shown.interval_text}.",
    )
    style.time_axis(weight, shown)
    return picture


def spread_bps(grid: BookGrid) -> Floats:
    """Best ask minus best bid, in hundredths of a percent of the mid."""
    found: Floats = (grid.best["best_ask"] - grid.best["best_bid"]) / grid.mid * 1e4
    return found


def imbalance(grid: BookGrid, levels: int) -> Floats:
    """From -1 (all asks) to +1 (all bids); NaN where no book was known."""
    bids, asks = grid.total_sizes("bid", levels), grid.total_sizes("ask", levels)
    found: Floats = np.divide(bids - asks, bids + asks)
    return found


def _prices(axes: Axes, grid: BookGrid, quote: str) -> None:
    for column, color, label in (
        ("best_ask", style.ASK, "best ask"),
        ("best_bid", style.BID, "best bid"),
    ):
        points = line(grid, grid.best[column])
        axes.step(*points, where="post", color=color, lw=1, label=label)
    axes.set_ylabel(f"price ({quote})")
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)


def _line(axes: Axes, grid: BookGrid, values: Floats, label: str) -> None:
    axes.step(*line(grid, values), where="post", color=style.NEUTRAL, lw=0.9)
    axes.set_ylabel(label)
