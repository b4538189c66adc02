"""Connections that lead nowhere: open, and nothing ever comes of what is sent into them."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from booktape.sim.server.http import abort, reset


class HalfOpenSockets:
    """Keeps such connections until their clients leave them, or the exchange closes."""

    def __init__(self) -> None:
        self._requests: dict[int, web.Request] = {}

    def take(self, request: web.Request) -> asyncio.Event:
        """Read and throw away what comes; send nothing. Set once the client has left.

        Weakness: a client's data is acknowledged by this machine's TCP, where the real
        half-open connection would let it pile up.
        """
        left = asyncio.Event()
        transport = request.transport
        if transport is None:
            left.set()
            return left
        self._requests[id(request)] = request
        transport.set_protocol(_Deaf(transport.get_protocol(), left))
        return left

    async def swallow(self, request: web.Request) -> web.Response:
        """Never answer. The response is for aiohttp's handler; it never leaves."""
        left = self.take(request)
        await left.wait()
        self._requests.pop(id(request), None)
        return reset(request)

    def leave(self, request: web.Request) -> None:
        """This one is over."""
        self._requests.pop(id(request), None)

    def close(self) -> None:
        """End them all."""
        for request in self._requests.values():
            abort(request)


class _Deaf(asyncio.Protocol):
    """Stands between a transport and its protocol, which learns of nothing but the end."""

    def __init__(self, protocol: asyncio.BaseProtocol, left: asyncio.Event) -> None:
        self._protocol: Any = protocol
        self._left = left

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        self._left.set()
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """What was written before still has to leave."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Likewise."""
        self._protocol.resume_writing()
