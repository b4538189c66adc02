"""Ends of connections that aiohttp has no call for: a reset, and a half-open connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Any

from aiohttp import web


def reset(request: web.Request) -> web.Response:
    """Reset the connection. The response is for aiohttp's handler; it never leaves."""
    abort(request)
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)


def abort(request: web.Request) -> None:
    """End the connection with a TCP reset rather than a FIN: no time is left for unsent data."""
    transport = request.transport
    if transport is None:
        return
    if not transport.is_closing():
        plain: socket.socket = transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def discard_incoming(request: web.Request) -> None:
    """From now on read and discard all that the client sends, until it ends the connection.

    Weakness: this machine's TCP acknowledges the client's data; on a connection that is really half-open, that data
    would pile up at the client.
    """
    if request.transport:
        request.transport.set_protocol(_DiscardIncoming(request.transport.get_protocol()))


class _DiscardIncoming(asyncio.Protocol):
    """Stands between a transport and its protocol, and passes on only flow control and the end."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol: Any = protocol

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Data that was written before is still sent."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Likewise."""
        self._protocol.resume_writing()
