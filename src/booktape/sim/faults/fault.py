"""What a fault is, and all faults of one host.

    Faults.of(Drop(Messages(probability=0.01)), Cuts(every_s=3, spare=1))

docs/faults.md lists every kind. A new kind is a subclass of `Fault` (or of `AnswerFault`) in the module where it
belongs, and a row in `parse.KINDS`; the server need not know about it. Without faults the exchange keeps its rules.
Like the conditions, faults are plain values without state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from typing import Literal, Self, TypeAlias

from booktape.sim.faults.conditions import Attempt, Checked, Delivery, RequestCondition
from booktape.sim.faults.outcomes import Outcome
from booktape.sim.faults.steps import Moment, Send, Step

Scope: TypeAlias = Literal["all", "rest", "snapshots"]
"""Handshakes and requests, requests only, or only requests for a symbol's book."""


class Fault(Checked, frozen=True):
    """Something that goes wrong at the exchange. Each kind overrides the methods that it needs."""

    def apply(self, _delivery: Delivery, steps: list[Step], /) -> list[Step]:
        """What to do instead of `steps`, which is what earlier faults left of a message."""
        return steps

    def steps(self, _connection: int, /) -> Sequence[Step]:
        """What will happen to a connection; delays count from its opening."""
        return ()

    def timetable(self) -> Iterator[Moment]:
        """What happens to open connections, in order of time; possibly without end."""
        return iter(())

    def outcome(self, _attempt: Attempt, /) -> Outcome | None:
        """What a request or handshake gets instead of the true answer; None if it gets the true one."""
        return None


class AnswerFault(Fault, frozen=True):
    """Replaces the answer with one of `outcomes`, in turn, where `when` holds."""

    when: RequestCondition
    outcomes: tuple[Outcome, ...]
    scope: Scope = "rest"

    def outcome(self, attempt: Attempt) -> Outcome | None:
        is_rest = attempt.kind == "rest"
        in_scope = {"all": True, "rest": is_rest, "snapshots": attempt.is_for_book}
        if not (in_scope[self.scope] and self.when(attempt)):
            return None
        return self.outcomes[attempt.number % len(self.outcomes)]


class MarketFault(Fault, frozen=True):
    """Happens to the market itself, so its books stay true. Plain data for `MarketFaults`."""


@dataclass(frozen=True)
class Faults:
    """All faults of one host, in order."""

    faults: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, *faults: Fault) -> Self:
        """These faults."""
        return cls(faults)

    def outcome(self, attempt: Attempt) -> Outcome | None:
        """The first outcome that a fault has for this request or handshake."""
        return next((found for one in self.faults if (found := one.outcome(attempt))), None)

    def steps(self, connection: int) -> list[Step]:
        """What will happen to this connection; delays count from its opening."""
        return [step for fault in self.faults for step in fault.steps(connection)]

    def apply(self, delivery: Delivery) -> list[Step]:
        """What becomes of one message: each fault changes what the previous one left."""
        steps: list[Step] = [Send(delivery.payload)]
        for fault in self.faults:
            steps = fault.apply(delivery, steps)
        return steps

    def timetable(self) -> Iterator[Moment]:
        """All timetables as one, in order of time; possibly without end."""
        return merge(*(one.timetable() for one in self.faults), key=lambda moment: moment.at_s)

    @cached_property
    def change_messages(self) -> bool:
        """Whether any fault changes messages. Without one `apply` need not be called."""
        return any(type(fault).apply is not Fault.apply for fault in self.faults)
