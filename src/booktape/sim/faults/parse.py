"""Faults from a TOML file: a list of `[[fault]]` tables, each one lie.

    [[fault]]
    kind = "delay"
    seconds = 0.4
    start_s = 10
    end_s = 20
    connection = 0
    of = 2

The keys are the fields of the kind's class and, where that asks for a condition, of the condition.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from booktape.errors import UsageError
from booktape.sim.faults import connections, garbage, market, messages, requests, undetectable
from booktape.sim.faults.messages import Fault

KINDS: Final[Mapping[str, type[Fault]]] = MappingProxyType(
    {
        "drop": messages.Drop,
        "gap": messages.Gap,
        "deaf": messages.Deaf,
        "repeat": messages.Repeat,
        "delay": messages.Delay,
        "stall": messages.Stall,
        "garbage": garbage.Garbage,
        "close": messages.Close,
        "cut": connections.CutAt,
        "cuts": connections.Cuts,
        "lifetime": messages.Lifetime,
        "half-open": connections.HalfOpen,
        "server-shutdown": connections.ServerShutdown,
        "outage": connections.Outage,
        "refuse": requests.Refuse,
        "hang": requests.HangUp,
        "status": requests.Status,
        "too-fast": requests.TooFast,
        "firewall": requests.Firewall,
        "html": requests.Html,
        "slow": requests.Slow,
        "half": requests.Half,
        "truncate": requests.Truncate,
        "stale": requests.Stale,
        "rest-error": requests.RestError,
        "wrong-snapshot": undetectable.WrongSnapshot,
        "hide": undetectable.Hide,
        "wrong-event": undetectable.WrongEvent,
        "stale-witness": undetectable.StaleWitness,
        "halt": market.Halt,
        "delist": market.Delist,
        "list": market.NewListing,
        "ids-reset": market.IdsReset,
        "tick-size": market.TickSize,
        "cap": market.Cap,
        "fall": market.Fall,
        "huge": market.Huge,
        "clock-step": market.ClockStep,
    }
)

SILENT: Final = frozenset({"deaf", "ids-reset"})
"""Faults that nothing sent afterwards need betray: after them a stream looks like a quiet market's."""

_T = TypeVar("_T")

SEEDS_PER_SCRIPT: Final = 1_000
"""So that each entry has chances of its own, however many others stand before it."""


def load(path: Path, seed: int) -> tuple[tuple[Fault, ...], tuple[Fault, ...] | None]:
    """The lies of a script: of the first host, and of the second one, where it tells them apart.

    Raises UsageError naming the file, the entry and what is wrong.
    """
    try:
        script = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}.") from error
    entries = script.pop("fault", [])
    if script or not isinstance(entries, list):
        raise UsageError(f"{path} holds something else than [[fault]] tables.")
    told = [
        _entry(path, number, entry, seed * SEEDS_PER_SCRIPT + number)
        for number, entry in enumerate(entries, 1)
    ]
    first, second = (
        tuple(lie for host, lie in told if host in {None, wanted}) for wanted in (1, 2)
    )
    return first, None if first == second else second


def _entry(path: Path, number: int, entry: object, seed: int) -> tuple[int | None, Fault]:
    where = f"{path}, fault {number}"
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is not a table: write [[fault]].")
    values = dict(entry)
    kind = values.pop("kind", None)
    if kind not in KINDS:
        raise UsageError(f"{where}: kind {kind!r} is none of {', '.join(sorted(KINDS))}.")
    host = values.pop("host", None)
    try:
        _check_host(KINDS[kind], host)
        return host, make(KINDS[kind], values, seed)
    except ValueError as error:
        raise UsageError(f"{where} ({kind}): {error}.") from error


def _check_host(kind: type[Fault], host: object) -> None:
    """Raises ValueError for one that is not there, or of which it makes no sense to speak."""
    if host is None:
        return
    if host not in {1, 2}:
        raise ValueError(f"'host' is 1 or 2, not {host!r}")
    if issubclass(kind, market.MarketFault):
        raise ValueError(  # noqa: TRY004 - it is the script's value that is wrong
            "it happens to the market, and takes no 'host'"
        )


def make(kind: type[Fault], values: dict[str, Any], seed: int) -> Fault:
    """One lie from plain values. Raises ValueError saying which value is wrong, and why."""
    own = keys_of(kind)
    condition = keys_of(kind.condition) if "when" in own else set()
    unknown = values.keys() - own - condition
    if unknown or "when" in values:
        known = ", ".join(sorted((own | condition) - {"when"}))
        raise ValueError(f"there is no {min(unknown, default='when')!r}; there is: {known}")
    values = {"seed": seed} | values
    rest = {key: values[key] for key in own & values.keys()}
    if not condition:
        return _built(kind, rest)
    chosen = {key: values[key] for key in condition & values.keys()}
    return _built(kind, rest, when=_built(kind.condition, chosen))


def keys_of(kind: type[Any]) -> set[str]:
    """The fields of a lie or a condition."""
    return {field.name for field in _fields(kind)}


def _fields(kind: type[Any]) -> tuple[Field[Any], ...]:
    """Lies and conditions are dataclasses, all that a script can name."""
    return fields(kind)


def _built(kind: type[_T], values: dict[str, Any], **ready: object) -> _T:
    """An instance, each value checked against its field's type."""
    for field in _fields(kind):
        absent = field.default is MISSING and field.name not in values.keys() | ready.keys()
        if absent:
            raise ValueError(f"it needs {field.name!r}")
    hints = get_type_hints(kind, include_extras=True)
    checked = {name: _checked(name, value, hints[name]) for name, value in values.items()}
    return kind(**checked, **ready)


def _checked(name: str, value: object, hint: object) -> object:
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{name!r} is not finite")
    try:
        return msgspec.convert(value, type=hint)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name!r}: {error}") from error
