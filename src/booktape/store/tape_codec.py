"""Encodes a record as one line of the tape, a JSON object, and decodes it.

    {"k":"ws","received_ns":1780861676491371547,"connection":1,"m":{"stream":…,"data":{…}}}
    {"k":"rest","received_ns":…,"symbol":"BTCUSDT","limit":5000,"m":{"lastUpdateId":…}}
    {"k":"trades","received_ns":…,"symbol":"BTCUSDT","from_id":28457,"m":[{"id":28457,…}]}
    {"k":"connected","received_ns":…,"connection":1,"symbols":["BTCUSDT"]}

A payload is stored byte for byte under `m`. A payload that cannot be part of a line of JSON (garbage, binary, a
newline) is stored in base64 under `base64` instead.

A new kind of record needs its class in core/tape_records.py and its name in `_NAMES`.
"""

from __future__ import annotations

from base64 import b64encode
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Raw, Struct

from booktape.core.tape_records import (
    FORMAT,
    Checkpoint,
    ClockOffset,
    ClockStep,
    Connected,
    DepthAnswer,
    Disconnected,
    HoldExpired,
    Pulse,
    SegmentEnd,
    SegmentStart,
    SnapshotRequested,
    StreamMessage,
    SymbolListing,
    TapeRecord,
    Tick,
    TradesAnswer,
)
from booktape.errors import DamagedTape, LaterFormat

_NAMES: Final = MappingProxyType(
    {
        StreamMessage: "ws",
        DepthAnswer: "rest",
        TradesAnswer: "trades",
        Connected: "connected",
        Disconnected: "disconnected",
        Tick: "tick",
        Pulse: "pulse",
        HoldExpired: "hold-expired",
        SnapshotRequested: "asked",
        SymbolListing: "status",
        ClockStep: "clock-step",
        ClockOffset: "clock-offset",
        SegmentStart: "start",
        Checkpoint: "checkpoint",
        SegmentEnd: "end",
    }
)
"""The field `k` of each record's line."""

_WITH_PAYLOAD: Final = frozenset({"ws", "rest", "trades"})

_M: Final = b',"m":'
"""Cannot occur inside a JSON string, where every quotation mark has a backslash before it."""


class _Kind(Struct):
    k: str


class _Payload(Struct):
    """The fields of a line with the exchange's bytes, except `m`."""

    received_ns: int
    connection: int = 0
    symbol: str = ""
    limit: int = 0
    from_id: int = 0
    base64: bytes | None = None


_kind = msgspec.json.Decoder(_Kind)
_payload = msgspec.json.Decoder(_Payload)
_json = msgspec.json.Decoder(Raw)
_decoders: Final[dict[str, msgspec.json.Decoder[TapeRecord]]] = {
    name: msgspec.json.Decoder(record) for record, name in _NAMES.items()
}


def encode_record(record: TapeRecord) -> bytes:
    """One line, newline included."""
    if isinstance(record, StreamMessage):
        head = b'{"k":"ws","received_ns":%d,"connection":%d,'
        return head % (record.received_ns, record.connection) + _field(record.payload)
    if isinstance(record, DepthAnswer):
        head = b'{"k":"rest","received_ns":%d,"symbol":%b,"limit":%d,'
        symbol = msgspec.json.encode(record.symbol)
        return head % (record.received_ns, symbol, record.limit) + _field(record.payload)
    if isinstance(record, TradesAnswer):
        head = b'{"k":"trades","received_ns":%d,"symbol":%b,"from_id":%d,'
        symbol = msgspec.json.encode(record.symbol)
        return head % (record.received_ns, symbol, record.from_id) + _field(record.payload, b"[]")
    return b'{"k":"%b",' % _NAMES[type(record)].encode() + msgspec.json.encode(record)[1:] + b"\n"


def _field(payload: bytes, brackets: bytes = b"{}") -> bytes:
    if payload[:1] + payload[-1:] == brackets and _fits_in_a_line(payload):
        return b'"m":%b}\n' % payload
    return b'"base64":"%b"}\n' % b64encode(payload)


def _fits_in_a_line(payload: bytes) -> bool:
    """Whether the payload can be the value of a field unchanged: JSON, UTF-8, on one line."""
    if b"\n" in payload:
        return False
    try:
        _json.decode(payload)
        payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def decode_record(line: bytes) -> TapeRecord:
    """The record of one line. Raises DamagedTape if it has none, LaterFormat for a start that names a later format."""
    # `m` is not parsed: its nesting may be too deep for a reader with less stack than the writer had.
    head, inline, rest = line.partition(_M)
    fields = head + b"}" if inline else line
    try:
        kind = _kind.decode(fields).k
        if kind not in _WITH_PAYLOAD:
            return _of_known_format(_decoders[kind].decode(line))
        found = _payload.decode(fields)
        payload = rest.removesuffix(b"}\n") if inline else found.base64
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError) as error:
        raise DamagedTape(f"not a line of a tape ({error!r}): {line[:80]!r}") from error
    if payload is None:
        raise DamagedTape(f"a line without its payload: {line[:80]!r}")
    if kind == "ws":
        return StreamMessage(found.received_ns, found.connection, payload)
    if kind == "trades":
        return TradesAnswer(found.received_ns, found.symbol, found.from_id, payload)
    return DepthAnswer(found.received_ns, found.symbol, found.limit, payload)


def _of_known_format(record: TapeRecord) -> TapeRecord:
    if isinstance(record, SegmentStart) and record.format > FORMAT:
        raise LaterFormat(
            f"its format is {record.format}, but this version reads formats up to {FORMAT}. Use a later booktape"
        )
    return record
