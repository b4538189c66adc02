"""The book over time: the sizes at each price, the mid price, and what was not known."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from booktape.plot import style
from booktape.plot.touch import Touch, days_of, grid
from booktape.reader import Recording
from booktape.reader.raster import Floats, Prices, paint, tick_of
from booktape.reader.time_range import TimeRange
from booktape.reader.times import Moment

COLUMNS: Final = 600
BINS: Final = 180
_NEEDED: Final = ("epoch", "bid_price", "bid_size", "ask_price", "ask_size")


def heatmap(
    rec: Recording,
    symbol: str,
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    bps: float | None = None,
) -> Figure:
    """Sizes by price and time, with the mid, gaps hatched and the horizon drawn.

    The price axis reaches `bps` hundredths of a percent beyond the lowest bid and the highest ask. Without
    `bps` it is half as much as the price moved, at least 5 bps and ten spreads. Each column is the last book
    known in it: what came and went in between is not visible. Memory is bounded.
    Raises NotRecorded if no book was known.
    """
    stretch = TimeRange.clip(rec, symbol, start, end, COLUMNS)
    touch = Touch.read(rec, stretch)
    best = touch["bid_px_00"], touch["ask_px_00"]
    tick = tick_of([*best, *stretch.some_prices(rec)])
    prices = Prices.around(*best, tick, BINS, bps)
    picture = style.figure()
    axes = picture.add_subplot()
    image = _sizes(axes, touch, _cells(rec, stretch, touch, prices), prices)
    lines = _lines(axes, touch, prices)
    style.legend_below(picture, [*lines, *style.hatch_gaps(axes, stretch)])
    base, quote = style.assets(symbol)
    cell = f"{prices.step:.12g} {quote}"
    style.head(
        picture,
        axes,
        f"{style.name(symbol)}: what rested in the order book",
        f"Each column is the last book known within {stretch.interval_text}; "
        f"bids lie below the mid, asks above.{_horizon_note(touch) if len(lines) == 1 else ''}",
    )
    picture.colorbar(image, ax=axes, label=f"size per {cell} of price ({base})", pad=0.01)
    axes.set_ylabel(f"price ({quote})")
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)
    style.time_axis(axes, stretch)
    axes.set_ylim(prices.low, prices.high)
    return picture


def _cells(rec: Recording, stretch: TimeRange, touch: Touch, prices: Prices) -> Floats:
    """(columns, bins) sizes; NaN where the book was not known."""
    cells = np.full((len(touch.days), prices.bins), np.nan)
    for batch in grid(rec, stretch, None).batches(_NEEDED):
        if not batch.num_rows:
            continue  # its rows are damaged, or lie in a gap
        # Found by time, because the second reading of a running recording may have more rows than the first.
        first = int(np.searchsorted(touch.days, days_of(batch.column("time"))[:1])[0])
        rows = paint(batch, prices)[: len(cells) - first]
        cells[first : first + len(rows)] = rows
    return cells


def _sizes(axes: Axes, touch: Touch, cells: Floats, prices: Prices) -> AxesImage:
    """Draw the cells. An empty one is white; the few largest share the darkest colour."""
    resting = cells[np.nan_to_num(cells) > 0]
    low, high = np.quantile(resting, [0.02, 0.998]) if len(resting) else (1.0, 1.0)
    ends = touch.line(touch.days)[0]
    return axes.imshow(
        np.ma.masked_where(~(np.nan_to_num(cells) > 0), cells).T,
        extent=(ends[0], ends[-1], prices.low, prices.high),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=style.SIZES,
        norm=LogNorm(low, max(high, low * 1.01)),
    )


def _lines(axes: Axes, touch: Touch, prices: Prices) -> list[Artist]:
    """Draw the mid price and the horizons. Returns the handles for the legend."""
    (mid,) = axes.step(
        *touch.line(touch.mid), where="post", color=style.ASK, lw=1.2, label="mid price"
    )
    shown: list[Artist] = [mid]
    for side, edge in (("bid", prices.low), ("ask", prices.high)):
        days, horizon = touch.line(touch[f"{side}_horizon"])
        if not ((horizon > prices.low) & (horizon < prices.high)).any():
            continue
        (line,) = axes.step(days, horizon, where="post", color=style.NEUTRAL, lw=1, ls="--")
        axes.fill_between(days, horizon, edge, step="post", facecolor=style.VEIL, lw=0)
        shown = [mid, line, style.veil()]
        line.set_label(style.HORIZON)
    return shown


def _horizon_note(touch: Touch) -> str:
    """Why no horizon is drawn."""
    horizons = np.concatenate([touch["bid_horizon"], touch["ask_horizon"]])
    whole = not np.isfinite(horizons).any()
    return style.WHOLE if whole else style.OUTSIDE
