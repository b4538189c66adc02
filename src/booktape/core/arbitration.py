"""Several connections carry the same stream; this module makes one ordered stream of it, per symbol.

**What the exchange sends.** Each connection delivers a symbol's events in order, and all connections
deliver the same events. Any of them may miss some: it was cut, or it joined later. With two connections
the same events therefore arrive twice, at different times, and a hole on one is often filled by the other.

**What is released.** The first copy of an event is released; later copies are dropped. An event that does
not directly follow the last released one is buffered as long as some connection may still deliver what is
missing. When none can, the event is released anyway. Its ids then do not chain, and the state machine
that receives it (core/sync.py) declares the gap.

**When a hole can no longer be filled.** When every connection has delivered an event beyond it; when the
connections that have not are lost or silent; when more than `BUFFERED_MAX` events are waiting; or when the
first of them has waited for `HOLD_NS` of tape time. No clock is read: time comes from the ticks on the tape.

**When ids start over.** An event with old ids is normally a late copy, and copies carry old times. An
event with old ids and a new time may mean that the exchange is counting from lower ids again. A second
event that directly follows it proves this: then `IdsReset` is released before both of them.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, TypeAlias

from booktape.core.events import DepthEvent, IdsReset, WaitingEvent

BUFFERED_MAX: Final = 1_000
"""How many events of one symbol may be buffered: well over a minute of the busiest symbol."""

HOLD_NS: Final = 3 * 10**9
"""How long a buffered event waits for another connection to deliver the one before it."""

LATER_US: Final = 1_000_000
"""An event with old ids is not a copy if its time is later than the newest one by more than this. A server
that lags behind another sends old events with their old times, so a copy is never later."""

_FIRST_ID: Final = attrgetter("event.first_id")

ReleasedEvents: TypeAlias = list[tuple[int, DepthEvent | IdsReset]]
"""Events in order, each with its arrival time; an `IdsReset` comes before the first event with lower ids.
Plain tuples, because nearly every event is released at once and never becomes a `WaitingEvent`."""


@dataclass(slots=True)
class SymbolFeed:
    """One symbol: the last released id, how far each connection has come, and the events that wait.

    Snapshots also advance `last_released`. `newest_id` and `newest_us` are the id and the exchange's time
    of the newest released event, 0 before the first. No event waits for `silent_connections`. On tapes of
    format 1 `sees_resets` is False: an event with old ids is always a copy there.
    """

    last_released: int | None = None
    last_by_connection: dict[int, int | None] = field(default_factory=dict)
    buffered: list[WaitingEvent] = field(default_factory=list)
    newest_id: int = 0
    newest_us: int = 0
    sees_resets: bool = True
    silent_connections: set[int] = field(default_factory=set)
    _reset_candidate: WaitingEvent | None = None
    _waited_ns: int | None = None

    def accept(self, connection: int, event: DepthEvent, received_ns: int) -> ReleasedEvents:
        """The events that are now in order, perhaps including this one."""
        self.last_by_connection[connection] = event.last_id
        released_id = self.last_released
        if released_id is not None:
            if event.last_id <= released_id:
                return self._check_for_reset(WaitingEvent(received_ns, event))
            if event.first_id <= released_id + 1 and not self.buffered:
                # The usual case: nothing needs to be sorted.
                self._mark_released(event)
                return [(received_ns, event)]
        insort(self.buffered, WaitingEvent(received_ns, event), key=_FIRST_ID)
        return self._release()

    def advance_to(self, update_id: int) -> ReleasedEvents:
        """A snapshot holds everything up to this id, so no connection needs to deliver it any more."""
        self.last_released = max(self.last_released or 0, update_id)
        return self._release()

    def release_next(self) -> ReleasedEvents:
        """Stop waiting for what is missing before the first buffered event."""
        if self.buffered:
            self.last_released = self.buffered[0].event.first_id - 1
        return self._release()

    def on_tick(self, passed_ns: int) -> ReleasedEvents:
        """`passed_ns` of tape time have passed. An event that has waited for `HOLD_NS` is released."""
        if not self.buffered:
            return []
        if self._waited_ns is None:
            self._waited_ns = 0
            return []
        self._waited_ns += passed_ns
        if self._waited_ns < HOLD_NS:
            return []
        ready = self.release_next()
        if self.buffered:
            self._waited_ns = 0  # another hole, which has its own HOLD_NS
        return ready

    def drop_connection(self, connection: int) -> ReleasedEvents:
        """A connection is lost: events that only it could have delivered will not come."""
        self.last_by_connection.pop(connection, None)
        self.silent_connections.discard(connection)
        ready = self._release()
        if not self.last_by_connection:
            # No connection carries the symbol: the next event may begin at any id.
            self.reset()
        return ready

    def mark_silent(self, connection: int) -> ReleasedEvents:
        """A busy connection has fallen silent: until it delivers again, no event waits for it."""
        self.silent_connections.add(connection)
        return self._release()

    def reset(self) -> None:
        """Forget all ids: the next event may begin at any id, and be older than the last one."""
        self.last_released, self.newest_id, self.newest_us = None, 0, 0
        self.last_by_connection = dict.fromkeys(self.last_by_connection)
        self.buffered, self._reset_candidate, self._waited_ns = [], None, None

    def begin_segment(self) -> None:
        """Forget what a checkpoint does not hold: the next segment must be readable on its own."""
        self._reset_candidate, self._waited_ns = None, None
        self.silent_connections.clear()

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back: the stamps of buffered events move back with it."""
        self.buffered = [held.shifted(step_ns) for held in self.buffered]
        if self._reset_candidate:
            self._reset_candidate = self._reset_candidate.shifted(step_ns)

    def _mark_released(self, event: DepthEvent) -> None:
        self.last_released = self.newest_id = event.last_id
        if event.event_time_us > self.newest_us:  # noqa: PLR1730 max() takes three times as long
            self.newest_us = event.event_time_us

    def _check_for_reset(self, old: WaitingEvent) -> ReleasedEvents:
        """An event with old ids: a copy, unless its time and the next event show that ids start over."""
        event, candidate = old.event, self._reset_candidate
        if not self.sees_resets:
            return []
        if event.last_id > self.newest_id or event.event_time_us <= self.newest_us + LATER_US:
            return []
        if candidate and candidate.event.first_id <= event.first_id <= candidate.event.last_id:
            return []
        if (
            candidate is None
            or event.first_id != candidate.event.last_id + 1
            or event.event_time_us < candidate.event.event_time_us
        ):
            self._reset_candidate = old
            return []
        self.reset()
        self._mark_released(event)
        first_ns, second_ns = candidate.received_ns, old.received_ns
        return [(second_ns, IdsReset()), (first_ns, candidate.event), (second_ns, event)]

    def _release(self) -> ReleasedEvents:
        """Release the events that are now in order, and those that wait for something that cannot come."""
        ready: ReleasedEvents = []
        while self.buffered and not self._is_waited_for(self.buffered[0].event.first_id):
            first = self.buffered.pop(0)
            if self._is_new(first.event):
                self._mark_released(first.event)
                ready.append((first.received_ns, first.event))
        if not self.buffered:
            self._waited_ns = None
        return ready

    def _is_new(self, event: DepthEvent) -> bool:
        """Whether the event holds anything that has not been released yet."""
        return self.last_released is None or event.last_id > self.last_released

    def _is_waited_for(self, first_id: int) -> bool:
        """Whether something is missing before this id, and a connection may still deliver it."""
        if (
            self.last_released is None
            or first_id <= self.last_released + 1
            or len(self.buffered) > BUFFERED_MAX
        ):
            return False
        return any(
            (at is None or at < first_id - 1) and connection not in self.silent_connections
            for connection, at in self.last_by_connection.items()
        )


class FeedArbiter:
    """The feeds of all symbols, and which connection carries which symbols."""

    def __init__(self) -> None:
        self.feeds: dict[str, SymbolFeed] = {}
        self.connections: dict[int, tuple[str, ...]] = {}
        self.see_resets = True
        self._released_at_join: dict[int, dict[str, int | None]] = {}

    def add_connection(self, connection: int, symbols: tuple[str, ...]) -> None:
        """From now on `connection` carries `symbols`."""
        self.connections[connection] = symbols
        self._released_at_join[connection] = {}
        for symbol in symbols:
            feed = self.feeds.setdefault(symbol, SymbolFeed(sees_resets=self.see_resets))
            feed.last_by_connection.setdefault(connection, None)
            self._released_at_join[connection][symbol] = feed.last_released

    def remove_connection(self, connection: int) -> tuple[str, ...]:
        """Forget a connection. Returns its symbols; the feed of each must then `drop_connection`."""
        self._released_at_join.pop(connection, None)
        return self.connections.pop(connection, ())

    def feeds_of(self, connection: int) -> Iterator[tuple[str, SymbolFeed]]:
        """The symbols that a connection carries, each with its feed."""
        for symbol in self.connections.get(connection, ()):
            yield symbol, self.feeds[symbol]

    def covers(self, old: int, new: int) -> bool:
        """Whether `new` delivers everything that `old` still may, so that closing `old` leaves no hole.

        For each symbol, `new` must have delivered an event with nothing missing before it. A symbol that
        has been quiet since `new` joined has no such event. For that symbol, everything that the exchange
        sent to `old` before `new` joined must have arrived. It has arrived once `old` has delivered, on any
        symbol, an event that `new` delivered too, because a connection delivers in order.
        """
        if old not in self.connections or new not in self.connections:
            return old not in self.connections
        both_deliver = any(
            self._has_caught_up(old, new, symbol) for symbol in self.connections[old]
        )
        return all(
            self._delivers(new, symbol) or (both_deliver and self._is_quiet_on(new, symbol))
            for symbol in self.connections[old]
        )

    def _has_caught_up(self, old: int, new: int, symbol: str) -> bool:
        last_ids = self.feeds[symbol].last_by_connection
        old_id, new_id = last_ids.get(old), last_ids.get(new)
        return old_id is not None and new_id is not None and old_id >= new_id

    def _delivers(self, connection: int, symbol: str) -> bool:
        feed = self.feeds[symbol]
        return not feed.buffered and feed.last_by_connection.get(connection) is not None

    def _is_quiet_on(self, connection: int, symbol: str) -> bool:
        feed = self.feeds[symbol]
        return (
            not feed.buffered
            and self._released_at_join[connection].get(symbol, -1) == feed.last_released
        )
