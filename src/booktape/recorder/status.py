"""How a recording stands at this moment, for whoever looks in at the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHOWN: Final = 30
"""Books that a person is shown. To look at one sorts its pending changes in, so the others are counted."""


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
    """A whole recorder. `lag_ms`: how long ago the record just handled had left the socket.

    `lost_lines`: of the log, which nobody read in time, or which could not be written.
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
