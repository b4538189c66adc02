"""Half-open connections: they stay open, and what the client sends on them has no effect."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from booktape.sim.server.http import abort, reset


class HalfOpenSockets:
    """Keeps such connections until their clients end them, or the exchange closes."""

    def __init__(self) -> None:
        self._requests: dict[int, web.Request] = {}

    def add(self, request: web.Request) -> asyncio.Event:
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

    async def hold_open(self, request: web.Request) -> web.Response:
        """Never answer. The response is for aiohttp's handler; it never leaves."""
        left = self.add(request)
        await left.wait()
        self._requests.pop(id(request), None)
        return reset(request)

    def discard(self, request: web.Request) -> None:
        """The client has ended this one."""
        self._requests.pop(id(request), None)

    def close(self) -> None:
        """End them all."""
        for request in self._requests.values():
            abort(request)


class _Deaf(asyncio.Protocol):
    """Between a transport and its protocol, which is informed of nothing but the end."""

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
