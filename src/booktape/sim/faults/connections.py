"""Faults of connections: when and how they end, or that they stay open and carry nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from math import inf
from typing import Final

from booktape.sim.faults.conditions import Attempt, Number, OfConnections, Positive, Seconds, chance
from booktape.sim.faults.fault import Fault
from booktape.sim.faults.outcomes import Hang, Outcome, Reset
from booktape.sim.faults.steps import (
    GOING_AWAY,
    Announce,
    CloseCode,
    Cut,
    Later,
    MakeHalfOpen,
    Moment,
    OpenConnection,
    Reason,
    Step,
)

_EVEN: Final = 0.5


class _AtOnce(Fault, OfConnections, frozen=True):
    """Happens at `at_s` to the connections open then, or to some of them."""

    at_s: Seconds

    def _moments(self, *steps: Step) -> Iterator[Moment]:
        def choose(connections: Sequence[OpenConnection]) -> list[int]:
            return [one.number for one in connections if self.selects(one.number)]

        yield Moment(self.at_s, choose, steps)


class CutAt(_AtOnce, frozen=True):
    """End the connections that are open at `at_s`.

    Unless the end is `abrupt`, a close frame gives a code and a reason, such as 1008, "Too many requests".
    """

    abrupt: bool = True
    code: CloseCode = GOING_AWAY
    reason: Reason = ""

    def timetable(self) -> Iterator[Moment]:
        return self._moments(Cut(self.abrupt, self.code, self.reason))


class HalfOpen(_AtOnce, frozen=True):
    """From `at_s` on, the connections open then carry nothing in either direction, and never end."""

    def timetable(self) -> Iterator[Moment]:
        return self._moments(MakeHalfOpen())


class ServerShutdown(_AtOnce, frozen=True):
    """Announce `serverShutdown` to the connections open at `at_s`, and end them `lead_s` later.

    A client that connects after the announcement has reached another server, and keeps its connection.
    """

    lead_s: Seconds = 10.0
    abrupt: bool = False

    def timetable(self) -> Iterator[Moment]:
        return self._moments(Announce(), Later(self.lead_s, Cut(self.abrupt)))


class Outage(Fault, frozen=True):
    """No request or handshake gets through for a while, and open connections are lost.

    All of them are reset; or, if `silent`, nothing is answered any more and nothing ends.
    """

    start_s: Seconds
    end_s: Seconds
    silent: bool = False

    def outcome(self, attempt: Attempt) -> Outcome | None:
        if not self.start_s <= attempt.now_s < self.end_s:
            return None
        return Hang() if self.silent else Reset()

    def timetable(self) -> Iterator[Moment]:
        step = MakeHalfOpen() if self.silent else Cut(abrupt=True)
        yield Moment(self.start_s, lambda all_open: [one.number for one in all_open], (step,))


class Cuts(Fault, frozen=True):
    """End one connection every few seconds, at a random time within each `every_s`.

    The seed and the numbers of the open connections decide which one. A connection is spared unless at least `spare`
    others carry all of its streams, and have done so for at least `settled_s`: then no message need be lost.
    With `abrupt` None, chance decides.
    """

    every_s: Positive
    start_s: Seconds = 0.0
    end_s: Seconds = inf
    spare: Number = 0
    settled_s: Seconds = 2.0
    abrupt: bool | None = None
    seed: int = 0

    def timetable(self) -> Iterator[Moment]:
        for number in count():
            at_s = self.start_s + (number + chance(self.seed, "when", number)) * self.every_s
            if at_s >= self.end_s:
                return
            is_abrupt = self.abrupt
            if is_abrupt is None:
                is_abrupt = chance(self.seed, "how", number) < _EVEN
            yield Moment(at_s, partial(self._choose, number), (Cut(is_abrupt),))

    def _choose(self, number: int, connections: Sequence[OpenConnection]) -> list[int]:
        able = [one.number for one in connections if self._may_end(one, connections)]
        return sorted(able, key=lambda each: chance(self.seed, "whom", number, each))[:1]

    def _may_end(self, one: OpenConnection, connections: Sequence[OpenConnection]) -> bool:
        carrying = [
            other is not one and other.streams >= one.streams and other.settled_s >= self.settled_s
            for other in connections
        ]
        return sum(carrying) >= self.spare


class Lifetime(Fault, OfConnections, frozen=True):
    """End each connection `seconds` after it was opened, busy or not: the exchange's 24 hours in miniature.

    Users of the exchange report the close codes 1001 and 1008; `code` is 1001 by default.
    """

    seconds: Positive
    abrupt: bool = False
    jitter_s: Seconds = 0.0
    code: CloseCode = GOING_AWAY
    reason: Reason = ""
    seed: int = 0

    def steps(self, connection: int) -> list[Later]:
        if not self.selects(connection):
            return []
        later_s = self.jitter_s * chance(self.seed, "lifetime", connection)
        return [Later(self.seconds + later_s, Cut(self.abrupt, self.code, self.reason))]
