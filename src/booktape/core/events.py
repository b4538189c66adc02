"""The values of a book: what the exchange sends, and what the core returns.

Units are in the names: `_us` is the exchange's clock in microseconds since 1970 (UTC), `_ns` is
ours in nanoseconds. Prices and sizes are doubles; docs/format.md says why they are exact.

None of these is changed once it is made. Yet those that are made for every event or row are not
frozen: freezing costs half a microsecond each, or more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Level: TypeAlias = tuple[float, float]
"""Price, size. In an event the size is absolute, and 0 deletes the level."""

Floats: TypeAlias = NDArray[np.float64]

_EVENT_BYTES: Final = 500
_LEVEL_BYTES: Final = 120
"""A tuple of two (56), two floats (48), and its place in a list that grew (9)."""

WHOLE_DEPTH: Final = 5_000
"""Levels a side. The exchange's snapshots show no more."""


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
    """An answer to a request for a snapshot that is not one: an error page, half a body."""


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
    DOUBT = 1  # one that is called known, although the exchange shows other best levels
    NEW = 2  # one that was never known
    DEEPER = 3  # one whose top is known, and not yet as deep as wanted
    AUDIT = 4  # one that is known, to be compared and to be known further


@dataclass(frozen=True, slots=True)
class FetchSnapshot:
    """A request for I/O, as a value. Its answer comes back as one more tape record.

    `attempt` counts from 1 since the book was lost, so that repeats can be spaced out. Two requests are
    equal when they ask for the same symbol and attempt, whatever their urgency and depth (`limit`).
    """

    symbol: str
    attempt: int
    urgency: Urgency = field(default=Urgency.NEW, compare=False)
    limit: int = field(default=WHOLE_DEPTH, compare=False)


@dataclass(slots=True)
class WaitingEvent:
    """An event and when it arrived. It waits for a snapshot, or for the event before it."""

    received_ns: int
    event: DepthEvent

    def shifted(self, step_ns: int) -> WaitingEvent:
        """The same event, its stamp moved by `step_ns`: our clock was set back."""
        return WaitingEvent(self.received_ns + step_ns, self.event)

    @property
    def bytes(self) -> int:
        """What it takes of memory, rounded up (CPython 3.11 to 3.14)."""
        return _EVENT_BYTES + _LEVEL_BYTES * (len(self.event.bids) + len(self.event.asks))


@dataclass(frozen=True, slots=True)
class GapInterval:
    """A time in which a book was not known. It is open while `end_ns` is None.

    `epoch` is the one that ended. Both update ids are of known books: `last_update_id` is the last
    one before the gap, `next_update_id` the first one after it; None when the symbol ended.
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

    The `held` events must now be handled once more, which `SymbolPipeline` does.
    `counts_anew`: the exchange counts from lower ids again, so the id is below that of the book before.
    """

    symbol: str
    epoch: int
    update_id: int
    closed: GapInterval | None = None
    held: tuple[WaitingEvent, ...] = field(default=())
    counts_anew: bool = False


@dataclass(frozen=True, slots=True)
class CheckFailed:
    """A later snapshot (an audit) has other levels than the book: the book is no longer known.

    A witness that differs does not disprove the book: it causes such a snapshot to be requested.
    """


@dataclass(frozen=True, slots=True)
class StreamSilent:
    """Nothing proves the book current: it is no longer known, from its last evidence on."""


@dataclass(frozen=True, slots=True)
class IdsReset:
    """The exchange counts this symbol's updates anew, from lower ids: the book is not known."""


@dataclass(frozen=True, slots=True)
class BookTooLarge:
    """The book has more levels than any real one: it is no longer known, and its memory is free."""


LossCause: TypeAlias = CheckFailed | StreamSilent | IdsReset | BookTooLarge
"""What checks find that ends a known book. The state machine takes it as an input."""


@dataclass(frozen=True, slots=True)
class ForgetFeedIds:
    """Checks have found an `IdsReset`: the symbol's feed must forget the old ids, too."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened and is no gap: a row of `notes`. `symbol` is None where it concerns all."""

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

    `silent`: it delivers no messages although it should. So the pulse and the list of symbols should be
    requested soon.
    """

    connection: int
    why: str
    silent: bool = False


@dataclass(frozen=True, slots=True)
class CancelRequests:
    """A request for I/O: no snapshot of this symbol is wanted any more, since it is not listed any more."""

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
