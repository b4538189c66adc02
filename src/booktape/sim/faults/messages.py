"""Lies that the built-in exchange can tell: the four questions, and lies about messages.

A lie is an action and a condition for it. A new one is a new subclass of `Fault`; the server need not
know it. Lies hold no state: the same question has the same answer, in whatever order it is asked.
Others stand in `garbage`, `fates` (connections), `door` (requests) and `incidents` (the market).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from booktape.sim.faults.actions import GOING_AWAY, Cut, Later, Moment, Send, Step
from booktape.sim.faults.conditions import (
    Attempt,
    Attempts,
    CloseCode,
    Count,
    Delivery,
    Messages,
    Number,
    Positive,
    Reason,
    Seconds,
    StreamCondition,
    among,
    chance,
    check_selection,
    check_span,
)
from booktape.sim.faults.replies import DoorStep


class Fault:
    """Answers the server's four questions honestly; a subclass lies in one of them.

    `condition` is what a script's entry makes the field `when` from, where there is one.
    """

    condition: ClassVar[type[Messages | Attempts]] = Messages

    def answers(self, attempt: Attempt) -> DoorStep | None:  # noqa: ARG002 - the honest answer needs no look
        """What a client at the door gets instead of the truth."""
        return None

    def fate(self, connection: int) -> Sequence[Step]:  # noqa: ARG002 - likewise
        """What will happen to this connection, counted from its opening."""
        return ()

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:  # noqa: ARG002 - likewise
        """What to do in the place of `steps`, which the lies before this one have left."""
        return steps

    def timetable(self) -> Iterator[Moment]:
        """What happens to open connections, and when; in the order of time, perhaps without end."""
        return iter(())


@dataclass(frozen=True)
class Drop(Fault):
    """Lose a message on its way to one client."""

    when: StreamCondition

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """Nothing, where the condition holds."""
        return [] if self.when(delivery) else steps


@dataclass(frozen=True)
class Gap(Fault):
    """Lose `count` consecutive events of a stream, from one for which the condition holds."""

    when: StreamCondition
    count: Count = 10

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """Nothing, within such a run."""
        start, first = replace(delivery), max(1, delivery.event_number - self.count + 1)
        for start.event_number in range(delivery.event_number, first - 1, -1):
            if self.when(start):
                return []
        return steps


@dataclass(frozen=True)
class Deaf(Fault):
    """Subscriptions die: their messages are lost, while the connection and its pings go on.

    Only connections that were opened by `opened_by_s` have dead subscriptions (without it: those
    opened by `start_s`, or before the market began); later ones hear all. So a late `opened_by_s`
    makes new connections deaf, too, and `start_s` 0 makes them so from their beginning.
    """

    when: Messages
    opened_by_s: Seconds | None = None

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """Nothing, on such a connection."""
        by_s = self.when.start_s if self.opened_by_s is None else self.opened_by_s
        return [] if delivery.opened_s <= by_s and self.when(delivery) else steps


@dataclass(frozen=True)
class Repeat(Fault):
    """Send a message again: at once, or late, when newer ones have been sent."""

    when: StreamCondition
    times: Count = 1
    after_s: Seconds = 0.0

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """The message, and the same message."""
        if not self.when(delivery):
            return steps
        again = [step for step in steps if isinstance(step, Send)] * self.times
        if self.after_s:
            return [*steps, *(Later(self.after_s, step) for step in again)]
        return [*steps, *again]


@dataclass(frozen=True)
class Delay(Fault):
    """Send a message, and so all behind it on its connection, `seconds` (up to + `jitter_s`) late.

    Within a connection the order stays, as TCP keeps it; between connections it does not.
    """

    when: StreamCondition
    seconds: Seconds
    jitter_s: Seconds = 0.0
    seed: int = 0

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """The same, not before its time."""
        if not self.when(delivery):
            return steps
        about = delivery.connection, delivery.stream, delivery.event_number
        late_s = self.seconds + self.jitter_s * chance(self.seed, "delay", *about)
        return _not_before(delivery.now_s + late_s, steps)


@dataclass(frozen=True)
class Stall(Fault):
    """No frame from `start_s` to `end_s`; then all that was held back at once. Pings go on.

    For a stall whose messages are lost, use a `Drop` over the same time.
    """

    start_s: Seconds
    end_s: Seconds
    connection: Number | None = None
    of: Count | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_span(self.start_s, self.end_s)
        check_selection(self.connection, self.of)

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """The same, not before the stall's end."""
        stalled = self.start_s <= delivery.now_s < self.end_s
        if stalled and among(delivery.connection, self.connection, self.of):
            return _not_before(self.end_s, steps)
        return steps


def _not_before(at_s: float, steps: list[Step]) -> list[Step]:
    return [
        replace(step, not_before_s=max(step.not_before_s, at_s)) if isinstance(step, Send) else step
        for step in steps
    ]


@dataclass(frozen=True)
class Close(Fault):
    """End the connection right after a message."""

    when: StreamCondition
    abrupt: bool = False
    code: CloseCode = GOING_AWAY
    reason: Reason = ""

    def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """The message, then the end."""
        end = Cut(self.abrupt, self.code, self.reason)
        return [*steps, end] if self.when(delivery) else steps


@dataclass(frozen=True)
class Lifetime(Fault):
    """End each connection so long after its opening, busy or not: 24 hours in miniature.

    Users of the exchange report the close codes 1001 and 1008; `code` is 1001 unless told.
    """

    seconds: Positive
    abrupt: bool = False
    jitter_s: Seconds = 0.0
    connection: Number | None = None
    of: Count | None = None
    code: CloseCode = GOING_AWAY
    reason: Reason = ""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for what can never hold."""
        check_selection(self.connection, self.of)

    def fate(self, connection: int) -> Sequence[Step]:
        """The same for every connection, but for the jitter."""
        if not among(connection, self.connection, self.of):
            return ()
        later_s = self.jitter_s * chance(self.seed, "lifetime", connection)
        return (Later(self.seconds + later_s, Cut(self.abrupt, self.code, self.reason)),)
