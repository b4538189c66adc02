"""All faults of one exchange. Without any, the exchange is faithful. docs/faults.md has every kind.

Faults.of(Drop(Messages(probability=0.01)), Cuts(every_s=3, spare=1))
Faults.parse("drop=0.01,cuts=3")
Faults.parse("script.toml")
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from math import ceil
from pathlib import Path
from typing import Final, Self

from booktape.sim.faults import parse
from booktape.sim.faults.actions import Moment, Send, Step
from booktape.sim.faults.conditions import Attempt, Delivery
from booktape.sim.faults.connections import Lifetime
from booktape.sim.faults.kinds import (
    ConnectionFault,
    Fault,
    MarketFault,
    MessageFault,
    RequestFault,
)
from booktape.sim.faults.market import MarketFaults
from booktape.sim.faults.replies import Old, Outcome
from booktape.sim.faults.requests import AnswerFault

_TOML: Final = ".toml"
_EVENTS_PER_S: Final = 10


@dataclass(frozen=True)
class Faults:
    """All faults of one host, in order.

    `second` are those of an exchange's second host, where they differ.
    """

    faults: tuple[Fault, ...] = ()
    second: tuple[Fault, ...] | None = None

    @classmethod
    def of(cls, *faults: Fault) -> Self:
        """These faults."""
        return cls(faults)

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Self:
        """The faults of a script (a path that ends in .toml), or those that a short text names.

        Raises UsageError, whose sentence names what cannot be read.
        """
        if text.endswith(_TOML):
            return cls(*parse.load_script(Path(text), seed))
        return cls(parse.read_text(text, seed))

    def of_second_host(self) -> Self:
        """The faults of the second host."""
        return type(self)(self.faults if self.second is None else self.second)

    def outcome(self, attempt: Attempt) -> Outcome | None:
        """The first outcome that a fault has for this request or handshake."""
        requests = (fault for fault in self.faults if isinstance(fault, RequestFault))
        return next((found for fault in requests if (found := fault.outcome(attempt))), None)

    def steps_for(self, connection: int) -> list[Step]:
        """What will happen to this connection, counted from its opening."""
        lifetimes = (fault for fault in self.faults if isinstance(fault, Lifetime))
        return [step for fault in lifetimes for step in fault.steps(connection)]

    def apply(self, delivery: Delivery) -> list[Step]:
        """What becomes of one message: each fault changes what the one before it left."""
        steps: list[Step] = [Send(delivery.payload)]
        for fault in self._message_faults:
            steps = fault.apply(delivery, steps)
        return steps

    def timetable(self) -> Iterator[Moment]:
        """All timetables as one, in the order of time; perhaps without end."""
        tables = (fault.timetable() for fault in self.faults if isinstance(fault, ConnectionFault))
        return merge(*tables, key=lambda moment: moment.at_s)

    @property
    def change_messages(self) -> bool:
        """Whether any fault changes messages. Without one `apply` need not be called."""
        return bool(self._message_faults)

    @cached_property
    def market(self) -> MarketFaults:
        """What happens to the market itself."""
        answers = (fault for fault in self.faults if isinstance(fault, AnswerFault))
        old = (one for fault in answers for one in fault.outcomes if isinstance(one, Old))
        memory = (max(one.events, ceil(one.seconds * _EVENTS_PER_S) + 1) for one in old)
        faults = tuple(fault for fault in self.faults if isinstance(fault, MarketFault))
        return MarketFaults(faults, max(memory, default=0))

    @cached_property
    def _message_faults(self) -> list[MessageFault]:
        return [fault for fault in self.faults if isinstance(fault, MessageFault)]
