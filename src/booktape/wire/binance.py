"""Bytes ↔ nouns, both ways: depth events and snapshots. wire/witness.py has the other streams.

The recorder decodes with it and the built-in exchange encodes with it, so the two cannot drift.
A raw event, and inside the wrapper of a combined stream:

    {"e":"depthUpdate","E":1780861677414,"s":"BTCUSDT","U":157,"u":160,
     "b":[["61222.00000000","0.88634000"]],"a":[["61224.53000000","0.00000000"]]}
    {"stream":"btcusdt@depth@100ms","data":{…}}

Numbers are texts, which msgspec turns straight into the nearest double. The declared types let
nothing through that is not finite and non-negative.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from booktape.core.events import (
    DepthEvent,
    DepthSnapshot,
    ServerShutdown,
    UnknownEvent,
)
from booktape.errors import MalformedFrame
from booktape.wire.numbers import Id, Levels, texts
from booktape.wire.witness import Statement, decoder_of

Event: TypeAlias = DepthEvent | Statement | ServerShutdown | UnknownEvent

# From 1970 to 2286, in milliseconds or microseconds.
_Time: TypeAlias = Annotated[int, Meta(ge=0, le=10**16)]

_MICROSECONDS_FROM: Final = 10**14
"""Milliseconds reach this in the year 5138, microseconds did in 1973."""


class _DepthUpdate(Struct, tag_field="e", tag="depthUpdate"):
    E: _Time
    s: Annotated[str, Meta(min_length=1)]
    U: Id
    u: Id
    b: Levels
    a: Levels


class _Combined(Struct):
    stream: str
    data: _DepthUpdate


class _Depth(Struct, rename="camel"):
    last_update_id: Id
    bids: Levels
    asks: Levels


_combined = msgspec.json.Decoder(_Combined, strict=False)
_raw = msgspec.json.Decoder(_DepthUpdate, strict=False)
_depth = msgspec.json.Decoder(_Depth, strict=False)
_any_object = msgspec.json.Decoder(dict[str, Raw])
_WRAPPED: Final = b'{"stream"'

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises: for a wrong form, for text that is not UTF-8, for deep nesting."""


def decode_event(payload: bytes) -> Event:
    """What one WebSocket message says.

    Raises MalformedFrame for anything that is not JSON, or calls itself a `depthUpdate` and does
    not follow its form.
    """
    try:
        # The common case in one pass: a wrapped depth event.
        if payload.startswith(_WRAPPED):
            witness = decoder_of(payload)
            return witness(payload) if witness else _depth_event(_combined.decode(payload).data)
        return _depth_event(_raw.decode(payload))
    except _UNREADABLE:
        return _decode_slowly(payload)


def _decode_slowly(payload: bytes) -> Event:
    """Anything but a plain depth event: find out what it is, or what is wrong with it."""
    try:
        message = _any_object.decode(payload)
        inner = message.get("data")
        if inner is not None:
            message = _any_object.decode(inner)
        kind = msgspec.json.decode(message["e"]) if "e" in message else None
        if kind == "serverShutdown":
            return ServerShutdown()
        if kind == "depthUpdate":
            return _depth_event(_raw.decode(inner if inner is not None else payload))
        return UnknownEvent(_name(kind, message))
    except _UNREADABLE as error:
        raise MalformedFrame(f"{error}: {_excerpt(payload)}") from error


def _depth_event(update: _DepthUpdate) -> DepthEvent:
    if update.u < update.U:
        raise MalformedFrame(f"{update.s}: first id {update.U} is after last id {update.u}")
    time = update.E
    time_us = time if time >= _MICROSECONDS_FROM else time * 1_000
    return DepthEvent(update.s, time_us, update.U, update.u, update.b, update.a)


def _name(kind: object, message: dict[str, Raw]) -> str:
    """How an unknown event is counted: by its type, or by the fields it has."""
    return kind if isinstance(kind, str) else ",".join(sorted(message))


def _excerpt(payload: bytes) -> str:
    """Enough of a bad message to recognise it by, safe to print."""
    return repr(payload[:80])


def decode_depth(payload: bytes, symbol: str, limit: int) -> DepthSnapshot:
    """A REST `/depth` answer, which names neither its symbol nor the limit asked for.

    Raises MalformedFrame for anything else, an error page or a truncated body included.
    """
    try:
        depth = _depth.decode(payload)
    except _UNREADABLE as error:
        raise MalformedFrame(f"{symbol} snapshot: {error}: {_excerpt(payload)}") from error
    return DepthSnapshot(symbol, limit, depth.last_update_id, depth.bids, depth.asks)


# ── the other way ───────────────────────────────────────────────────────────────────────────


def encode_event(event: DepthEvent, *, microseconds: bool = False) -> bytes:
    """A raw `depthUpdate`, in the exchange's own field order and its 8 decimals."""
    time = event.event_time_us if microseconds else event.event_time_us // 1_000
    message = {
        "e": "depthUpdate",
        "E": time,
        "s": event.symbol,
        "U": event.first_id,
        "u": event.last_id,
        "b": texts(event.bids),
        "a": texts(event.asks),
    }
    return msgspec.json.encode(message)


def encode_combined(stream: str, data: bytes) -> bytes:
    """The wrapper in which `/stream` sends any raw message."""
    return msgspec.json.encode({"stream": stream, "data": Raw(data)})


def encode_depth(snapshot: DepthSnapshot) -> bytes:
    """A REST `/depth` answer: the best `limit` levels of what it is given, best first."""
    message = {
        "lastUpdateId": snapshot.last_id,
        "bids": texts(snapshot.bids[: snapshot.limit]),
        "asks": texts(snapshot.asks[: snapshot.limit]),
    }
    return msgspec.json.encode(message)


def encode_server_shutdown(time_ms: int) -> bytes:
    """The raw announcement that a server will go down."""
    return msgspec.json.encode({"e": "serverShutdown", "E": time_ms})
