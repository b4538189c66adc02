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

from dataclasses import dataclass, field
from typing import Final

from booktape.core.events import DepthEvent, Held

AHEAD_MAX: Final = 1_000
"""Events of one symbol that may run ahead: well over a minute of the busiest one."""


@dataclass(slots=True)
class Lane:
    """One symbol: the last id passed on, how far each connection is, and what runs ahead."""

    passed: int | None = None
    reached: dict[int, int | None] = field(default_factory=dict)
    ahead: list[Held] = field(default_factory=list)

    def take(self, connection: int, event: DepthEvent, received_ns: int) -> list[Held]:
        """The events that are in order now, this one perhaps among them."""
        self.reached[connection] = event.last_id
        if self.passed is None or event.first_id <= self.passed + 1:
            if self.passed is not None and event.last_id <= self.passed:
                return self._release() if self.ahead else []
            self.passed = event.last_id
            first = Held(received_ns, event)
            return [first, *self._release()] if self.ahead else [first]
        self.ahead.append(Held(received_ns, event))
        self.ahead.sort(key=lambda held: held.event.first_id)
        return self._release()

    def expire(self) -> list[Held]:
        """Give up waiting: everything that runs ahead, in order."""
        return self._pass(len(self.ahead))

    def leave(self, connection: int) -> list[Held]:
        """A connection is gone: what only it could have brought will not come."""
        self.reached.pop(connection, None)
        if not self.reached:
            # Nobody carries the symbol: what comes next may begin anywhere.
            self.passed, self.ahead = None, []
        return self._release()

    def _release(self) -> list[Held]:
        """Pass on what is in order now, and what waits for something that cannot come."""
        ready: list[Held] = []
        while self.ahead and (self._chains() or not self._fillable()):
            ready += self._pass(1)
        return ready

    def _chains(self) -> bool:
        return self.passed is not None and self.ahead[0].event.first_id <= self.passed + 1

    def _fillable(self) -> bool:
        """Whether a connection has not come to the hole before the first event that waits."""
        before = self.ahead[0].event.first_id
        behind = any(at is None or at < before - 1 for at in self.reached.values())
        return behind and len(self.ahead) <= AHEAD_MAX

    def _pass(self, count: int) -> list[Held]:
        """Take the first ones out; copies of what was passed on meanwhile fall away."""
        ready: list[Held] = []
        for held in self.ahead[:count]:
            if self.passed is None or held.event.last_id > self.passed:
                self.passed = held.event.last_id
                ready.append(held)
        del self.ahead[:count]
        return ready


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
        """Whether `new` carries all that `old` does, so that `old` can go without a hole.

        A symbol that sent nothing since `new` joined proves nothing and needs no proof.
        """
        if old not in self.open or new not in self.open:
            return old not in self.open
        return all(self._overlaps(symbol, new) for symbol in self.open[old])

    def _overlaps(self, symbol: str, new: int) -> bool:
        lane = self.lanes[symbol]
        quiet = lane.passed == self._joined[new].get(symbol)
        return not lane.ahead and (quiet or lane.reached.get(new) is not None)

    def waiting_since_ns(self) -> dict[str, int]:
        """Since when the oldest event of each symbol runs ahead, for those where one does."""
        return {
            symbol: min(held.received_ns for held in lane.ahead)
            for symbol, lane in self.lanes.items()
            if lane.ahead
        }
