"""How every picture looks: colours, titles, the time axis, and how a gap is drawn.

The colours are Okabe and Ito's, which people with any kind of colour blindness can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Final
from urllib.parse import quote

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from booktape.errors import UsageError
from booktape.processes.terminal import counted
from booktape.reader.time_range import TimeRange

BID: Final = "#0072B2"
ASK: Final = "#D55E00"
NEUTRAL: Final = "#333333"
SIZES: Final = "YlGnBu"
"""Runs from light to dark even when printed in grey."""

_GAP: Final = "#8c8c8c"
VEIL: Final = (0.55, 0.55, 0.55, 0.3)
_SUFFIXES: Final = (".png", ".svg")
_DPI: Final = 110
# Only quote assets that are not the end of another quote asset: BATUSD may be BAT against USD, or BA against TUSD.
_QUOTES: Final = ("USDT", "USDC", "BTC", "ETH", "BNB", "TRY", "BRL", "JPY")


def figure(width: float = 10, height: float = 5.6) -> Figure:
    """An empty picture, in inches. pyplot, with its global state, is never imported."""
    return Figure((width, height), dpi=_DPI, layout="constrained")


def save(picture: Figure, path: Path | str) -> Path:
    """Write a picture as PNG or SVG, depending on the suffix of its name. The same picture gives the same bytes.

    An existing file is replaced. Raises UsageError for another suffix, or a path that cannot be written.
    """
    path = Path(path)
    check_name(path)
    svg = path.suffix.lower() == ".svg"
    try:
        with mpl.rc_context({"svg.hashsalt": "booktape"}):
            picture.savefig(path, metadata={"Date": None} if svg else {"Software": None})
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def check_name(path: Path) -> None:
    """Raises UsageError unless the suffix is that of a picture."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{path} is not a valid name for a picture. End it with .png or .svg.")


def name(symbol: str) -> str:
    """A symbol percent-encoded as in folder names, because not every font has every script."""
    return quote(symbol, safe="")


def assets(symbol: str) -> tuple[str, str]:
    """Base and quote asset, as units. Known weakness: only common quote assets are recognised, by the symbol's end."""
    known = next((one for one in _QUOTES if symbol.endswith(one) and symbol != one), None)
    if known is None:
        return "base asset", "quote asset"
    return name(symbol.removesuffix(known)), known


def head(picture: Figure, axes: Axes, title: str, subtitle: str) -> None:
    """The title in bold, and a line of explanation below it."""
    picture.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    axes.set_title(subtitle, loc="left", fontsize=9, color=NEUTRAL)


def legend_below(picture: Figure, handles: Sequence[Artist], columns: int = 4) -> None:
    """A legend below the axes, where it covers nothing."""
    picture.legend(
        handles=list(handles), loc="outside lower left", ncols=columns, fontsize=8.5, frameon=False
    )


def time_axis(axes: Axes, shown: TimeRange) -> None:
    """The time axis, from start to end, in UTC."""
    locator = AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
    axes.set_xlim(number(shown.start), number(shown.end))
    axes.set_xlabel("time (UTC, when we received it)")


def number(moment: object) -> float:
    """A moment, or an array of them, in matplotlib's unit: days since 1970."""
    found: float = date2num(moment)
    return found


def hatch_gaps(axes: Axes, shown: TimeRange) -> list[Patch]:
    """Draw every gap. Returns the handle for the legend, if there is a gap."""
    for gap in shown.gaps:
        first, last = (number(one) for one in shown.span_of(gap))
        axes.axvspan(first, last, facecolor="white", edgecolor=_GAP, hatch="////", lw=0, zorder=3)
        # A line as well, so that a gap narrower than a pixel is visible.
        axes.axvline(first, color=_GAP, lw=0.8, zorder=3)
    if not shown.gaps:
        return []
    label = f"book not known ({counted(len(shown.gaps), 'gap')}, {shown.lost_s:,.3g} s)"
    return [Patch(facecolor="white", edgecolor=_GAP, hatch="////", label=label)]


HORIZON: Final = "horizon: all levels are known up to here"
WHOLE: Final = " No horizon: both sides are completely known."
OUTSIDE: Final = " The horizon is outside the picture."


def veil() -> Patch:
    """The legend's handle for prices beyond the horizon, which are drawn in VEIL."""
    return Patch(facecolor=VEIL, label="beyond the horizon: perhaps not all levels")
