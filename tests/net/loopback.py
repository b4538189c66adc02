"""A real server on loopback that does exactly what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ctypes import Array, c_double
from typing import Any

from aiohttp import web

from booktape.core.tape_records import SnapshotRequested, TapeRecord, Tick
from booktape.net.clock import Clock
from booktape.net.context import NetContext
from booktape.net.record_queue import RecordQueue
from booktape.net.request_pause import RequestPause
from booktape.net.rest_client import RestClient
from booktape.net.session import open_session
from booktape.net.ticks import Ticks
from booktape.wire.endpoints import Venue

DEPTH = b'{"lastUpdateId":7,"bids":[],"asks":[]}'
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def linked(
    handler: Handler,
    clock: Clock,
    frames: int = 1_000,
    *,
    shared: Array[c_double] | None = None,
) -> AsyncIterator[NetContext]:
    """A context to a server that answers every request with `handler`; the queue holds `frames`.

    `shared` is the memory of the pause.
    """

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
        silence = RequestPause(clock, shared)
        async with open_session(silence) as session:
            queue = RecordQueue(frames)
            yield NetContext(venue, session, clock, queue, silence, Ticks(clock, queue))
    finally:
        await runner.cleanup()


@asynccontextmanager
async def asking(
    exchange: Handler,
    clock: Clock,
    *,
    sharers: int = 1,
    **linking: Any,
) -> AsyncIterator[tuple[RestClient, RecordQueue]]:
    """A REST client at work, and the queue into which its answers go."""
    async with linked(exchange, clock, **linking) as context:
        rest = RestClient(context, sharers)
        task = asyncio.create_task(rest.run())
        try:
            yield rest, context.queue
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class Waits:
    """Answers no request before `go_on`; counts the requests under way, and the maximum at once."""

    def __init__(self, go_on: asyncio.Event, *answers: web.Response) -> None:
        self.under_way = self.most = 0
        self._go_on = go_on
        self._answers = list(answers)

    async def __call__(self, _: web.Request) -> web.StreamResponse:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self._go_on.wait()
        self.under_way -= 1
        return self._answers.pop(0) if self._answers else web.Response(body=DEPTH)

    async def are_under_way(self, count: int) -> None:
        """Wait until `count` requests are under way."""
        while self.under_way < count:
            await asyncio.sleep(0)


async def next_frame(queue: RecordQueue) -> TapeRecord:
    """The next frame that is not a tick (ticks come whenever the clock has moved); fails if none comes."""
    async with asyncio.timeout(10):
        while isinstance(frame := (await queue.take(1, 1))[0], Tick):
            pass
        return frame


async def next_answer(queue: RecordQueue) -> TapeRecord:
    """The next frame that is not the note of a request that was sent."""
    while isinstance(frame := await next_frame(queue), SnapshotRequested):
        pass
    return frame


async def accept(request: web.Request) -> web.WebSocketResponse:
    """A WebSocket that sends nothing by itself."""
    socket = web.WebSocketResponse(autoping=False)
    await socket.prepare(request)
    return socket


async def until_closed(socket: web.WebSocketResponse) -> web.WebSocketResponse:
    """Waits until the client leaves."""
    async for _ in socket:
        pass
    return socket
