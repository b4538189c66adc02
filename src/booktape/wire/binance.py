"""Bytes → values: depth events and snapshots. wire/witness.py and wire/trades.py have the other streams.

A raw event, and one inside the wrapper of a combined stream:

    {"e":"depthUpdate","E":1780861677414,"s":"BTCUSDT","U":157,"u":160,
     "b":[["61222.00000000","0.88634000"]],"a":[["61224.53000000","0.00000000"]]}
    {"stream":"btcusdt@depth@100ms","data":{…}}

Numbers are strings, which msgspec converts directly to the nearest double. The declared types accept
only finite, non-negative numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from booktape.core.events import (
    DepthEvent,
    DepthSnapshot,
    ServerShutdown,
    UnknownEvent,
)
from booktape.core.trades import Trade
from booktape.errors import MalformedFrame
from booktape.wire.json_rules import (
    LONG_BYTES,
    UNREADABLE,
    count_colons,
    decode_object,
    refuse_bloated,
)
from booktape.wire.numbers import Id, Levels, Time, time_us
from booktape.wire.trades import decode_trade, decode_usual_trade, is_trade_stream
from booktape.wire.witness import (
    NAME_BYTES,
    WitnessMessage,
    decode_witness,
    decoder_of,
    kind_of,
)

Event: TypeAlias = DepthEvent | WitnessMessage | Trade | ServerShutdown | UnknownEvent


class _DepthUpdate(Struct, forbid_unknown_fields=True):
    e: Literal["depthUpdate"]
    E: Time
    s: Annotated[str, Meta(min_length=1)]
    U: Id
    u: Id
    b: Levels
    a: Levels


class _AnyDepthUpdate(Struct):
    """An event with more fields than those above, or without `e`."""

    E: Time
    s: Annotated[str, Meta(min_length=1)]
    U: Id
    u: Id
    b: Levels
    a: Levels


class _Combined(Struct, forbid_unknown_fields=True):
    stream: str
    data: _DepthUpdate


class _Depth(Struct, rename="camel"):
    last_update_id: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
    bids: Levels
    asks: Levels


_combined = msgspec.json.Decoder(_Combined, strict=False)
_raw = msgspec.json.Decoder(_DepthUpdate, strict=False)
_depth = msgspec.json.Decoder(_Depth, strict=False)
_WRAPPED: Final = b'{"stream"'
_DEPTH_STREAM: Final = b"@depth@"
_TRADE_STREAM: Final = b'@trade"'

# The number of keys, and so of colons, in a message that follows the exchange's form.
_RAW_KEYS: Final = 7
_COMBINED_KEYS: Final = 9
_DEPTH_KEYS: Final = 3


def decode_event(payload: bytes) -> Event:
    """Decode one WebSocket message.

    Raises MalformedFrame for anything that is not JSON by the rule of wire/json_rules.py, and for a message that
    calls itself a `depthUpdate` but does not have its form. Known weakness: a malformed witness message or trade
    counts as an unknown event and is logged once. After that, only the missing `checks` or the hole in the trades
    shows it. If such messages counted as malformed, they would fill hundreds of log lines a second, and their
    connection would be replaced although its events may be good.
    """
    if len(payload) > LONG_BYTES:
        refuse_bloated(payload)
    try:
        # Nearly always a wrapped depth event, decoded in one pass. msgspec silently keeps one of two equal keys and
        # skips unknown keys. The number of colons shows that each key is there exactly once, and no other key.
        # `find` with bounds avoids a copy.
        if payload.find(_DEPTH_STREAM, 0, NAME_BYTES) > 0:
            combined = _combined.decode(payload)
            if count_colons(payload) == _COMBINED_KEYS and kind_of(combined.stream) is None:
                return _depth_event(combined.data)
        elif payload.startswith(_WRAPPED):
            decode: Callable[[bytes], Event | None] | None = decoder_of(payload)
            if decode is None and payload.find(_TRADE_STREAM, 0, NAME_BYTES) > 0:
                decode = decode_usual_trade
            other = decode(payload) if decode else None
            if other:
                return other
        else:
            update = _raw.decode(payload)
            if count_colons(payload) == _RAW_KEYS:
                return _depth_event(update)
    except UNREADABLE:
        pass  # another kind of message, or not a message at all
    return _decode_slowly(payload)


def _decode_slowly(payload: bytes) -> Event:
    """Decode any other message, or raise a MalformedFrame that says what is wrong."""
    message = decode_object(payload)
    stream, data = message.get("stream"), message.get("data")
    witness = kind_of(stream) if isinstance(stream, str) else None
    inner = message if data is None else data
    if not isinstance(inner, dict):
        raise MalformedFrame(f"its data is not an object: {_excerpt(payload)}")
    kind = inner.get("e", "depthUpdate")
    try:
        if witness:
            return decode_witness(witness, message)
        if kind == "depthUpdate":
            return _depth_event(msgspec.convert(inner, _AnyDepthUpdate, strict=False))
        if kind == "trade" and is_trade_stream(stream):
            return decode_trade(inner)
    except msgspec.ValidationError as error:
        if kind == "depthUpdate" and not witness and "e" in inner:
            raise MalformedFrame(f"{error}: {_excerpt(payload)}") from error
    if kind == "serverShutdown":
        return ServerShutdown()
    return UnknownEvent(_name(inner.get("e"), inner))


def _depth_event(update: _DepthUpdate | _AnyDepthUpdate) -> DepthEvent:
    if update.u < update.U:
        raise MalformedFrame(f"{update.s}: first id {update.U} is after last id {update.u}")
    return DepthEvent(update.s, time_us(update.E), update.U, update.u, update.b, update.a)


def _name(kind: object, message: dict[str, Any]) -> str:
    """How an unknown event is counted: by its type, or by the fields it has."""
    return kind if isinstance(kind, str) else ",".join(sorted(message))


def _excerpt(payload: bytes) -> str:
    """The beginning of a bad message, safe to print."""
    return repr(payload[:80])


def decode_depth(payload: bytes, symbol: str, limit: int) -> DepthSnapshot:
    """Decode a REST `/depth` answer, which names neither its symbol nor the requested limit.

    Raises MalformedFrame for anything else, including an error page or a truncated body.
    """
    if len(payload) > LONG_BYTES:
        refuse_bloated(payload)
    try:
        depth = _depth.decode(payload)
    except UNREADABLE as error:
        raise MalformedFrame(f"{symbol} snapshot: {error}: {_excerpt(payload)}") from error
    if count_colons(payload) != _DEPTH_KEYS:
        decode_object(payload)
    if depth.last_update_id < 0 and (depth.bids or depth.asks):
        # Before a symbol opens its answer has the id -1, and its book is empty.
        raise MalformedFrame(f"{symbol} snapshot: levels without an update id: {_excerpt(payload)}")
    return DepthSnapshot(symbol, limit, depth.last_update_id, depth.bids, depth.asks)
