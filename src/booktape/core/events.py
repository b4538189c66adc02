"""The values of a book: what the exchange sends, and what the core returns.

Units are in the names: `_us` is the exchange's clock in microseconds since 1970 (UTC), `_ns` is
ours in nanoseconds. Prices and sizes are doubles; docs/format.md says why they are exact.

No value changes once it is made. Still, those made for every event or row are not frozen, because
freezing costs half a microsecond or more each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Level: TypeAlias = tuple[float, float]
"""Price and size. In an event the size is absolute, and 0 deletes the level."""

Floats: TypeAlias = NDArray[np.float64]

_EVENT_BYTES: Final = 500
_LEVEL_BYTES: Final = 120
"""A tuple of two (56), two floats (48), and its place in a list that has grown (9)."""

WHOLE_DEPTH: Final = 5_000
"""Levels per side. The exchange's snapshots show no more."""


# ── what the exchange sends ──────────────────────────────────────────────────────────────────


@dataclass(slots=True)
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
class UnreadableAnswer:
    """An answer to a snapshot request that is not a snapshot: an error page, or half a body."""


@dataclass(frozen=True, slots=True)
class ServerShutdown:
    """The server will go down soon; the exchange promises no lead time."""


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """A well-formed message that was not subscribed to. Kept on the tape, counted, never fatal."""

    name: str


# ── what the core returns ──────────────────────────────────────────────────────────────────────


class Urgency(IntEnum):
    """Which request goes first when the exchange's limit does not allow all of them at once."""

    LOST = 0  # a book that was known: each second is a hole in the data
    DOUBT = 1  # a book that counts as known, although the exchange shows other best levels
    NEW = 2  # a book that was never known
    DEEPER = 3  # a book whose top is known, but not yet to the depth that is wanted
    AUDIT = 4  # a known book, to be compared and to be known further out


@dataclass(frozen=True, slots=True)
class FetchSnapshot:
    """A request for I/O, as a value. Its answer comes back as another tape record.

    `attempt` counts from 1 since the book was lost, so that repeats can be spaced out. Two requests are
    equal if they have the same symbol and attempt, whatever their urgency and depth (`limit`).
    """

    symbol: str
    attempt: int
    urgency: Urgency = field(default=Urgency.NEW, compare=False)
    limit: int = field(default=WHOLE_DEPTH, compare=False)


@dataclass(slots=True)
class WaitingEvent:
    """An event and its arrival time. It waits for a snapshot, or for the event before it."""

    received_ns: int
    event: DepthEvent

    def shifted(self, step_ns: int) -> WaitingEvent:
        """The same event, its stamp moved by `step_ns`: our clock was set back."""
        return WaitingEvent(self.received_ns + step_ns, self.event)

    @property
    def bytes(self) -> int:
        """The memory that it takes, rounded up (CPython 3.11 to 3.14)."""
        return _EVENT_BYTES + _LEVEL_BYTES * (len(self.event.bids) + len(self.event.asks))


@dataclass(frozen=True, slots=True)
class GapInterval:
    """An interval in which a book was not known. It is open while `end_ns` is None.

    `epoch` is the epoch that ended. Both update ids belong to known books: `last_update_id` is the last
    one before the gap, `next_update_id` the first one after it, or None if the symbol ended.
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
        if self.next_update_id == self.last_update_id:
            return 0
        return self.next_update_id - self.last_update_id - 1


@dataclass(frozen=True, slots=True)
class BookLost:
    """The book is no longer known: `gap` has just opened."""

    gap: GapInterval


@dataclass(frozen=True, slots=True)
class BookSynced:
    """The book is known: a new epoch begins.

    `SymbolPipeline` must now handle the `held` events again. `counts_anew`: the exchange counts from
    lower ids again, so `update_id` is below that of the previous book.
    """

    symbol: str
    epoch: int
    update_id: int
    closed: GapInterval | None = None
    held: tuple[WaitingEvent, ...] = field(default=())
    counts_anew: bool = False


@dataclass(frozen=True, slots=True)
class CheckFailed:
    """A later snapshot (an audit) has different levels from the book: the book is no longer known.

    A witness that differs does not disprove the book: it causes such a snapshot to be requested.
    """


@dataclass(frozen=True, slots=True)
class StreamSilent:
    """Nothing proves the book current: it has not been known since its last evidence."""


@dataclass(frozen=True, slots=True)
class IdsReset:
    """The exchange counts this symbol's updates from lower ids again: the book is not known."""


@dataclass(frozen=True, slots=True)
class BookTooLarge:
    """The book has more levels than any real one: it is no longer known, and its memory is freed."""


LossCause: TypeAlias = CheckFailed | StreamSilent | IdsReset | BookTooLarge
"""The findings of checks that end a known book. They are inputs of the state machine."""


@dataclass(frozen=True, slots=True)
class ForgetFeedIds:
    """Checks have found an `IdsReset`: the symbol's feed must forget the old ids as well."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened and is not a gap: a row of `notes`. `symbol` is None if it concerns all symbols."""

    symbol: str | None
    received_ns: int
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class MalformedMessage:
    """A message that could not be decoded. `connection` is None for a REST answer."""

    connection: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class ReplaceConnection:
    """A request for I/O: open another connection in place of this one, then close it.

    `silent`: this one delivers no messages although it should, so the pulse and the list of symbols should
    be requested soon.
    """

    connection: int
    why: str
    silent: bool = False


@dataclass(frozen=True, slots=True)
class CancelRequests:
    """A request for I/O: cancel all snapshot requests for this symbol, which is no longer listed."""

    symbol: str


@dataclass(slots=True, eq=False)
class BookRow:
    """One full book: a row of `snapshots`. Arrays are best first, sizes above 0."""

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
