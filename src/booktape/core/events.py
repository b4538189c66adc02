"""The nouns of a book: what the exchange says, and what the core says back.

Units are in the names: `_us` is the exchange's clock in microseconds since 1970 (UTC), `_ns` is
ours in nanoseconds. Prices and sizes are doubles; docs/format.md says why they are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Level: TypeAlias = tuple[float, float]
"""Price, size. In an event the size is absolute, and 0 deletes the level."""

Floats: TypeAlias = NDArray[np.float64]


# ── what the exchange says ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class DepthEvent:
    """One `depthUpdate`: every level that changed between two update ids, both included."""

    symbol: str
    event_time_us: int
    first_id: int
    last_id: int
    bids: list[Level]
    asks: list[Level]


@dataclass(frozen=True, slots=True)
class DepthSnapshot:
    """One answer of REST `/depth`: the best `limit` levels of each side, as of `last_id`."""

    symbol: str
    limit: int
    last_id: int
    bids: list[Level]
    asks: list[Level]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An answer to a request for a snapshot that was none: an error page, half a body."""


@dataclass(frozen=True, slots=True)
class ServerShutdown:
    """The server will go down soon; the exchange promises no lead time."""


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """Well-formed, and nothing we asked for. Kept on the tape, counted, never fatal."""

    name: str


# ── what the core says ──────────────────────────────────────────────────────────────────────


class Urgency(IntEnum):
    """Who is served first when the exchange allows only so much."""

    LOST = 0  # a book that was known: each second is a hole in the data
    NEW = 1  # one that has never been


@dataclass(frozen=True, slots=True)
class FetchSnapshot:
    """A request for I/O, as a value: its answer comes back as one more frame.

    `attempt` counts from 1 since the book was lost, so that the door can space out repeats. Two
    requests are equal when they ask for the same, however urgent.
    """

    symbol: str
    attempt: int
    urgency: Urgency = field(default=Urgency.NEW, compare=False)


@dataclass(frozen=True, slots=True)
class Applied:
    """One event changed the book."""


@dataclass(frozen=True, slots=True)
class Held:
    """An event and when it arrived, waiting for the snapshot it will be applied to."""

    received_ns: int
    event: DepthEvent


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval in which a book was not known. Open while `next_update_id` is None.

    `epoch` is the one that ended. Both update ids are known states: `last_update_id` is the last
    one before the interval, `next_update_id` the first one after it.
    """

    symbol: str
    epoch: int
    start_ns: int
    last_update_id: int
    reason: str
    end_ns: int | None = None
    next_update_id: int | None = None

    @property
    def missed_updates(self) -> int | None:
        """Update ids strictly between the two known states.

        Negative when the exchange's ids went backwards (seen only on test exchanges).
        """
        if self.next_update_id is None:
            return None
        return self.next_update_id - self.last_update_id - 1


@dataclass(frozen=True, slots=True)
class Lost:
    """The book is not known any more: `gap` has just opened."""

    gap: Gap


@dataclass(frozen=True, slots=True)
class Synced:
    """The book is known: a new epoch begins. `held` must now go through the machine again."""

    symbol: str
    epoch: int
    update_id: int
    closed: Gap | None = None
    held: tuple[Held, ...] = field(default=())


@dataclass(frozen=True, slots=True, eq=False)
class BookRow:
    """One full book, as it will stand in `snapshots`. Arrays are best first, sizes > 0."""

    symbol: str
    event_time_us: int | None
    received_ns: int
    update_id: int
    epoch: int
    updates: int
    bid_price: Floats
    bid_size: Floats
    ask_price: Floats
    ask_size: Floats
    bid_horizon: float | None
    ask_horizon: float | None
