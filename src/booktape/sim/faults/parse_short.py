"""Faults from a short text, such as `drop=0.01,cut=100msg`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Final

from booktape.errors import UsageError
from booktape.sim.faults.conditions import message_number
from booktape.sim.faults.connections import Outage
from booktape.sim.faults.messages import Close, Fault, Lifetime
from booktape.sim.faults.parse import KINDS, SEEDS_PER_SCRIPT, make

_MESSAGES: Final = "msg"
_BY_PROBABILITY: Final = (
    *("drop", "repeat", "garbage", "refuse", "hang", "html", "half", "truncate"),
    *("status", "too-fast", "rest-error", "hide", "wrong-event", "wrong-snapshot", "stale-witness"),
)


def read(text: str, seed: int) -> tuple[Fault, ...]:
    """The lies that the text names, in order. Raises UsageError naming the part that is wrong."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(
        _lie(part, seed * SEEDS_PER_SCRIPT + number) for number, part in enumerate(parts, 1)
    )


def _lie(part: str, seed: int) -> Fault:
    name, _, value = part.partition("=")
    if name not in _LIES:
        raise UsageError(f"{part!r} is not a fault. There are: {', '.join(sorted(_LIES))}.")
    try:
        return _LIES[name](value, seed)
    except ValueError as error:
        raise UsageError(f"The fault {part!r} cannot be read: {error}.") from error


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not a number") from error
    if not isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return number


def _single(kind: str, field: str) -> Callable[[str, int], Fault]:
    """A kind of which one number is told."""
    return lambda value, seed: make(KINDS[kind], {field: _number(value)}, seed)


def _end(value: str, *, abrupt: bool) -> Fault:
    if not value.endswith(_MESSAGES):
        return _lifetime(value, abrupt=abrupt)
    count = value.removesuffix(_MESSAGES)
    if not (count.isascii() and count.isdecimal() and int(count)):
        raise ValueError(f"{count!r} is not a number of messages")
    return Close(message_number(int(count)), abrupt)


def _lifetime(value: str, *, abrupt: bool) -> Fault:
    """Each connection's end after so many seconds."""
    return make(Lifetime, {"seconds": _number(value), "abrupt": abrupt}, 0)


def _outage(value: str) -> Fault:
    start, dash, end = value.partition("-")
    if not dash:
        raise ValueError("an outage is two seconds, such as 10-25")
    return make(Outage, {"start_s": _number(start), "end_s": _number(end)}, 0)


_LIES: Final[Mapping[str, Callable[[str, int], Fault]]] = MappingProxyType(
    {name: _single(name, "probability") for name in _BY_PROBABILITY}
    | {
        "close": lambda value, _: _end(value, abrupt=False),
        "cut": lambda value, _: _end(value, abrupt=True),
        "cuts": _single("cuts", "every_s"),
        "stale": _single("stale", "seconds"),
        "shutdown": _single("server-shutdown", "at_s"),
        "outage": lambda value, _: _outage(value),
    }
)
