"""When a lie is told: what the built-in exchange looks at, and predicates over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

from booktape.core.events import DepthEvent


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message about to be sent to one client.

    `connection` counts connections from 0; `message_number` counts this connection's messages and
    `event_number` this stream's messages since the exchange began, both from 1. `event` is None
    for whatever is no depth event.
    """

    connection: int
    message_number: int
    event_number: int
    stream: str
    event: DepthEvent | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """A client at the door: the `number`-th (from 0) of its kind, `age_s` after the exchange opened.

    `kind` is "ws" or "rest"; `symbol` is None where a REST request names none.
    """

    kind: str
    number: int
    age_s: float
    path: str = ""
    symbol: str | None = None


StreamCondition: TypeAlias = Callable[[Delivery], bool]
DoorCondition: TypeAlias = Callable[[Attempt], bool]


def chance(seed: int, *about: object) -> float:
    """A number from 0 up to 1 that depends on nothing but its arguments."""
    digest = blake2b(repr((seed, *about)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 2**56


def randomly(probability: float, seed: int = 0) -> StreamCondition:
    """A message now and then, decided for each connection on its own."""
    return lambda sent: (
        chance(seed, "message", sent.connection, sent.stream, sent.event_number) < probability
    )


def at_door(probability: float, seed: int = 0, lie: str = "") -> DoorCondition:
    """A client at the door now and then; `lie` keeps the chances of several lies apart."""
    return lambda attempt: chance(seed, lie, attempt.kind, attempt.number) < probability


def contains_id(symbol: str, update_id: int) -> StreamCondition:
    """The event of this symbol that contains this update id, on every connection."""
    return lambda sent: (
        sent.event is not None
        and sent.event.symbol == symbol
        and sent.event.first_id <= update_id <= sent.event.last_id
    )


def event_number(symbol: str, *numbers: int) -> StreamCondition:
    """These events of this symbol, counted from 1 since the exchange began, on every connection."""
    return lambda sent: (
        sent.event is not None and sent.event.symbol == symbol and sent.event_number in numbers
    )


def message_number(number: int, *, connection: int | None = None) -> StreamCondition:
    """The `number`-th message (from 1) of one connection (counted from 0), or of each."""
    return lambda sent: sent.message_number == number and connection in {None, sent.connection}


def during(start_s: float, end_s: float) -> DoorCondition:
    """Everybody who comes within these seconds of real time after the exchange opened."""
    return lambda attempt: start_s <= attempt.age_s < end_s
