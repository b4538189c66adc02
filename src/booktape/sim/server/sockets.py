"""Replies as HTTP, connections that end without one, and half-open ones that do neither."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Any

from aiohttp import web

from booktape.sim.faults.outcomes import Reply


def response(reply: Reply, headers: dict[str, str] | None = None) -> web.Response:
    """As HTTP."""
    again = {} if reply.retry_after_s is None else {"Retry-After": str(reply.retry_after_s)}
    return web.Response(
        status=reply.status,
        body=reply.body,
        headers=(headers or {}) | again,
        content_type=reply.content_type,
        charset="utf-8",
    )


async def cut_short(
    request: web.Request, reply: Reply, headers: dict[str, str]
) -> web.StreamResponse:
    """Half the body under a Content-Length for all of it, then the end of the connection."""
    length = {"Content-Length": str(len(reply.body)), "Content-Type": reply.content_type}
    half = web.StreamResponse(status=reply.status, headers=headers | length)
    await half.prepare(request)
    await half.write(reply.body[: len(reply.body) // 2])
    if request.transport:
        request.transport.close()
    return half


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


class HalfOpenSockets:
    """Connections that stay open until their clients end them, or the exchange closes.

    What comes on them is read and thrown away, and nothing is sent. Weakness: a client's data is
    acknowledged by this machine's TCP, where the real half-open connection would let it pile up.
    """

    def __init__(self) -> None:
        self._requests: dict[int, web.Request] = {}

    def add(self, request: web.Request) -> asyncio.Event:
        """From now on this is one of them. Set once the client has left."""
        left = asyncio.Event()
        if request.transport is None:
            left.set()
            return left
        self._requests[id(request)] = request
        request.transport.set_protocol(_Deaf(request.transport.get_protocol(), left))
        return left

    async def hold_open(self, request: web.Request) -> web.Response:
        """Never answer. The response is for aiohttp's handler; it never leaves."""
        await self.add(request).wait()
        self.discard(request)
        return reset(request)

    def discard(self, request: web.Request) -> None:
        """The client has ended this one."""
        self._requests.pop(id(request), None)

    def close(self) -> None:
        """End them all."""
        for request in self._requests.values():
            abort(request)


class _Deaf(asyncio.Protocol):
    """Between a transport and its protocol, which is informed of writing and of the end alone."""

    def __init__(self, protocol: asyncio.BaseProtocol, left: asyncio.Event) -> None:
        self._protocol: Any = protocol
        self._left = left

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        self._left.set()
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """What was written before is still sent."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Likewise."""
        self._protocol.resume_writing()
