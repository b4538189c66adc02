"""The book over time: the sizes at each price, the mid price, the gaps and the horizon."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from booktape.plot import style
from booktape.plot.lines import edges, line, read_grid
from booktape.reader import Recording
from booktape.reader.book_grid import BookGrid
from booktape.reader.raster import PriceAxis, size_range
from booktape.reader.time_range import TimeRange
from booktape.reader.times import Moment

COLUMNS: Final = 600
BINS: Final = 180


def heatmap(
    rec: Recording,
    symbol: str,
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    bps: float | None = None,
) -> Figure:
    """Sizes by price and time, with the mid, hatched gaps and the horizon.

    The price axis reaches `bps` hundredths of a percent beyond the lowest bid and the highest ask. Without
    `bps` it reaches half as far as the price moved, and at least 5 bps and ten spreads. Each column is the last book
    known in it: levels that came and went in between are not visible. Memory is bounded.
    Raises NotRecorded if no book was known.
    """
    shown = TimeRange.clip(rec, symbol, start, end, COLUMNS)
    grid = read_grid(rec, shown)
    prices = grid.prices(BINS, bps)
    picture = style.figure()
    axes = picture.add_subplot()
    image = _sizes(axes, grid, prices)
    lines = _lines(axes, grid, prices)
    style.legend_below(picture, [*lines, *style.hatch_gaps(axes, shown)])
    base, quote = style.assets(symbol)
    cell = f"{prices.step:.12g} {quote}"
    style.head(
        picture,
        axes,
        f"{style.name(symbol)}: what rested in the order book",
        f"Each column is the last book known within {shown.interval_text}; "
        f"bids lie below the mid, asks above.{_horizon_note(grid) if len(lines) == 1 else ''}",
    )
    picture.colorbar(image, ax=axes, label=f"size per {cell} of price ({base})", pad=0.01)
    axes.set_ylabel(f"price ({quote})")
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    style.time_axis(axes, shown)
    axes.set_ylim(prices.low, prices.high)
    return picture


def _sizes(axes: Axes, grid: BookGrid, prices: PriceAxis) -> AxesImage:
    """Draw the cells. An empty one is white; the few largest share the darkest colour."""
    cells = grid.cells(prices)
    ends = edges(grid)
    return axes.imshow(
        np.ma.masked_where(~(np.nan_to_num(cells) > 0), cells).T,
        extent=(ends[0], ends[-1], prices.low, prices.high),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=style.SIZES,
        norm=LogNorm(*size_range(cells)),
    )


def _lines(axes: Axes, grid: BookGrid, prices: PriceAxis) -> list[Artist]:
    """Draw the mid price and the horizons. Returns the handles for the legend."""
    (mid,) = axes.step(
        *line(grid, grid.mid), where="post", color=style.ASK, lw=1.2, label="mid price"
    )
    shown: list[Artist] = [mid]
    for side, edge in (("bid", prices.low), ("ask", prices.high)):
        days, horizon = line(grid, grid.best[f"{side}_horizon"])
        if not ((horizon > prices.low) & (horizon < prices.high)).any():
            continue
        (drawn,) = axes.step(days, horizon, where="post", color=style.NEUTRAL, lw=1, ls="--")
        axes.fill_between(days, horizon, edge, step="post", facecolor=style.VEIL, lw=0)
        shown = [mid, drawn, style.veil()]
        drawn.set_label(style.HORIZON)
    return shown


def _horizon_note(grid: BookGrid) -> str:
    """The sentence that says why no horizon is drawn."""
    horizons = np.concatenate([grid.best["bid_horizon"], grid.best["ask_horizon"]])
    whole = not np.isfinite(horizons).any()
    return style.WHOLE if whole else style.OUTSIDE
