"""Several connections of one stream, as one ordered stream per symbol.

Each connection delivers in order, and all deliver the same events. So the first copy of an event is
passed on, later copies fall away, and an event that runs ahead (its connection lost the one before)
waits as long as another connection may still bring what is missing. Only then is it passed on all
the same, and the machine behind declares the gap.

A hole can no longer be filled when every connection has delivered something beyond it, when those
that have not are gone or silent, when too much waits, or when it was waited for `HOLD_NS` of tape
time (time is not read here: ticks tell it).

An event whose ids are old is a copy, and copies have old times. One with old ids and a new time is
the first sign that the exchange counts anew; the second is an event that follows on it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, TypeAlias

from booktape.core.events import DepthEvent, Held, IdsReset

AHEAD_MAX: Final = 1_000
"""Events of one symbol that may run ahead: well over a minute of the busiest one."""

HOLD_NS: Final = 3 * 10**9
"""How long an event that runs ahead waits for another connection to bring the one before it."""

LATER_US: Final = 1_000_000
"""By how much the time of an event with old ids must exceed the newest one to be no copy. A server
that is behind another one sends old events with their old times, so honest ones never do."""

_FIRST_ID: Final = attrgetter("event.first_id")

Ordered: TypeAlias = list[Held | IdsReset]
"""Events in order; an `IdsReset` stands before the first one that counts anew."""


@dataclass(slots=True)
class Lane:
    """One symbol: the last id passed on, how far each connection is, and what runs ahead.

    `passed` also moves with snapshots; `newest_id` and `newest_us` are the id and the exchange's
    time of the newest event that was passed on, 0 before there was one. `silent` connections are
    not waited for. On tapes of format 1 no lane `sees_resets`: what is old is a copy there.
    """

    passed: int | None = None
    reached: dict[int, int | None] = field(default_factory=dict)
    ahead: list[Held] = field(default_factory=list)
    newest_id: int = 0
    newest_us: int = 0
    sees_resets: bool = True
    silent: set[int] = field(default_factory=set)
    _fallen: Held | None = None
    _waited_ns: int | None = None

    def take(self, connection: int, event: DepthEvent, received_ns: int) -> Ordered:
        """The events that are in order now, this one perhaps among them."""
        self.reached[connection] = event.last_id
        passed = self.passed
        if not self.ahead and passed is not None and event.first_id <= passed + 1:
            # Nearly always so, and then nothing needs to be sorted or released.
            if event.last_id > passed:
                return [self._pass_on(Held(received_ns, event))]
            return self._look_back(Held(received_ns, event))
        if not self._is_new(event):
            return self._look_back(Held(received_ns, event))
        insort(self.ahead, Held(received_ns, event), key=_FIRST_ID)
        return self._release()

    def know(self, update_id: int) -> Ordered:
        """A snapshot told everything up to here: no connection needs to bring that any more."""
        self.passed = max(self.passed or 0, update_id)
        return self._release()

    def expire(self) -> Ordered:
        """Give up waiting for what is missing before the first event that runs ahead."""
        if self.ahead:
            self.passed = self.ahead[0].event.first_id - 1
        return self._release()

    def tick(self, passed_ns: int) -> Ordered:
        """So much tape time has passed. An event that waited for `HOLD_NS` waits no longer."""
        if not self.ahead:
            return []
        if self._waited_ns is None:
            self._waited_ns = 0
            return []
        self._waited_ns += passed_ns
        if self._waited_ns < HOLD_NS:
            return []
        ready = self.expire()
        if self.ahead:
            self._waited_ns = 0  # another hole, which is given as long
        return ready

    def leave(self, connection: int) -> Ordered:
        """A connection is gone: what only it could have brought will not come."""
        self.reached.pop(connection, None)
        self.silent.discard(connection)
        ready = self._release()
        if not self.reached:
            # Nobody carries the symbol: what comes next may begin anywhere.
            self.forget()
        return ready

    def silence(self, connection: int) -> Ordered:
        """A busy connection brings nothing any more: until it does, it is not waited for."""
        self.silent.add(connection)
        return self._release()

    def forget(self) -> None:
        """What comes next may begin anywhere, and be older than what came before."""
        self.passed, self.newest_id, self.newest_us = None, 0, 0
        self.reached = dict.fromkeys(self.reached)
        self.ahead, self._fallen, self._waited_ns = [], None, None

    def begin_segment(self) -> None:
        """What a checkpoint does not tell is forgotten: the next segment can be read alone."""
        self._fallen, self._waited_ns = None, None
        self.silent.clear()

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back: the stamps of what waits go back with it."""
        self.ahead = [held.moved(step_ns) for held in self.ahead]
        if self._fallen:
            self._fallen = self._fallen.moved(step_ns)

    def _pass_on(self, held: Held) -> Held:
        event = held.event
        self.passed = self.newest_id = event.last_id
        self.newest_us = max(self.newest_us, event.event_time_us)
        return held

    def _look_back(self, old: Held) -> Ordered:
        """A copy; or, by its time, the beginning of new ids, once another event follows on it."""
        event, fallen = old.event, self._fallen
        if not self.sees_resets:
            return []
        if event.last_id > self.newest_id or event.event_time_us <= self.newest_us + LATER_US:
            return []
        if fallen and fallen.event.first_id <= event.first_id <= fallen.event.last_id:
            return []
        if (
            fallen is None
            or event.first_id != fallen.event.last_id + 1
            or event.event_time_us < fallen.event.event_time_us
        ):
            self._fallen = old
            return []
        self.forget()
        return [IdsReset(), self._pass_on(fallen), self._pass_on(old)]

    def _release(self) -> Ordered:
        """Take out what is in order now, and what waits for something that cannot come."""
        ready: Ordered = []
        while self.ahead and not self._waits(self.ahead[0].event.first_id):
            first = self.ahead.pop(0)
            if self._is_new(first.event):
                ready.append(self._pass_on(first))
        if not self.ahead:
            self._waited_ns = None
        return ready

    def _is_new(self, event: DepthEvent) -> bool:
        """Whether it is no copy, or part, of what was passed on."""
        return self.passed is None or event.last_id > self.passed

    def _waits(self, first_id: int) -> bool:
        """Whether something is missing before this id, and a connection may still bring it."""
        if self.passed is None or first_id <= self.passed + 1 or len(self.ahead) > AHEAD_MAX:
            return False
        return any(
            (at is None or at < first_id - 1) and connection not in self.silent
            for connection, at in self.reached.items()
        )


class Merge:
    """The lanes of all symbols, and which connection carries which."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.open: dict[int, tuple[str, ...]] = {}
        self.see_resets = True
        self._joined: dict[int, dict[str, int | None]] = {}

    def connected(self, connection: int, symbols: tuple[str, ...]) -> None:
        """From now on `connection` carries `symbols`."""
        self.open[connection] = symbols
        self._joined[connection] = {}
        for symbol in symbols:
            lane = self.lanes.setdefault(symbol, Lane(sees_resets=self.see_resets))
            lane.reached.setdefault(connection, None)
            self._joined[connection][symbol] = lane.passed

    def lost(self, connection: int) -> tuple[str, ...]:
        """Forget a connection; the symbols that it carried. Each lane must `leave` it, too."""
        self._joined.pop(connection, None)
        return self.open.pop(connection, ())

    def lanes_of(self, connection: int) -> Iterator[tuple[str, Lane]]:
        """The symbols that a connection carries, each with its lane."""
        for symbol in self.open.get(connection, ()):
            yield symbol, self.lanes[symbol]

    def can_relieve(self, old: int, new: int) -> bool:
        """Whether `new` brings all that `old` still may, so that `old` can go without a hole.

        For each symbol `new` must have delivered something that left nothing missing before it. One
        that is quiet since `new` joined needs no such proof, but something of it may still be on
        its way on `old`: it is not, once `old` has delivered anything that `new` delivered too,
        since what `old` was sent before `new` joined comes before that.
        """
        if old not in self.open or new not in self.open:
            return old not in self.open
        both_deliver = any(self._has_caught_up(old, new, symbol) for symbol in self.open[old])
        return all(
            self._delivers(new, symbol) or (both_deliver and self._is_quiet_on(new, symbol))
            for symbol in self.open[old]
        )

    def _has_caught_up(self, old: int, new: int, symbol: str) -> bool:
        reached = self.lanes[symbol].reached
        mine, other = reached.get(old), reached.get(new)
        return mine is not None and other is not None and mine >= other

    def _delivers(self, connection: int, symbol: str) -> bool:
        lane = self.lanes[symbol]
        return not lane.ahead and lane.reached.get(connection) is not None

    def _is_quiet_on(self, connection: int, symbol: str) -> bool:
        lane = self.lanes[symbol]
        return not lane.ahead and self._joined[connection].get(symbol, -1) == lane.passed
