"""WebSocket frames as a server sends them: many small ones then cost one system call."""

from __future__ import annotations

from struct import pack
from typing import Final

from aiohttp import web

_TEXT: Final = 0x81
_BINARY: Final = 0x82
_SHORT_MAX: Final = 125
_LONG_MAX: Final = 0xFFFF


def frame(payload: bytes, *, binary: bool = False) -> bytes:
    """One whole message, unmasked and uncompressed (RFC 6455, 5.2)."""
    kind, length = _BINARY if binary else _TEXT, len(payload)
    if length <= _SHORT_MAX:
        return pack("!BB", kind, length) + payload
    if length <= _LONG_MAX:
        return pack("!BBH", kind, 126, length) + payload
    return pack("!BBQ", kind, 127, length) + payload


def flows(request: web.Request) -> bool:
    """Whether the client has taken all that was written."""
    transport = request.transport
    return transport is not None and not transport.get_write_buffer_size()


def write(request: web.Request, frames: bytes) -> None:
    """Write whole frames past aiohttp's writer; nothing, when the client has left."""
    transport = request.transport
    if transport is not None and not transport.is_closing():
        transport.write(frames)
