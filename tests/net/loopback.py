"""A real server on loopback that does just what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
from aiohttp import web

from booktape.core.frames import Asked, Frame
from booktape.net.clock import Clock
from booktape.net.link import Link
from booktape.net.rest import Rest
from booktape.wire.venues import Venue

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def linked(handler: Handler, clock: Clock, frames: int = 0) -> AsyncIterator[Link]:
    """A link to a server that answers every request with `handler`; the inbox holds `frames`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, max_line_size=32_768)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        venue = Venue("test exchange", f"http://{host}:{port}", f"ws://{host}:{port}")
        async with aiohttp.ClientSession() as session:
            yield Link(venue, session, clock, asyncio.Queue(frames))
    finally:
        await runner.cleanup()


@asynccontextmanager
async def asking(
    exchange: Handler, clock: Clock
) -> AsyncIterator[tuple[Rest, asyncio.Queue[Frame]]]:
    """A REST door at work, and the inbox into which its answers go."""
    async with linked(exchange, clock) as link:
        rest = Rest(link)
        task = asyncio.create_task(rest.run())
        try:
            yield rest, link.inbox
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def next_frame(inbox: asyncio.Queue[Frame]) -> Frame:
    """The next frame, or a failed test."""
    async with asyncio.timeout(10):
        return await inbox.get()


async def next_answer(inbox: asyncio.Queue[Frame]) -> Frame:
    """The next frame that is no note of a request that has left."""
    while isinstance(frame := await next_frame(inbox), Asked):
        pass
    return frame


async def accept(request: web.Request) -> web.WebSocketResponse:
    """A WebSocket that answers nothing by itself."""
    socket = web.WebSocketResponse(autoping=False)
    await socket.prepare(request)
    return socket


async def until_closed(socket: web.WebSocketResponse) -> web.WebSocketResponse:
    """Stay until the client leaves."""
    async for _ in socket:
        pass
    return socket
