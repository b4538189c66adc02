"""An exchange with two hosts: connections use both, and requests use one that can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from booktape.core.events import FetchSnapshot
from booktape.core.tape_records import Connected, DepthAnswer, Disconnected
from booktape.net.connection_keeper import ConnectionKeepers, ConnectionLimits
from booktape.net.context import NetContext
from booktape.net.rest_client import RestClient
from net.loopback import DEPTH, Handler, accept, linked, next_answer, until_closed
from support import virtual_time

SYMBOLS = ("BTCUSDT",)


class Host:
    """One of the two; `up` says whether it can be reached."""

    def __init__(self) -> None:
        self.up = True
        self.asked: list[str] = []
        self.open: list[web.WebSocketResponse] = []
        self.seen = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if not self.up:
            assert request.transport
            request.transport.abort()
            return web.Response()
        if request.path != "/stream":
            self.asked.append(request.query["symbol"])
            return web.Response(body=DEPTH)
        self.seen += 1
        # As the real exchange does: a client that is silent for long counts as dead.
        socket = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        self.open.append(socket)
        await until_closed(socket)
        self.open.remove(socket)
        return socket


@asynccontextmanager
async def two_hosts() -> AsyncIterator[tuple[NetContext, Host, Host]]:
    first, second = Host(), Host()
    clock = virtual_time.WallClock()
    async with linked(first, clock) as context, linked(second, clock) as other:
        venue = replace(
            context.venue, other_rest_url=other.venue.rest_url, other_ws_url=other.venue.ws_url
        )
        yield replace(context, venue=venue), first, second


@asynccontextmanager
async def feeding(context: NetContext, connections: int) -> AsyncIterator[ConnectionKeepers]:
    feeds = ConnectionKeepers(context, SYMBOLS, connections, ConnectionLimits(lambda _, __: True))
    task = asyncio.create_task(feeds.run())
    try:
        yield feeds
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize(("connections", "spread"), [(1, (1, 0)), (2, (1, 1)), (3, (2, 1))])
async def test_connections_are_spread_over_both(connections: int, spread: tuple[int, int]) -> None:
    """The second connection uses the other host, so that a failure of one path leaves the other."""
    async with two_hosts() as (context, first, second), feeding(context, connections):
        await asyncio.sleep(5)
        assert (len(first.open), len(second.open)) == spread


async def test_a_connection_goes_to_the_host_that_answers_and_later_comes_back() -> None:
    """It does so while its own host cannot be reached; a replacement tries its own host first."""
    async with two_hosts() as (context, first, second), feeding(context, 1) as feeds:
        first.up = False
        await asyncio.sleep(10)
        assert (len(first.open), len(second.open)) == (0, 1)
        first.up = True
        notes = [f for f in await context.queue.take(9, 99) if isinstance(f, Connected)]
        feeds.replace(notes[-1].connection, "a test wants it")
        await asyncio.sleep(10)
        assert (len(first.open), len(second.open)) == (1, 0)


async def test_a_cut_does_not_change_the_host() -> None:
    """A connection that was good is reopened at the same host."""
    async with two_hosts() as (context, first, second), feeding(context, 2):
        await asyncio.sleep(90)
        await second.open[0].close()
        await asyncio.sleep(5)
        assert (first.seen, second.seen) == (1, 2)
        assert (len(first.open), len(second.open)) == (1, 1)
        frames = await context.queue.take(9, 99)
        assert sum(isinstance(frame, Disconnected) for frame in frames) == 1


async def test_requests_go_to_the_other_host_while_one_cannot_be_reached() -> None:
    """The change is logged, and the other host is used until it fails too."""
    with capture_logs() as lines:
        async with two_hosts() as (context, first, second):
            rest = RestClient(context)
            task = asyncio.create_task(rest.run())

            async def ask(symbol: str) -> None:
                rest.request_snapshot(FetchSnapshot(symbol, 1, limit=100))
                assert isinstance(await next_answer(context.queue), DepthAnswer)

            await ask("A")
            first.up = False
            await ask("B")
            first.up = True
            await ask("C")
            second.up = False
            await ask("D")
            assert (first.asked, second.asked) == (["A", "D"], ["B", "C"])
            task.cancel()
            await asyncio.wait([task])
    assert [line["event"] for line in lines].count("asking the other host") == 2


async def test_requests_that_fail_together_change_the_host_once() -> None:
    """A dozen requests cut at the same time must not lead back to the dead host."""
    async with two_hosts() as (context, first, second):
        first.up = False
        rest = RestClient(context)
        task = asyncio.create_task(rest.run())
        for number in range(12):
            rest.request_snapshot(FetchSnapshot(f"S{number}", 1, limit=100))
        for _ in range(12):
            assert isinstance(await next_answer(context.queue), DepthAnswer)
        assert (len(first.asked), len(second.asked)) == (0, 12)
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("status", [500, 429])
async def test_a_host_that_answers_is_kept(status: int) -> None:
    """Its errors are the exchange's, and a silence that it asks for concerns our whole address."""
    async with two_hosts() as (context, first, second):
        answers = [web.Response(status=status, headers={"Retry-After": "2"})]

        async def troubled(request: web.Request) -> web.StreamResponse:
            return answers.pop() if answers else await Host.__call__(first, request)

        async with linked(troubled, context.clock) as own:
            venue = replace(own.venue, other_rest_url=context.venue.other_rest_url)
            rest = RestClient(replace(own, venue=venue))
            task = asyncio.create_task(rest.run())
            rest.request_snapshot(FetchSnapshot("A", 1))
            assert isinstance(await next_answer(own.queue), DepthAnswer)
            assert (first.asked, second.asked) == (["A"], [])
            task.cancel()
            await asyncio.wait([task])


@pytest.mark.parametrize(("ping_every_s", "said_s"), [(20, 30), (180, 40)])
async def test_an_exchange_that_rarely_pings_is_not_taken_for_dead(
    ping_every_s: float, said_s: float
) -> None:
    """It answers our ping; a connection that does not is replaced, then ended."""

    async def answers(request: web.Request) -> web.StreamResponse:
        return await until_closed(await _plain(request))

    async def deaf(request: web.Request) -> web.StreamResponse:
        return await until_closed(await accept(request))

    async def connections_in(handler: Handler, seconds: float) -> int:
        async with linked(handler, virtual_time.WallClock()) as plain:
            context = replace(plain, venue=replace(plain.venue, ping_every_s=ping_every_s))
            async with feeding(context, 1):
                await asyncio.sleep(seconds)
                frames = await context.queue.take(99, 99)
                return sum(isinstance(frame, Connected) for frame in frames)

    assert (await connections_in(answers, 600)) == (1 if ping_every_s > 30 else 20)
    assert (await connections_in(deaf, said_s - 1)) == 1
    assert (await connections_in(deaf, said_s + 1)) == 2


async def _plain(request: web.Request) -> web.WebSocketResponse:
    """It never pings by itself, but answers our pings."""
    socket = web.WebSocketResponse(autoping=True)
    await socket.prepare(request)
    return socket
