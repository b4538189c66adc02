"""One line of the tape: a record as a JSON object, and back.

    {"k":"ws","received_ns":1780861676491371547,"connection":1,"m":{"stream":…,"data":{…}}}
    {"k":"rest","received_ns":…,"symbol":"BTCUSDT","limit":5000,"m":{"lastUpdateId":…}}
    {"k":"connected","received_ns":…,"connection":1,"symbols":["BTCUSDT"]}

A payload stands byte for byte under `m`; one that cannot stand inside a line of JSON (garbage,
binary, a newline) stands in base64 under `base64` instead.
"""

from __future__ import annotations

from base64 import b64encode
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Raw, Struct

from booktape.core.tape_records import (
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
)
from booktape.errors import DamagedTape

_KINDS: Final = MappingProxyType(
    {
        "ws": StreamMessage,
        "rest": DepthAnswer,
        "connected": Connected,
        "disconnected": Disconnected,
        "tick": Tick,
        "pulse": Pulse,
        "hold-expired": HoldExpired,
        "asked": SnapshotRequested,
        "status": SymbolListing,
        "clock-step": ClockStep,
        "clock-offset": ClockOffset,
        "start": SegmentStart,
        "checkpoint": Checkpoint,
        "end": SegmentEnd,
    }
)
_KIND_OF: Final = {kind: name for name, kind in _KINDS.items()}

_M: Final = b',"m":'
"""Stands in no text: there every quotation mark has a backslash before it."""


class _Kind(Struct):
    k: str


class _Payload(Struct):
    """The fields of a line that carries the exchange's bytes, but for `m`."""

    received_ns: int
    connection: int = 0
    symbol: str = ""
    limit: int = 0
    base64: bytes | None = None


_kind = msgspec.json.Decoder(_Kind)
_payload = msgspec.json.Decoder(_Payload)
_json = msgspec.json.Decoder(Raw)
_notes: Final[dict[str, msgspec.json.Decoder[TapeRecord]]] = {
    name: msgspec.json.Decoder(kind) for name, kind in _KINDS.items()
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
    return b'{"k":"%b",' % _KIND_OF[type(record)].encode() + msgspec.json.encode(record)[1:] + b"\n"


def _field(payload: bytes) -> bytes:
    if _stands_in_a_line(payload):
        return b'"m":%b}\n' % payload
    return b'"base64":"%b"}\n' % b64encode(payload)


def _stands_in_a_line(payload: bytes) -> bool:
    """Whether the payload, as it is, can be the value of a field: JSON, UTF-8, on one line."""
    if payload[:1] != b"{" or payload[-1:] != b"}" or b"\n" in payload:
        return False
    try:
        _json.decode(payload)
        payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def decode_record(line: bytes) -> TapeRecord:
    """The record of one line. Raises DamagedTape when it is none."""
    # What stands under `m` is not parsed: the nesting that a reader's stack bears is not the writer's.
    head, inline, rest = line.partition(_M)
    fields = head + b"}" if inline else line
    try:
        kind = _kind.decode(fields).k
        if kind not in {"ws", "rest"}:
            return _notes[kind].decode(line)
        found = _payload.decode(fields)
        payload = rest.removesuffix(b"}\n") if inline else found.base64
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError) as error:
        raise DamagedTape(f"not a line of a tape ({error!r}): {line[:80]!r}") from error
    if payload is None:
        raise DamagedTape(f"a line without its payload: {line[:80]!r}")
    if kind == "ws":
        return StreamMessage(found.received_ns, found.connection, payload)
    return DepthAnswer(found.received_ns, found.symbol, found.limit, payload)
