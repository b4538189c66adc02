"""Bytes → nouns: depth events and snapshots. wire/witness.py has the other streams.

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
from booktape.wire.numbers import Id, Levels
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
    last_update_id: Annotated[int, Meta(ge=-1, le=2**63 - 1)]
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
    not follow its form. Known weakness: a witness that does not is an unknown event, said in the log
    once; after that only the `checks` that are missing show it. As malformed frames each of them
    would be a line of log, hundreds a second, and accuse a connection whose events may be good.
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
    if depth.last_update_id < 0 and (depth.bids or depth.asks):
        # -1 is what a symbol answers before it opens, and then its book is empty.
        raise MalformedFrame(f"{symbol} snapshot: no update id, and levels: {_excerpt(payload)}")
    return DepthSnapshot(symbol, limit, depth.last_update_id, depth.bids, depth.asks)
