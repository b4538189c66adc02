"""What can be read from a figure: words, hatched spans, lines."""

from __future__ import annotations

from datetime import datetime

from matplotlib.axes import Axes
from matplotlib.dates import num2date
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def legend(figure: Figure) -> list[str]:
    """The entries of the legend."""
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def title(figure: Figure) -> str:
    return figure.get_suptitle()


def hatched(axes: Axes) -> list[tuple[datetime, datetime]]:
    """The times for which the picture says that the book was not known."""
    spans = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_hatch() == "////"]
    return [(when(span.get_x()), when(span.get_x() + span.get_width())) for span in spans]


def when(days: float) -> datetime:
    """A position on the time axis, to the millisecond."""
    found: datetime = num2date(round(days * 86_400_000) / 86_400_000)
    return found.replace(microsecond=round(found.microsecond, -3))
