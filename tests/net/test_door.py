"""Manners at the REST door: a few requests at once, and one alone as soon as anything is wrong."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

import virtual_time
from booktape.core.events import FetchSnapshot
from booktape.core.frames import Asked, RestFrame
from booktape.net.door import AT_ONCE
from booktape.net.rest import Rest
from net.hand_clock import HandClock, RestlessClock
from net.loopback import DEPTH, Waits, asking, next_answer, next_frame

REFUSED = (429, {"Retry-After": "10"})


def fetch_all(rest: Rest, count: int) -> None:
    """So many small snapshots."""
    for number in range(count):
        rest.fetch(FetchSnapshot(f"S{number}USDT", 1, limit=100))


@pytest.mark.parametrize("sharers", [1, 2, AT_ONCE, AT_ONCE + 1])
def test_a_few_requests_are_under_way_at_once(sharers: int) -> None:
    """As many as are worth it from far away, shared by all processes of one address."""
    expected = max(1, AT_ONCE // sharers)

    async def story() -> None:
        go_on = asyncio.Event()
        exchange = Waits(go_on)
        async with asking(exchange, HandClock(), sharers=sharers) as (rest, inbox):
            fetch_all(rest, 2 * AT_ONCE)
            await exchange.are_under_way(expected)
            go_on.set()
            for _ in range(2 * AT_ONCE):
                await next_answer(inbox)
            assert exchange.most == expected

    virtual_time.run(story())


def test_after_trouble_one_goes_alone_until_an_answer_is_good() -> None:
    """Were the exchange in trouble still, one request would tell; then a few at once again."""

    async def story() -> None:
        go_on = asyncio.Event()
        exchange = Waits(go_on, *[web.Response(status=503) for _ in range(AT_ONCE + 1)])
        async with asking(exchange, RestlessClock()) as (rest, inbox):
            fetch_all(rest, 3 * AT_ONCE)
            await exchange.are_under_way(AT_ONCE)
            exchange.most = 0
            go_on.set()
            await next_answer(inbox)
            assert exchange.most == 1
            go_on.clear()
            await exchange.are_under_way(AT_ONCE)

    virtual_time.run(story())


def test_what_meets_the_same_trouble_makes_no_pause_longer() -> None:
    """Eight requests that fail at once are one failure: half a second at most, not half a minute."""

    async def story() -> None:
        go_on = asyncio.Event()
        exchange = Waits(go_on, *[web.Response(status=503) for _ in range(AT_ONCE)])
        clock = RestlessClock()
        began_s = clock.now_s
        async with asking(exchange, clock) as (rest, inbox):
            fetch_all(rest, AT_ONCE)
            await exchange.are_under_way(AT_ONCE)
            go_on.set()
            for _ in range(AT_ONCE):
                await next_answer(inbox)
            assert clock.now_s - began_s <= 0.5

    virtual_time.run(story())


def test_a_good_answer_from_before_the_trouble_does_not_end_it() -> None:
    """It says nothing of how the exchange is now."""

    async def story() -> None:
        go_on = asyncio.Event()
        exchange = Waits(go_on, web.Response(status=503))
        clock = HandClock()
        async with asking(exchange, clock) as (rest, inbox):
            fetch_all(rest, 2 * AT_ONCE)
            await exchange.are_under_way(AT_ONCE)
            go_on.set()
            for _ in range(AT_ONCE - 1):
                await next_answer(inbox)
            assert rest.door.at_once == 1

    virtual_time.run(story())


def test_what_has_not_left_when_a_429_is_read_does_not_leave() -> None:
    """Its note waited for room in the inbox; meanwhile silence was asked for."""
    sent_s: list[float] = []
    clock = HandClock()

    async def exchange(_: web.Request) -> web.StreamResponse:
        sent_s.append(clock.now_s)
        return web.Response(status=429, headers={"Retry-After": "10"})

    async def story() -> None:
        async with asking(exchange, clock, frames=1) as (rest, inbox):
            fetch_all(rest, 2)
            while not rest.door.wait_s(0):
                await asyncio.sleep(0)
            assert isinstance(await next_frame(inbox), Asked)
            assert isinstance(await next_frame(inbox), Asked)
            await clock.asleep()
            assert len(sent_s) == 1

    virtual_time.run(story())


def test_a_429_is_followed_by_what_was_under_way_and_nothing_else() -> None:
    """Neither by those who wait, nor by those who come, until Retry-After and a second are over."""
    told_s: list[float] = []
    sent_s: list[float] = []
    clock = RestlessClock()

    async def story() -> None:
        go_on = asyncio.Event()
        waits = Waits(go_on, *[web.Response(status=s, headers=h) for s, h in [REFUSED] * AT_ONCE])

        async def exchange(request: web.Request) -> web.StreamResponse:
            sent_s.append(clock.now_s)
            return await waits(request)

        async with asking(exchange, clock) as (rest, inbox):
            fetch_all(rest, 3 * AT_ONCE)
            await waits.are_under_way(AT_ONCE)
            told_s.append(clock.now_s)
            go_on.set()
            for _ in range(3 * AT_ONCE):
                assert isinstance(await next_answer(inbox), RestFrame)

    virtual_time.run(story())
    assert [at_s > told_s[0] for at_s in sent_s[:AT_ONCE]] == [False] * AT_ONCE
    assert min(sent_s[AT_ONCE:]) >= told_s[0] + 11


def test_a_request_whose_connection_breaks_is_not_repeated_unseen() -> None:
    """The budget counts every one that leaves, and after trouble none leaves before its time."""
    asked: list[str] = []

    async def exchange(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["symbol"])
        if len(asked) == 2:
            assert request.transport
            request.transport.abort()
        return web.Response(body=DEPTH)

    async def story() -> None:
        async with asking(exchange, RestlessClock()) as (rest, inbox):
            for symbol in ("A", "B"):
                rest.fetch(FetchSnapshot(symbol, 1))
                await next_answer(inbox)
            assert rest.door.requests == len(asked) == 3

    virtual_time.run(story())
