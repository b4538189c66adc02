"""Several connections of one stream, as one ordered stream per symbol.

Each connection delivers in order, and all deliver the same events. So the first copy of an event is
passed on, later copies fall away, and an event that runs ahead (its connection lost the one before)
waits as long as another connection may still bring what is missing. Only then is it passed on all
the same, and the machine behind declares the gap.

A hole can no longer be filled when every connection has delivered something beyond it, when those
that have not are gone, when too much waits, or when the recorder noted that it waited long enough
(`HoldExpired`: time is not read here).
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from booktape.core.events import DepthEvent, Held

AHEAD_MAX: Final = 1_000
"""Events of one symbol that may run ahead: well over a minute of the busiest one."""

_FIRST_ID: Final = attrgetter("event.first_id")


@dataclass(slots=True)
class Lane:
    """One symbol: the last id passed on, how far each connection is, and what runs ahead."""

    passed: int | None = None
    reached: dict[int, int | None] = field(default_factory=dict)
    ahead: list[Held] = field(default_factory=list)

    def take(self, connection: int, event: DepthEvent, received_ns: int) -> list[Held]:
        """The events that are in order now, this one perhaps among them."""
        self.reached[connection] = event.last_id
        if not self.ahead and self.passed is not None and event.first_id <= self.passed + 1:
            # Nearly always so, and then nothing needs to be sorted or released.
            return self._pass_on(event, received_ns)
        if self._is_new(event):
            insort(self.ahead, Held(received_ns, event), key=_FIRST_ID)
        return self._release()

    def _pass_on(self, event: DepthEvent, received_ns: int) -> list[Held]:
        if not self._is_new(event):
            return []
        self.passed = event.last_id
        return [Held(received_ns, event)]

    def know(self, update_id: int) -> list[Held]:
        """A snapshot told everything up to here: nobody needs to bring that any more."""
        self.passed = max(self.passed or 0, update_id)
        return self._release()

    def expire(self) -> list[Held]:
        """Give up waiting for what is missing before the first event that runs ahead."""
        if self.ahead:
            self.passed = self.ahead[0].event.first_id - 1
        return self._release()

    def leave(self, connection: int) -> list[Held]:
        """A connection is gone: what only it could have brought will not come."""
        self.reached.pop(connection, None)
        ready = self._release()
        if not self.reached:
            # Nobody carries the symbol: what comes next may begin anywhere.
            self.passed = None
        return ready

    def _release(self) -> list[Held]:
        """Take out what is in order now, and what waits for something that cannot come."""
        ready: list[Held] = []
        while self.ahead and not self._waits(self.ahead[0].event.first_id):
            first = self.ahead.pop(0)
            if self._is_new(first.event):
                self.passed = first.event.last_id
                ready.append(first)
        return ready

    def _is_new(self, event: DepthEvent) -> bool:
        """Whether it is no copy, or part, of what was passed on."""
        return self.passed is None or event.last_id > self.passed

    def _waits(self, first_id: int) -> bool:
        """Whether something is missing before this id, and a connection has not yet come past it."""
        if self.passed is None or first_id <= self.passed + 1 or len(self.ahead) > AHEAD_MAX:
            return False
        return any(at is None or at < first_id - 1 for at in self.reached.values())


class Merge:
    """The lanes of all symbols, and which connection carries which."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.open: dict[int, tuple[str, ...]] = {}
        self._joined: dict[int, dict[str, int | None]] = {}

    def connected(self, connection: int, symbols: tuple[str, ...]) -> None:
        """From now on `connection` carries `symbols`."""
        self.open[connection] = symbols
        self._joined[connection] = {}
        for symbol in symbols:
            lane = self.lanes.setdefault(symbol, Lane())
            lane.reached.setdefault(connection, None)
            self._joined[connection][symbol] = lane.passed

    def lost(self, connection: int) -> tuple[str, ...]:
        """Forget a connection; the symbols that it carried. Each lane must `leave` it, too."""
        self._joined.pop(connection, None)
        return self.open.pop(connection, ())

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

    def waiting_since_ns(self) -> dict[str, int]:
        """Since when the oldest event of each symbol runs ahead, for those where one does."""
        return {
            symbol: min(held.received_ns for held in lane.ahead)
            for symbol, lane in self.lanes.items()
            if lane.ahead
        }
