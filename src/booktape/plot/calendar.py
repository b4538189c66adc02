"""The share of each day in which each symbol's book was known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from math import floor
from typing import Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from booktape.core.events import Floats
from booktape.errors import NotRecorded
from booktape.plot import style
from booktape.processes.terminal import counted
from booktape.reader import Recording
from booktape.reader.coverage import DayCoverage, day_coverage, days_between
from booktape.reader.gaps import gaps_by_symbol

_NUMBERED_DAYS: Final = 14
"""The most days for which the cells have room for numbers."""

_WIDTH_MAX: Final = 16.0
_DARK: Final = 0.55


def calendar(rec: Recording) -> Figure:
    """The share of each day in which each book was known; days with gaps are marked.

    Known weakness: a loss that no gap file declares (a lost segment) counts as known. Raises NotRecorded
    if there are no rows.
    """
    owns = rec.coverage()
    if not owns:
        raise NotRecorded("There are no rows yet. Try again in a moment.")
    days = days_between(min(own.first for own in owns), max(own.last for own in owns))
    gaps = gaps_by_symbol(rec.gaps())
    cells = [[day_coverage(own, gaps[own.symbol], day) for day in days] for own in owns]
    width = min(_WIDTH_MAX, 4.2 + 0.85 * len(days))
    picture = style.figure(max(6.0, width), 2.3 + 0.42 * len(owns))
    axes = picture.add_subplot()
    _paint(picture, axes, cells)
    _label_axes(picture, axes, [own.symbol for own in owns], days)
    return picture


def _paint(picture: Figure, axes: Axes, cells: Sequence[Sequence[DayCoverage]]) -> None:
    shares: Floats = np.array([[one.share * 100 for one in row] for row in cells])
    axes.set_facecolor("white")
    axes.patch.set(hatch="....", edgecolor="#cccccc")
    image = axes.imshow(
        np.ma.masked_equal(shares, 0), cmap=style.SIZES, vmin=0, vmax=100, aspect="auto"
    )
    picture.colorbar(image, ax=axes, label="% of 24 h", pad=0.01)
    numbered = len(shares[0]) <= _NUMBERED_DAYS
    for row, column in np.argwhere(shares > 0).tolist():
        one = cells[row][column]
        color = "white" if one.share > _DARK else "black"
        if numbered:
            axes.text(
                column, row, cell_text(one), ha="center", va="center", fontsize=7.5, color=color
            )
        elif one.gaps:
            axes.plot(column, row, ".", color=style.ASK, ms=4)
    handles: list[Artist] = [
        Patch(facecolor="white", edgecolor="#cccccc", hatch="....", label="not recorded")
    ]
    if not numbered:
        handles.append(
            Line2D([], [], color=style.ASK, marker=".", ls="", label="a gap on that day")
        )
    style.legend_below(picture, handles)


def cell_text(one: DayCoverage) -> str:
    """The text of a cell. Shares are rounded down: only a day without any loss is 100 %."""
    if one.known_s < 3_600:  # noqa: PLR2004 an hour
        known = f"{one.known_s:,.0f} s"
    else:
        known = f"{floor(one.share * 10_000) / 100:.4g} %"
    return f"{known}\n{counted(one.gaps, 'gap')}" if one.gaps else known


def _label_axes(picture: Figure, axes: Axes, symbols: Sequence[str], days: Sequence[date]) -> None:
    style.head(
        picture,
        axes,
        "Coverage: when each book was known",
        "Share of each day (UTC) in which no update was missing.",
    )
    axes.set_yticks(range(len(symbols)), [style.name(symbol) for symbol in symbols])
    every = -(-len(days) // _NUMBERED_DAYS)
    shown = range(0, len(days), every)
    axes.set_xticks(
        shown, [f"{days[number]:%Y-%m-%d}" for number in shown], rotation=30, ha="right"
    )
    axes.set_xlabel("day (UTC)")
    axes.set_ylabel("symbol")
