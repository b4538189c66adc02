"""What a fault can change: messages, open connections, answers to requests, or the market itself.

A new fault is a new subclass of one of these (or of two), or a new `AnswerFault`, and a row in `parse.KINDS`; the
server need not know it. Faults hold no state: the same question has the same answer, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from booktape.sim.faults.actions import Moment, Step
from booktape.sim.faults.conditions import Attempt, Checked, Delivery
from booktape.sim.faults.replies import Outcome


@dataclass(frozen=True)
class Fault(Checked):
    """Something that goes wrong at the exchange."""


class MessageFault(Fault):
    """Changes what is sent to a client."""

    def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        """What to do in the place of `steps`, which the faults before this one have left."""
        raise NotImplementedError


class ConnectionFault(Fault):
    """Happens to open connections at certain times."""

    def timetable(self) -> Iterator[Moment]:
        """What happens, in the order of time; perhaps without end."""
        raise NotImplementedError


class RequestFault(Fault):
    """Changes the answer to a REST request or a WebSocket handshake."""

    def outcome(self, attempt: Attempt) -> Outcome | None:
        """What the client gets instead of the true answer; None for the true answer."""
        raise NotImplementedError


class MarketFault(Fault):
    """Happens to the market itself, so that its books stay true: plain data for `MarketFaults`."""
