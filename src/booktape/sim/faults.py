"""All faults of one exchange: a sequence of lies. Without any, the exchange is honest.

Faults.of(Drop(randomly(0.01)), Close(message_number(100), abrupt=True))
Faults.parse("drop=0.01,cut=100msg")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from booktape.errors import UsageError
from booktape.sim.conditions import Attempt, Delivery, at_door, during, message_number, randomly
from booktape.sim.lies import (
    Close,
    Cut,
    Drop,
    Lie,
    Lifetime,
    Refuse,
    RestError,
    RestLie,
    Send,
    Step,
)


@dataclass(frozen=True)
class Faults:
    """All lies of one exchange, asked in order."""

    lies: tuple[Lie, ...] = ()

    @classmethod
    def of(cls, *lies: Lie) -> Faults:
        """These lies."""
        return cls(lies)

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Faults:
        """The faults that a text names, comma-separated; none for an empty text.

        drop=P            lose a message with probability P, on each connection on its own
        close=S           end each connection with a close frame after S seconds
        close=Nmsg        … after N messages
        cut=S, cut=Nmsg   the same without a goodbye
        refuse=P          reset a new connection or REST request with probability P
        outage=A-B        reset all of them from second A to second B after the exchange opened
        rest-error=P      answer a REST request with 500, 503, 429, 418 or half a body, with
                          probability P

        Raises UsageError, whose sentence names the part that cannot be read.
        """
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return cls(tuple(_lie(part, seed) for part in parts))

    def refuses(self, attempt: Attempt) -> bool:
        """Whether any lie refuses."""
        return any(lie.refuses(attempt) for lie in self.lies)

    def lifetime(self, connection: int) -> tuple[float, Cut] | None:
        """The first end that any lie has in mind."""
        ends = [end for lie in self.lies if (end := lie.lifetime(connection))]
        return min(ends, key=lambda end: end[0], default=None)

    def sends(self, delivery: Delivery) -> list[Step]:
        """What becomes of one message: each lie works on what the one before it left."""
        steps: list[Step] = [Send(delivery.payload)]
        for lie in self.lies:
            steps = lie.sends(delivery, steps)
        return steps

    def answers(self, attempt: Attempt) -> RestLie | None:
        """The first lie that any has to tell."""
        return next((told for lie in self.lies if (told := lie.answers(attempt))), None)


# ── from text ───────────────────────────────────────────────────────────────────────────────

_MESSAGES: Final = "msg"


def _lie(part: str, seed: int) -> Lie:
    name, _, value = part.partition("=")
    if name not in _LIES:
        raise UsageError(f"{part!r} is not a fault. There are: {', '.join(sorted(_LIES))}.")
    try:
        return _LIES[name](value, seed)
    except ValueError as error:
        raise UsageError(f"The fault {part!r} cannot be read: {error}.") from error


def _probability(value: str) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError("a probability lies between 0 and 1")
    return number


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not a number") from error
    if not 0 <= number < float("inf"):
        raise ValueError(f"{value!r} is not a finite number from 0 up")
    return number


def _end(value: str, *, abrupt: bool) -> Lie:
    if not value.endswith(_MESSAGES):
        return Lifetime(_number(value), abrupt)
    count = value.removesuffix(_MESSAGES)
    if not count.isdecimal() or not int(count):
        raise ValueError(f"{count!r} is not a number of messages")
    return Close(message_number(int(count)), abrupt)


def _outage(value: str) -> Lie:
    start, dash, end = value.partition("-")
    if not dash or _number(start) >= _number(end):
        raise ValueError("an outage is two seconds, such as 10-25")
    return Refuse(during(float(start), float(end)))


_LIES: Final[Mapping[str, Callable[[str, int], Lie]]] = MappingProxyType(
    {
        "drop": lambda value, seed: Drop(randomly(_probability(value), seed)),
        "close": lambda value, _: _end(value, abrupt=False),
        "cut": lambda value, _: _end(value, abrupt=True),
        "refuse": lambda value, seed: Refuse(at_door(_probability(value), seed, "refuse")),
        "outage": lambda value, _: _outage(value),
        "rest-error": lambda value, seed: RestError(at_door(_probability(value), seed, "rest")),
    }
)
