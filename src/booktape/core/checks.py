"""The values of a check: what other streams of the exchange show of a book, and the result.

As in core/events.py, no value changes once it is made, and those made for every message are not frozen.
"""

from __future__ import annotations

from dataclasses import dataclass

from booktape.core.events import Level


@dataclass(slots=True)
class TopLevels:
    """One message of `@depth20`: the best 20 levels of each side (or fewer), as of `last_id`."""

    symbol: str
    last_id: int
    bids: list[Level]
    asks: list[Level]


@dataclass(slots=True)
class BookTicker:
    """One message of `@bookTicker`: the best level of each side; None for an empty side."""

    symbol: str
    update_id: int
    bid: Level | None
    ask: Level | None


@dataclass(frozen=True, slots=True)
class BestLevels:
    """What a pulse shows of one symbol: the best level of each side; None for an empty side."""

    bid: Level | None
    ask: Level | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One level on which the book and a witness differ. A size of 0 means that the level is missing."""

    side: str
    price: float
    book: float
    witness: float


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison with a witness, or several that all passed, as stored in `checks`."""

    symbol: str
    received_ns: int
    update_id: int
    witness: str
    levels_compared: int
    differences: tuple[Difference, ...] = ()
    comparisons: int = 1
