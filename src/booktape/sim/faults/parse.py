"""Faults from a TOML script, or from a short text such as `drop=0.01,cut=100msg`.

A script is a list of `[[fault]]` tables. A table's keys are the parameters of its kind and, if one of those is a
condition (`when`), the parameters of the condition.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias, get_type_hints

import msgspec

from booktape.errors import UsageError
from booktape.sim.faults import connections, market, messages, requests, undetectable
from booktape.sim.faults.conditions import Attempts, Messages, RequestCondition, StreamCondition
from booktape.sim.faults.fault import Fault, Faults, MarketFault
from booktape.store.toml_file import read_toml

Kind: TypeAlias = Callable[..., Fault]
_Entry: TypeAlias = tuple[int | None, Fault]
"""The host (1 or 2) that alone has the fault, or None for both, and the fault."""

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "drop": messages.Drop,
        "gap": messages.LostMessages,
        "deaf": messages.Deaf,
        "repeat": messages.Repeat,
        "delay": messages.Delay,
        "stall": messages.Stall,
        "garbage": messages.Garbage,
        "close": messages.Close,
        "cut": connections.CutAt,
        "cuts": connections.Cuts,
        "lifetime": connections.Lifetime,
        "half-open": connections.HalfOpen,
        "server-shutdown": connections.ServerShutdown,
        "outage": connections.Outage,
        "refuse": requests.refuse,
        "hang": requests.hang,
        "status": requests.status,
        "too-fast": requests.too_fast,
        "firewall": requests.firewall,
        "html": requests.html,
        "slow": requests.slow,
        "half": requests.half,
        "truncate": requests.cut_off,
        "stale": requests.stale,
        "rest-error": requests.rest_error,
        "wrong-snapshot": undetectable.wrong_snapshot,
        "hide": undetectable.Hide,
        "wrong-event": undetectable.WrongEvent,
        "stale-witness": undetectable.StaleWitness,
        "halt": market.Halt,
        "delist": market.Delist,
        "list": market.NewListing,
        "ids-reset": market.IdsReset,
        "tick-size": market.TickSize,
        "cap": market.Cap,
        "cross": market.Cross,
        "fall": market.Fall,
        "huge": market.Huge,
        "clock-step": market.ClockStep,
    }
)

_CONDITIONS: Final[Mapping[object, type[Messages | Attempts]]] = MappingProxyType(
    {StreamCondition: Messages, Messages: Messages, RequestCondition: Attempts}
)
"""What a parameter `when` of this type is made from."""

SILENT: Final = frozenset({"deaf", "ids-reset"})
"""Faults that need not show in anything sent afterwards: the stream then looks like that of a quiet market."""

SEEDS_PER_SCRIPT: Final = 1_000
"""An entry's seed is the user's seed times this, plus its number: so each entry has chances of its own."""


def parse_faults(text: str, seed: int = 0) -> Faults:
    """The faults that a script (a path that ends in .toml) or a short text gives to an exchange with one host.

    Raises UsageError that names the part that cannot be read.
    """
    return parse_hosts(text, seed)[0]


def parse_hosts(text: str, seed: int = 0) -> tuple[Faults, Faults]:
    """The faults that such a text gives to the first and to the second host of an exchange. Raises as `parse_faults`."""
    if text.endswith(".toml"):
        entries = _read_script(Path(text), seed * SEEDS_PER_SCRIPT)
    else:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        numbered = enumerate(parts, seed * SEEDS_PER_SCRIPT + 1)
        entries = [(None, _part(part, number)) for number, part in numbered]
    return _of_host(1, entries), _of_host(2, entries)


def _of_host(host: int, entries: list[_Entry]) -> Faults:
    return Faults(tuple(fault for only_on, fault in entries if only_on in {None, host}))


# ── scripts ─────────────────────────────────────────────────────────────────────────────────────


def _read_script(path: Path, seed: int) -> list[_Entry]:
    script = read_toml(path)
    entries = script.pop("fault", [])
    if script or not isinstance(entries, list):
        raise UsageError(f"{path} holds something other than [[fault]] tables.")
    return [
        _entry(f"{path}, fault {number}", entry, seed + number)
        for number, entry in enumerate(entries, 1)
    ]


def _entry(where: str, entry: object, seed: int) -> _Entry:
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is not a table: write [[fault]].")
    values = dict(entry)
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise UsageError(f"{where}: kind {kind!r} is not one of {', '.join(sorted(KINDS))}.")
    host = values.pop("host", None)
    try:
        fault = make(KINDS[kind], values, seed)
    except ValueError as error:
        raise UsageError(f"{where} ({kind}): {error}.") from error
    if host not in (None, 1, 2):
        raise UsageError(f"{where} ({kind}): 'host' is 1 or 2, not {host!r}.")
    if host and isinstance(fault, MarketFault):
        raise UsageError(f"{where} ({kind}): it happens to the market, and takes no 'host'.")
    return host, fault


def make(kind: Kind, values: Mapping[str, Any], seed: int) -> Fault:
    """One fault from plain values. Raises ValueError saying which value is wrong, and why."""
    own, condition = keys_of(kind), condition_of(kind)
    known = own | (keys_of(condition) if condition else set())
    if unknown := values.keys() - known:
        raise ValueError(
            f"there is no key {min(unknown)!r}; the keys are {', '.join(sorted(known))}"
        )
    values = {"seed": seed, **values}
    if condition is None:
        return kind(**_checked(kind, values))
    return kind(when=condition(**_checked(condition, values)), **_checked(kind, values))


def keys_of(kind: Callable[..., object]) -> set[str]:
    """The parameters of a kind or a condition that a script can set."""
    return set(inspect.signature(kind).parameters) - {"when"}


def condition_of(kind: Kind) -> type[Messages | Attempts] | None:
    """What the parameter `when` of this kind is made from, if it has one."""
    return _CONDITIONS.get(get_type_hints(kind).get("when"))


def _checked(kind: Callable[..., object], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are parameters of this kind, each checked against its type."""
    hints = get_type_hints(kind, include_extras=True)
    checked = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        value = values.get(name)
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{name!r} is not finite")
        if name in values:
            try:
                checked[name] = msgspec.convert(value, type=hints[name])
            except msgspec.ValidationError as error:
                raise ValueError(f"{name!r}: {error}") from error
        elif parameter.default is parameter.empty and name != "when":
            raise ValueError(f"it needs {name!r}")
    return checked


# ── short texts ─────────────────────────────────────────────────────────────────────────────────


_BY_PROBABILITY: Final = (
    *("drop", "repeat", "garbage", "refuse", "hang", "html", "half", "truncate"),
    *("status", "too-fast", "rest-error", "hide", "wrong-event", "wrong-snapshot", "stale-witness"),
)
_NUMBERS: Final = MappingProxyType(
    {name: (name, "probability") for name in _BY_PROBABILITY}
    | {
        "cuts": ("cuts", "every_s"),
        "stale": ("stale", "seconds"),
        "shutdown": ("server-shutdown", "at_s"),
        "close": ("lifetime", "seconds"),
        "cut": ("lifetime", "seconds"),
    }
)
"""For each name in a short text that takes one number: the kind, and the key of that number."""

_MESSAGES: Final = "msg"


def _part(part: str, seed: int) -> Fault:
    name, _, value = part.partition("=")
    if name not in _NUMBERS and name != "outage":
        names = ", ".join(sorted([*_NUMBERS, "outage"]))
        raise UsageError(f"{part!r} is not a fault. There are: {names}.")
    try:
        if name == "outage":
            return _outage(value)
        if name in {"close", "cut"} and value.endswith(_MESSAGES):
            return _close_after(value.removesuffix(_MESSAGES), is_abrupt=name == "cut")
        kind, key = _NUMBERS[name]
        more = {"abrupt": True} if name == "cut" else {}
        return make(KINDS[kind], {key: _number(value)} | more, seed)
    except ValueError as error:
        raise UsageError(f"The fault {part!r} cannot be read: {error}.") from error


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not a number") from error


def _close_after(count: str, *, is_abrupt: bool) -> Fault:
    """Ends each connection after this number of messages."""
    if not (count.isascii() and count.isdecimal() and int(count)):
        raise ValueError(f"{count!r} is not a number of messages")
    return messages.Close(lambda delivery: delivery.number_on_connection == int(count), is_abrupt)


def _outage(value: str) -> Fault:
    start, dash, end = value.partition("-")
    if not dash:
        raise ValueError("an outage has a start and an end in seconds, such as 10-25")
    return make(connections.Outage, {"start_s": _number(start), "end_s": _number(end)}, 0)
