"""Lies about connections: when and how they end, or seem to go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from math import inf
from typing import Final

from booktape.sim.faults.actions import (
    GOING_AWAY,
    Announce,
    Cut,
    Later,
    Moment,
    Mute,
    Standing,
    Those,
)
from booktape.sim.faults.conditions import (
    Attempt,
    CloseCode,
    Count,
    Number,
    Positive,
    Reason,
    Seconds,
    chance,
    check_selection,
    check_span,
)
from booktape.sim.faults.messages import Fault
from booktape.sim.faults.replies import DoorStep, Hang, Reset

_EVEN: Final = 0.5


@dataclass(frozen=True)
class CutAt(Fault):
    """End the connections that are open at a time.

    A close frame that is not `abrupt` has a code and a reason, such as 1008, "Too many requests".
    """

    at_s: Seconds
    abrupt: bool = True
    connection: Number | None = None
    of: Count | None = None
    code: CloseCode = GOING_AWAY
    reason: Reason = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_selection(self.connection, self.of)

    def timetable(self) -> Iterator[Moment]:
        """Once."""
        end = Cut(self.abrupt, self.code, self.reason)
        yield Moment(self.at_s, Those(self.connection, self.of), (end,))


@dataclass(frozen=True)
class Cuts(Fault):
    """End one connection every few seconds, at a random time within each `every_s`.

    Which one, seed and the numbers of the open connections decide. It is spared unless `spare`
    others carry all of its streams, for `settled_s` at least: then no message need be lost.
    `abrupt` None decides by chance.
    """

    every_s: Positive
    start_s: Seconds = 0.0
    end_s: Seconds = inf
    spare: Number = 0
    settled_s: Seconds = 2.0
    abrupt: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_span(self.start_s, self.end_s)

    def timetable(self) -> Iterator[Moment]:
        """Until `end_s`."""
        for number in count():
            at_s = self.start_s + (number + chance(self.seed, "when", number)) * self.every_s
            if at_s >= self.end_s:
                return
            yield Moment(at_s, partial(self._victim, number), (Cut(self._is_abrupt(number)),))

    def _is_abrupt(self, number: int) -> bool:
        return chance(self.seed, "how", number) < _EVEN if self.abrupt is None else self.abrupt

    def _victim(self, number: int, standing: Sequence[Standing]) -> list[int]:
        able = [one.number for one in standing if self._may_go(one, standing)]
        return sorted(able, key=lambda each: chance(self.seed, "whom", number, each))[:1]

    def _may_go(self, one: Standing, standing: Sequence[Standing]) -> bool:
        others = [
            other
            for other in standing
            if other is not one
            and other.streams >= one.streams
            and other.settled_s >= self.settled_s
        ]
        return len(others) >= self.spare


@dataclass(frozen=True)
class HalfOpen(Fault):
    """From a time on the connections then open carry nothing at all, either way, and never end."""

    at_s: Seconds
    connection: Number | None = None
    of: Count | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_selection(self.connection, self.of)

    def timetable(self) -> Iterator[Moment]:
        """Once."""
        yield Moment(self.at_s, Those(self.connection, self.of), (Mute(),))


@dataclass(frozen=True)
class ServerShutdown(Fault):
    """`serverShutdown` to the connections open at `at_s`, and their end `lead_s` later.

    Whoever connects after the announcement has come to another server, and stays.
    """

    at_s: Seconds
    lead_s: Seconds = 10.0
    abrupt: bool = False
    connection: Number | None = None
    of: Count | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_selection(self.connection, self.of)

    def timetable(self) -> Iterator[Moment]:
        """Once."""
        steps = Announce(), Later(self.lead_s, Cut(self.abrupt))
        yield Moment(self.at_s, Those(self.connection, self.of), steps)


@dataclass(frozen=True)
class Outage(Fault):
    """Nobody gets through for a while, by WebSocket or REST, and open connections are lost.

    They are reset; or, `silent`, nothing is answered any more and nothing ends.
    """

    start_s: Seconds
    end_s: Seconds
    silent: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_span(self.start_s, self.end_s)

    def answers(self, attempt: Attempt) -> DoorStep | None:
        """Nothing gets through."""
        if not self.start_s <= attempt.now_s < self.end_s:
            return None
        return Hang() if self.silent else Reset()

    def timetable(self) -> Iterator[Moment]:
        """All connections, when it begins."""
        yield Moment(self.start_s, Those(), (Mute() if self.silent else Cut(abrupt=True),))
