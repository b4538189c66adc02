"""Both sides of one book: the total size between the best price and each price."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from booktape.core.events import Floats
from booktape.errors import NotRecorded
from booktape.plot import style
from booktape.processes.terminal import counted
from booktape.reader import Book, Recording
from booktape.reader.raster import DRAWN_MAX, check_can_be_drawn
from booktape.reader.time_range import coverage_of
from booktape.reader.times import Moment

_AUTO_BPS: Final = 25.0
_AUTO_SPREADS: Final = 10.0


class _Side(NamedTuple):
    """One side, best first, and the picture's edge on this side."""

    label: str
    color: str
    edge: float
    price: Floats
    size: Floats
    horizon: float | None


def depth(
    rec: Recording, symbol: str, time: Moment | None = None, *, bps: float | None = None
) -> Figure:
    """Cumulative size on both sides of the book at a moment, up to `bps` either side of the mid.

    `time` defaults to the moment of the last row, `bps` to 25 or ten spreads, whichever is more. Raises
    BookNotKnown inside a gap, NotRecorded if a side of that book is empty.
    """
    moment = coverage_of(rec, symbol).last if time is None else time
    book = rec.at(symbol, moment)
    if book.mid is None or book.spread is None:
        raise NotRecorded(f"{symbol} had only one side of the book then. Choose another time.")
    check_can_be_drawn(symbol, book.bid_price[:1], book.ask_price[:1])
    reach = book.mid * (bps or max(_AUTO_BPS, _AUTO_SPREADS * book.spread / book.mid * 1e4)) / 1e4
    picture = style.figure(9, 5.2)
    axes = picture.add_subplot()
    handles = _draw(axes, book, book.mid - reach, book.mid + reach)
    style.legend_below(picture, handles, columns=2)
    _label_axes(picture, axes, book)
    return picture


def _draw(axes: Axes, book: Book, low: float, high: float) -> list[Artist]:
    """Draw both sides. Returns the handles for the legend."""
    sides = (
        _Side("bids", style.BID, low, book.bid_price, book.bid_size, book.bid_horizon),
        _Side("asks", style.ASK, high, book.ask_price, book.ask_size, book.ask_horizon),
    )
    handles: list[Artist] = [_fill(axes, side) for side in sides]
    seen = [side for side in sides if side.horizon is not None and low < side.horizon < high]
    for side in seen:
        line = axes.axvline(side.horizon or 0, color=style.NEUTRAL, lw=1, ls="--")
        line.set_label(style.HORIZON)
        axes.axvspan(side.horizon or 0, side.edge, facecolor=style.VEIL, lw=0)
        handles = [*handles[:2], line, style.veil()]
    axes.set_xlim(low, high)
    axes.set_ylim(bottom=0)
    return handles


def _fill(axes: Axes, side: _Side) -> Artist:
    """Draw steps from the best price to the edge: at each price, the total size up to it."""
    within = np.abs(side.price - side.price[0]) <= abs(side.edge - side.price[0])
    total = np.cumsum(np.minimum(side.size[within], DRAWN_MAX))
    prices = np.append(side.price[within], side.edge)
    totals = np.append(total, total[-1])
    axes.step(prices, totals, where="post", color=side.color, lw=1.2)
    label = (
        f"{side.label}: {total[-1]:,.4g} within the picture, on {counted(within.sum(), 'level')}"
    )
    return axes.fill_between(prices, totals, step="post", color=side.color, alpha=0.35, label=label)


def _label_axes(picture: Figure, axes: Axes, book: Book) -> None:
    base, quote = style.assets(book.symbol)
    spread = book.spread or 0.0
    since = book.receive_time.isoformat(" ", "milliseconds").removesuffix("+00:00")
    style.head(
        picture,
        axes,
        f"{style.name(book.symbol)}: depth of the book at {since} UTC",
        f"Best bid {book.best_bid:,.12g}, best ask {book.best_ask:,.12g}, spread {spread:.6g} "
        f"({spread / (book.mid or 1) * 1e4:.3g} bps); update {book.update_id}, epoch {book.epoch}.",
    )
    axes.set_xlabel(f"price ({quote})")
    axes.set_ylabel(f"size from the best price up to here ({base})")
    axes.ticklabel_format(axis="x", style="plain", useOffset=False)
