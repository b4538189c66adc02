"""The state of a recording at one moment, as the status view shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHOWN: Final = 30
"""Books that are shown. Looking at a book sorts its pending changes, so the others are only counted."""


@dataclass(frozen=True, slots=True)
class BookStatus:
    """One symbol. `spread` is None while a side is empty or the book is not known."""

    symbol: str
    state: str
    epoch: int
    updates: int
    levels: int
    spread: float | None
    rows: int
    gaps: int


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """A whole recorder. `lag_ms`: the age of the record just handled, since it left its socket.

    `lost_lines`: lines of the log that were not read in time, or could not be written.
    """

    books: tuple[BookStatus, ...]  # the first ones, at most SHOWN
    recorded: int
    known: int
    rows: int
    gaps: int
    records: int
    waiting: int
    lag_ms: float
    snapshot_requests: int
    segment: str
    lost_lines: int = 0
