"""Lines over the columns of a picture, interrupted wherever the book was lost."""

from __future__ import annotations

from typing import Final

import numpy as np

from booktape.core.events import Floats
from booktape.errors import NotRecorded
from booktape.reader import Recording
from booktape.reader.book_grid import BookGrid
from booktape.reader.time_range import TimeRange

_DAY_US: Final = 86_400_000_000


def read_grid(rec: Recording, shown: TimeRange) -> BookGrid:
    """The books of a time range. Raises NotRecorded if no book with two sides was known in it, or none can be drawn."""
    grid = BookGrid(rec, shown)
    if not np.isfinite(grid.mid).any():
        raise NotRecorded(
            f"{shown.symbol} had no book with two sides between {shown.start:%H:%M:%S} "
            f"and {shown.end:%H:%M:%S} UTC. Choose another time."
        )
    return grid


def edges(grid: BookGrid) -> Floats:
    """Where each column begins, and where the last one ends, in matplotlib's unit: days since 1970."""
    found: Floats = (grid.begin_us + np.arange(grid.count + 1) * grid.step_us) / _DAY_US
    return found


def line(grid: BookGrid, values: Floats) -> tuple[Floats, Floats]:
    """The points of a stepped line, interrupted wherever the epoch changes, even within one interval."""
    days = edges(grid)
    ends = np.flatnonzero(np.diff(grid.best["epoch"])) + 1
    return np.insert(days, ends, days[ends]), np.insert(np.append(values, values[-1]), ends, np.nan)
