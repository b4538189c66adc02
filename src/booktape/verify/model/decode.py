"""Decodes the exchange's bytes with the standard library's JSON.

A malformed message is None. As for the recorder, it does not change the book, and the ids of the next event
show whether an event was lost with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from math import isfinite
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from booktape.verify.model.decimals import Malformed, Number, number, price, whole

Levels: TypeAlias = list[tuple[Number, Number]]

UNOPENED: Final = -1
"""The id of a snapshot of a symbol that has not opened yet: its book is known to be empty."""

_TIME_MAX: Final = 10**16  # microseconds, in the year 2286
_MICROSECONDS_FROM: Final = 10**14
_DEPTH_MAX: Final = 100
_LONG_BYTES: Final = 1 << 20
_BRACKETS_MAX: Final = 500_000
_WRAPPER: Final = frozenset({"stream", "data"})
_FORMS: Final = frozenset(
    {
        frozenset("eEsUuba"),
        frozenset({"lastUpdateId", "bids", "asks"}),
        frozenset("usbBaA"),
        frozenset("eEstpqTmM"),
    }
)

_TOP, _TICKER, _TRADE = "@depth20@", "@bookTicker", "@trade"


class Object(dict[str, Any]):
    """A JSON object. To read a field that it does not have raises Malformed."""

    def __missing__(self, name: str) -> NoReturn:
        raise Malformed(f"it has no {name}")


class Event(NamedTuple):
    """A `depthUpdate`."""

    symbol: str
    time_us: int
    first: int
    last: int
    bids: Levels
    asks: Levels


class Answer(NamedTuple):
    """Levels as of one id: a REST `/depth` answer, or one message of `@depth20`."""

    last: int
    bids: Levels
    asks: Levels


class Top(NamedTuple):
    """One message of `@depth20`."""

    symbol: str
    answer: Answer


class Ticker(NamedTuple):
    """One message of `@bookTicker`: at most one level a side."""

    symbol: str
    last: int
    bids: Levels
    asks: Levels


class Trade(NamedTuple):
    """One trade, of the stream `@trade` or of a REST `/historicalTrades` answer, which has no time of the event."""

    symbol: str
    id: int
    price: Number
    size: Number
    event_us: int | None
    time_us: int
    buyer_is_maker: bool


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _decimal(text: str) -> Decimal:
    if not isfinite(float(text)):
        raise ValueError(f"{text[:40]} is larger than any double")
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)  # its exponent is below those of decimals and of doubles


def _int(text: str) -> int:
    if not isfinite(float(text)):
        raise ValueError(f"{text[:40]} is larger than any double")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> Object:
    found = Object(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


_decode = json.JSONDecoder(
    parse_float=_decimal,
    parse_int=_int,
    parse_constant=_no_constant,
    object_pairs_hook=_once,
).decode


def parse(text: bytes) -> object:
    """JSON with its numbers as they are written, by the rule for odd JSON (docs/protocol.md).

    Raises ValueError, or RecursionError.
    """
    found = _decode(text.decode())
    if b"\\u" in text or not _is_usual(found):
        _check(found, 1)
    return found


def _is_usual(found: object) -> bool:
    """Whether it has exactly the fields of a known form: then decoding checks everything."""
    if isinstance(found, dict) and found.keys() == _WRAPPER:
        return isinstance(found["stream"], str) and _is_usual(found["data"])
    return isinstance(found, dict) and frozenset(found) in _FORMS


def _check(value: object, depth: int) -> None:
    """Raises ValueError for what is nested too deep, and for half of a surrogate pair."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict | list):
        if depth > _DEPTH_MAX:
            raise ValueError("nested too deep")
        for each in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(each, depth + 1)


def parse_any(text: bytes) -> object:
    """The same for any bytes: None for what is no such JSON."""
    try:
        return parse(text)
    except (ValueError, RecursionError):
        return None


def parse_message(text: bytes) -> object:
    """The same for bytes that the exchange sent: None also for a message with too many brackets."""
    if len(text) > _LONG_BYTES and text.count(b"[") + text.count(b"{") > _BRACKETS_MAX:
        return None
    return parse_any(text)


def stream_message(message: object) -> Event | Top | Ticker | Trade | None:
    """A WebSocket message, raw or in the wrapper of a combined stream; witnesses and trades wrapped only."""
    if not isinstance(message, Object):
        return None
    stream, data = message.get("stream"), message.get("data")
    try:
        name = stream if isinstance(stream, str) else ""
        if _TOP in name:
            return Top(name.partition("@")[0].upper(), _answer(data))
        if _TICKER in name:
            return _ticker(data)
        inner = _object(message if data is None else data)
        is_trade = name.endswith(_TRADE) and inner.get("e") == "trade"
        return _trade(inner) if is_trade else _event(inner)
    except Malformed:
        return None


def depth_answer(message: object, *, may_be_unopened: bool = False) -> Answer | None:
    """A REST `/depth` answer; None for an error page, half a body and the like.

    On a tape of format 1 the answer for a symbol that has not opened yet is None, too.
    """
    unopened = {"lastUpdateId": UNOPENED, "bids": [], "asks": []}
    try:
        found = _object(message)
        if may_be_unopened and unopened == {name: found.get(name) for name in unopened}:
            return Answer(UNOPENED, [], [])
        return _answer(found)
    except Malformed:
        return None


def _event(data: Object) -> Event | None:
    # Known weakness, shared with the recorder: an object with all fields but `e` counts as an event.
    if data.get("e", "depthUpdate") != "depthUpdate":
        return None
    time_us, first, last = _time_us(data["E"]), whole(data["U"]), whole(data["u"])
    bids, asks = levels_of(data["b"]), levels_of(data["a"])
    return Event(_name(data["s"]), time_us, first, last, bids, asks) if first <= last else None


def _answer(data: object) -> Answer:
    data = _object(data)
    return Answer(whole(data["lastUpdateId"]), levels_of(data["bids"]), levels_of(data["asks"]))


def _ticker(data: object) -> Ticker:
    data = _object(data)
    bids, asks = (_best(number(data[p]), number(data[s])) for p, s in ("bB", "aA"))
    return Ticker(_name(data["s"]), whole(data["u"]), bids, asks)


def _best(price: Number, size: Number) -> Levels:
    """A best level; a size of zero is none."""
    return [(price, size)] if size.value else []


def _trade(data: Object) -> Trade:
    return Trade(
        _name(data["s"]),
        whole(data["t"]),
        price(data["p"]),
        number(data["q"]),
        _time_us(data["E"]),
        _time_us(data["T"]),
        _flag(data["m"]),
    )


def trades_answer(message: object, symbol: str, from_id: int) -> list[Trade]:
    """A REST `/historicalTrades` answer; nothing for an error page, and where ids do not grow from `from_id` on."""
    if not isinstance(message, list):
        return []
    try:
        trades = [_answered_trade(symbol, each) for each in message]
    except Malformed:
        return []
    grows = all(one.id < other.id for one, other in pairwise(trades))
    return trades if grows and (not trades or trades[0].id >= from_id) else []


def _answered_trade(symbol: str, data: object) -> Trade:
    data = _object(data)
    return Trade(
        symbol,
        whole(data["id"]),
        price(data["price"]),
        number(data["qty"]),
        None,
        _time_us(data["time"]),
        _flag(data["isBuyerMaker"]),
    )


def _time_us(written: object) -> int:
    time = whole(written, _TIME_MAX)
    return time if time >= _MICROSECONDS_FROM else time * 1_000


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise Malformed(repr(value))
    return value


def best_levels(texts: object) -> tuple[Levels, Levels] | None:
    """The best levels of one symbol in a pulse, at most one a side. None for values that make no sense."""
    if not isinstance(texts, list) or len(texts) != 4:  # noqa: PLR2004 - price and size of two sides
        return None
    try:
        bid, bid_size, ask, ask_size = map(number, texts)
    except Malformed:
        return None
    sides = _best(bid, bid_size), _best(ask, ask_size)
    return sides if all(price.double for side in sides for price, _ in side) else None


def _object(value: object) -> Object:
    if not isinstance(value, Object):
        raise Malformed(repr(value))
    return value


def _name(symbol: object) -> str:
    if not isinstance(symbol, str) or not symbol:
        raise Malformed(repr(symbol))
    return symbol


def levels_of(pairs: object, size: Callable[[object], Number] = number) -> Levels:
    """A list of pairs of a price and a size. Raises Malformed."""
    if not isinstance(pairs, list):
        raise Malformed(repr(pairs))
    found = []
    for level in pairs:
        if not isinstance(level, list) or len(level) != 2:  # noqa: PLR2004 - a price and a size
            raise Malformed(repr(level))
        found.append((price(level[0]), size(level[1])))
    return found
