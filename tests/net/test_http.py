"""REST requests: a few at once, and only one at a time as soon as anything is wrong."""

from __future__ import annotations

import asyncio
from ctypes import c_double

import pytest
from aiohttp import web

from booktape.core.events import FetchSnapshot
from booktape.core.tape_records import DepthAnswer, SnapshotRequested
from booktape.errors import Unreachable
from booktape.net.http import CONCURRENCY_MAX
from booktape.net.request_pause import NO_PAUSE
from booktape.net.rest_client import RestClient
from net.hand_clock import HandClock, RestlessClock
from net.loopback import DEPTH, Waits, asking, next_answer, next_frame

REFUSED = (429, {"Retry-After": "10"})


def fetch_all(rest: RestClient, count: int) -> None:
    """Request `count` small snapshots."""
    for number in range(count):
        rest.request_snapshot(FetchSnapshot(f"S{number}USDT", 1, limit=100))


@pytest.mark.parametrize("sharers", [1, 2, CONCURRENCY_MAX, CONCURRENCY_MAX + 1])
async def test_a_few_requests_are_under_way_at_once(sharers: int) -> None:
    """As many as pay off over a long distance, shared by all processes of one address."""
    expected = max(1, CONCURRENCY_MAX // sharers)

    go_on = asyncio.Event()
    exchange = Waits(go_on)
    async with asking(exchange, HandClock(), sharers=sharers) as (rest, queue):
        fetch_all(rest, 2 * CONCURRENCY_MAX)
        await exchange.are_under_way(expected)
        go_on.set()
        for _ in range(2 * CONCURRENCY_MAX):
            await next_answer(queue)
        assert exchange.most == expected


async def test_after_a_failure_one_request_at_a_time_is_sent_until_an_answer_is_good() -> None:
    """One request is enough to find out whether the trouble lasts; after that, a few at once again."""
    go_on = asyncio.Event()
    exchange = Waits(go_on, *[web.Response(status=503) for _ in range(CONCURRENCY_MAX + 1)])
    async with asking(exchange, RestlessClock()) as (rest, queue):
        fetch_all(rest, 3 * CONCURRENCY_MAX)
        await exchange.are_under_way(CONCURRENCY_MAX)
        exchange.most = 0
        go_on.set()
        await next_answer(queue)
        assert exchange.most == 1
        go_on.clear()
        await exchange.are_under_way(CONCURRENCY_MAX)


async def test_requests_that_meet_the_same_failure_lengthen_no_pause() -> None:
    """Eight requests that fail at once are one failure: half a second at most, not half a minute."""
    go_on = asyncio.Event()
    exchange = Waits(go_on, *[web.Response(status=503) for _ in range(CONCURRENCY_MAX)])
    clock = RestlessClock()
    began_s = clock.now_s
    async with asking(exchange, clock) as (rest, queue):
        fetch_all(rest, CONCURRENCY_MAX)
        await exchange.are_under_way(CONCURRENCY_MAX)
        go_on.set()
        for _ in range(CONCURRENCY_MAX):
            await next_answer(queue)
        assert clock.now_s - began_s <= 0.5


async def test_a_pause_is_absolute() -> None:
    """After a failure no request may be sent before the pause ends, however much of the budget is left."""
    clock = HandClock()

    async with asking(Waits(asyncio.Event()), clock) as (rest, _):
        http = rest.http
        http.back_off(http.begin(1), Unreachable("no answer"))
        pause_s = http.wait_s(1)
        assert pause_s > 0
        clock.advance(pause_s / 2)
        assert http.wait_s(1) == pytest.approx(pause_s / 2)
        clock.advance(pause_s)
        assert http.wait_s(1) == 0


async def test_a_good_answer_from_before_the_failure_does_not_end_the_pause() -> None:
    """It says nothing about the exchange's present state."""
    go_on = asyncio.Event()
    exchange = Waits(go_on, web.Response(status=503))
    clock = HandClock()
    async with asking(exchange, clock) as (rest, queue):
        fetch_all(rest, 2 * CONCURRENCY_MAX)
        await exchange.are_under_way(CONCURRENCY_MAX)
        go_on.set()
        for _ in range(CONCURRENCY_MAX - 1):
            await next_answer(queue)
        assert rest.http.concurrency == 1


async def test_a_request_not_yet_sent_when_a_429_is_read_is_not_sent() -> None:
    """While its note waited for room in the queue, the exchange asked for silence."""
    sent_s: list[float] = []
    clock = HandClock()

    async def exchange(_: web.Request) -> web.StreamResponse:
        sent_s.append(clock.now_s)
        return web.Response(status=429, headers={"Retry-After": "10"})

    async with asking(exchange, clock, frames=1) as (rest, queue):
        fetch_all(rest, 2)
        while not rest.http.wait_s(0):
            await asyncio.sleep(0)
        assert isinstance(await next_frame(queue), SnapshotRequested)
        assert isinstance(await next_frame(queue), SnapshotRequested)
        await clock.asleep()
        assert len(sent_s) == 1


async def test_a_429_is_followed_only_by_requests_that_were_under_way() -> None:
    """No waiting or new request is sent until Retry-After and one more second are over."""
    told_s: list[float] = []
    sent_s: list[float] = []
    clock = RestlessClock()

    go_on = asyncio.Event()
    waits = Waits(
        go_on, *[web.Response(status=s, headers=h) for s, h in [REFUSED] * CONCURRENCY_MAX]
    )

    async def exchange(request: web.Request) -> web.StreamResponse:
        sent_s.append(clock.now_s)
        return await waits(request)

    async with asking(exchange, clock) as (rest, queue):
        fetch_all(rest, 3 * CONCURRENCY_MAX)
        await waits.are_under_way(CONCURRENCY_MAX)
        told_s.append(clock.now_s)
        go_on.set()
        for _ in range(3 * CONCURRENCY_MAX):
            assert isinstance(await next_answer(queue), DepthAnswer)
    assert [at_s > told_s[0] for at_s in sent_s[:CONCURRENCY_MAX]] == [False] * CONCURRENCY_MAX
    assert min(sent_s[CONCURRENCY_MAX:]) >= told_s[0] + 11


async def test_a_429_is_obeyed_before_all_of_it_has_arrived() -> None:
    """Its head says enough; the rest may take long to arrive."""
    go_on = asyncio.Event()
    clock = HandClock()

    async def exchange(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=429, headers={"Retry-After": "10"})
        await answer.prepare(request)
        await answer.write(b"{")
        await go_on.wait()
        return answer

    async with asking(exchange, clock) as (rest, _):
        fetch_all(rest, 1)
        await clock.asleep()
        assert rest.http.wait_s(0) == 11
        go_on.set()


async def test_nothing_follows_a_429_on_its_connection() -> None:
    """A connection is free only once its answer has arrived, so its next request knows that answer."""

    async def transports_of(turns: int) -> list[asyncio.Transport | None]:
        transports: list[asyncio.Transport | None] = []
        clock = HandClock()

        async def exchange(request: web.Request) -> web.StreamResponse:
            transports.append(request.transport)
            return web.Response(status=429, headers={"Retry-After": "10"})

        async with asking(exchange, clock) as (rest, _):
            fetch_all(rest, 1)
            for _ in range(turns):
                await asyncio.sleep(0)
            rest.request_snapshot(FetchSnapshot("LATE", 1))
            await clock.asleep()
            for _ in range(20):
                await asyncio.sleep(0)
        return transports

    for turns in range(40):
        transports = await transports_of(turns)
        assert len(set(transports)) == len(transports), turns


async def test_the_longest_requested_silence_counts() -> None:
    """An answer from before a ban does not end it."""
    sent_s: list[float] = []
    clock = RestlessClock()

    go_on = asyncio.Event()
    ban = web.Response(status=418, headers={"Retry-After": "120"})
    late = web.Response(status=429, headers={"Retry-After": "10"})
    waits = Waits(go_on, ban, late)

    async def exchange(request: web.Request) -> web.StreamResponse:
        sent_s.append(clock.now_s)
        return await waits(request)

    async with asking(exchange, clock, sharers=CONCURRENCY_MAX // 2) as (rest, queue):
        fetch_all(rest, 2)
        await waits.are_under_way(2)
        go_on.set()
        for _ in range(2):
            assert isinstance(await next_answer(queue), DepthAnswer)
    assert min(sent_s[2:]) >= sent_s[0] + 121


async def test_a_429_silences_every_process_that_shares_the_address() -> None:
    """Whichever process got it, the others wait as long, and then continue without a failure."""
    told_s: list[float] = []
    sent_s: list[float] = []
    clock = RestlessClock()

    async def refuse_once(_: web.Request) -> web.StreamResponse:
        told_s.append(clock.now_s)
        if len(told_s) > 1:
            return web.Response(body=DEPTH)
        return web.Response(status=429, headers={"Retry-After": "10"})

    async def exchange(_: web.Request) -> web.StreamResponse:
        sent_s.append(clock.now_s)
        return web.Response(body=DEPTH)

    shared = (c_double * len(NO_PAUSE))(*NO_PAUSE)
    async with (
        asking(refuse_once, clock, sharers=2, shared=shared) as (first, _),
        asking(exchange, clock, sharers=2, shared=shared) as (second, queue),
    ):
        fetch_all(first, 1)
        while not first.http.wait_s(0):
            await asyncio.sleep(0)
        fetch_all(second, 1)
        assert isinstance(await next_answer(queue), DepthAnswer)
    assert told_s[0] + 11 <= sent_s[0] <= told_s[0] + 12


async def test_a_request_whose_connection_breaks_is_not_repeated_uncounted() -> None:
    """The budget counts every request sent, and after a failure none is sent before its time."""
    asked: list[str] = []

    async def exchange(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["symbol"])
        if len(asked) == 2:
            assert request.transport
            request.transport.abort()
        return web.Response(body=DEPTH)

    async with asking(exchange, RestlessClock()) as (rest, queue):
        for symbol in ("A", "B"):
            rest.request_snapshot(FetchSnapshot(symbol, 1))
            await next_answer(queue)
        assert rest.http.requests == len(asked) == 3
