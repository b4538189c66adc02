"""A connection that is always there: reopened after a loss, and replaced before a foreseeable one."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from booktape.core.tape_records import Connected, Disconnected, StreamMessage, TapeRecord
from booktape.net.backoff import LONGEST_S
from booktape.net.clock import Clock
from booktape.net.connection_keeper import (
    HEALTHY_S,
    OVERLAP_MAX_S,
    ConnectionKeeper,
    ConnectionKeepers,
    ConnectionLimits,
)
from booktape.net.context import NetContext
from booktape.wire.limits import ATTEMPTS_PER_WINDOW, ATTEMPTS_WINDOW_S
from net.hand_clock import BriskClock, HandClock, RestlessClock
from net.loopback import Handler, accept, linked, next_frame, until_closed
from support import virtual_time

SYMBOLS = ("BTCUSDT",)
DAY_S = 86_400


def always(_: int, __: int) -> bool:
    return True


@asynccontextmanager
async def keeping(
    handler: Handler,
    clock: Clock,
    can_relieve: Callable[[int, int], bool] = always,
    life_s: float = DAY_S,
    sharers: int = 1,
) -> AsyncIterator[tuple[ConnectionKeeper, NetContext]]:
    """A keeper at work."""
    async with linked(handler, clock) as context:
        keeper = ConnectionKeeper(context, SYMBOLS, ConnectionLimits(can_relieve, life_s, sharers))
        task = asyncio.create_task(keeper.run())
        try:
            yield keeper, context
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def stay(request: web.Request) -> web.StreamResponse:
    """An exchange that accepts and never sends anything."""
    return await until_closed(await accept(request))


class Pinging:
    """An exchange that pings as the real one does, and refuses the attempts with these numbers."""

    def __init__(self, *refused: int) -> None:
        self.tries = 0
        self.open: dict[int, web.WebSocketResponse] = {}
        self._refused = refused

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.tries = number = self.tries + 1
        if number in self._refused:
            return web.Response(status=503)
        socket = self.open[number] = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        await until_closed(socket)
        del self.open[number]
        return socket


async def lives(context: NetContext, count: int) -> list[tuple[str, int]]:
    """The next notes about connections, in order: what happened to which."""
    found: list[tuple[str, int]] = []
    while len(found) < count:
        frame: TapeRecord = await next_frame(context.queue)
        if isinstance(frame, Connected | Disconnected):
            found.append((type(frame).__name__, frame.connection))
    return found


async def test_it_reconnects_for_ever_with_growing_pauses() -> None:
    """It is refused forty times, then accepted: the number of attempts has no limit."""
    tries = itertools.count(1)

    async def exchange(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503) if next(tries) <= 40 else await stay(request)

    clock = BriskClock()
    async with keeping(exchange, clock) as (_, context):
        assert await lives(context, 1) == [("Connected", 41)]
        assert len(clock.pauses) == 40
        assert max(clock.pauses[:3]) <= 2
        assert max(clock.pauses) <= 30


async def test_pauses_start_small_again_after_a_healthy_minute() -> None:
    """A cut after a long life is no reason for a long wait; one after a short life is."""
    tries = itertools.count(1)

    clock = BriskClock()

    async def exchange(request: web.Request) -> web.StreamResponse:
        if next(tries) <= 9:
            return web.Response(status=503)
        socket = await accept(request)
        clock.now_s += HEALTHY_S + 1  # one float above the minimum
        await socket.close()
        return socket

    async with keeping(exchange, clock) as (_, context):
        await lives(context, 8)
        healthy = clock.pauses[9:]
        assert len(healthy) >= 3
        assert max(healthy) <= 0.5


async def test_a_cut_after_delivering_is_no_reason_for_a_long_wait() -> None:
    """However often it happens: only a connection that is cut at once leads to longer pauses."""

    async def pauses_after(lived_s: float) -> list[float]:
        clock = BriskClock()

        async def exchange(request: web.Request) -> web.StreamResponse:
            socket = await accept(request)
            await socket.send_str("{}")
            clock.now_s += lived_s
            await socket.close()
            return socket

        async with keeping(exchange, clock) as (_, context):
            await lives(context, 40)
            return clock.pauses

    assert max(await pauses_after(lived_s=2)) <= 0.5
    assert max(await pauses_after(lived_s=0)) > 2


async def test_a_connection_is_replaced_before_it_is_closed() -> None:
    """Make before break: the new one is open before the old one is closed."""
    async with keeping(stay, BriskClock()) as (keeper, context):
        await lives(context, 1)
        keeper.replace(1, "a test wants it")
        assert await lives(context, 2) == [("Connected", 2), ("Disconnected", 1)]
        # Perhaps 2 has not taken over yet: then it is replaced as soon as it has.
        keeper.replace(2, "once more")
        assert await lives(context, 2) == [("Connected", 3), ("Disconnected", 2)]


async def test_only_the_named_connection_is_replaced_and_only_once() -> None:
    """A late request to replace connection 1 leaves connection 2 alone."""
    async with keeping(stay, BriskClock()) as (keeper, context):
        keeper.replace(None, "nothing is there yet")
        await lives(context, 1)
        keeper.replace(1, "first")
        keeper.replace(1, "and again while it is being done")
        await lives(context, 2)
        keeper.replace(2, "now the next one")
        keeper.replace(1, "late")
        assert await lives(context, 2) == [("Connected", 3), ("Disconnected", 2)]


async def test_the_old_connection_stays_until_the_new_one_carries_everything() -> None:
    """Until arbitration agrees, both deliver, for a bounded time."""
    asked: list[tuple[int, int]] = []

    def not_yet(old: int, new: int) -> bool:
        asked.append((old, new))
        return len(asked) > 5

    clock = BriskClock()
    async with keeping(stay, clock, not_yet) as (keeper, context):
        await lives(context, 1)
        keeper.replace(1, "a test wants it")
        assert await lives(context, 2) == [("Connected", 2), ("Disconnected", 1)]
        assert asked == [(1, 2)] * 6


async def test_a_new_connection_that_never_carries_everything_takes_over_in_the_end() -> None:
    """A silent old connection must not keep its place for ever."""
    clock = BriskClock()
    async with keeping(stay, clock, lambda _, __: False) as (keeper, context):
        await lives(context, 1)
        began_s = clock.now_s
        keeper.replace(1, "a test wants it")
        await lives(context, 2)
        assert clock.now_s - began_s >= OVERLAP_MAX_S


async def test_a_successor_that_cannot_connect_is_tried_again_and_the_old_one_stays() -> None:
    """The old connection is not given up before a new one is open."""
    tries = itertools.count(1)

    async def exchange(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503) if 1 < next(tries) < 6 else await stay(request)

    async with keeping(exchange, BriskClock()) as (keeper, context):
        await lives(context, 1)
        keeper.replace(1, "a test wants it")
        assert await lives(context, 2) == [("Connected", 6), ("Disconnected", 1)]


async def test_when_the_old_connection_dies_meanwhile_its_successor_takes_over() -> None:
    """The successor is not opened twice, and the keeper continues with it."""
    cut, heard = asyncio.Event(), asyncio.Event()
    tries = itertools.count(1)

    async def exchange(request: web.Request) -> web.StreamResponse:
        first = next(tries) == 1
        socket = await accept(request)
        await cut.wait()
        if first:
            await socket.close()
            return socket
        await heard.wait()
        await socket.send_str("{}")
        return await until_closed(socket)

    async with keeping(exchange, BriskClock(), lambda _, __: False) as (keeper, context):
        await lives(context, 1)
        keeper.replace(1, "a test wants it")
        assert await lives(context, 1) == [("Connected", 2)]
        cut.set()
        assert await lives(context, 1) == [("Disconnected", 1)]
        heard.set()
        frame = await next_frame(context.queue)
        assert isinstance(frame, StreamMessage)
        assert frame.connection == 2


async def test_a_connection_is_renewed_before_its_lifetime_ends() -> None:
    """At a random moment of the last hour of 24, so that the exchange never has to cut it."""
    clock = HandClock()
    async with keeping(stay, clock) as (_, context):
        await lives(context, 1)
        (await clock.asleep()).advance(23 * 3_600 - 1)
        clock.pauses.clear()
        clock.advance(3_541)
        assert await lives(context, 1) == [("Connected", 2)]


def test_lifetimes_end_within_the_last_hour() -> None:
    """Never later than a minute before the limit, and not all at once."""
    spans = [ConnectionLimits(always).lifetime_s() for _ in range(500)]
    assert min(spans) >= 23 * 3_600
    assert max(spans) <= 24 * 3_600 - 60
    assert max(spans) - min(spans) > 3_000


@pytest.mark.within_s(None)
async def test_a_successor_s_lifetime_counts_from_its_handshake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have been on standby for a minute, which the exchange counts as part of its life."""
    monkeypatch.setattr(random, "uniform", lambda low, _: low)
    life_s = 3_600

    clock = virtual_time.WallClock()
    async with keeping(Pinging(), clock, lambda _, __: False, life_s) as (keeper, context):
        await lives(context, 1)
        keeper.replace(1, "a test wants it")
        await clock.pause(2 * life_s)
        second, first_gone, third = [await next_frame(context.queue) for _ in range(3)]
        assert isinstance(second, Connected)
        assert isinstance(first_gone, Disconnected)
        assert isinstance(third, Connected)
        assert third.received_ns - second.received_ns < life_s * 10**9


async def test_waiting_for_a_turn_is_no_sign_of_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """When attempts five minutes apart are each refused at once, the pauses still grow."""
    monkeypatch.setattr(random, "uniform", lambda _, high: high)

    clock = virtual_time.WallClock()
    exchange = Pinging(*range(20))
    with capture_logs() as lines:
        async with keeping(exchange, clock, sharers=ATTEMPTS_PER_WINDOW):
            while exchange.tries < 12:
                await clock.pause(1)
    pauses = [line["again_in_s"] for line in lines if line["event"] == "no connection"]
    assert max(pauses) == LONGEST_S


async def test_the_request_to_replace_a_failed_successor_is_forgotten() -> None:
    """The next successor has done nothing wrong, and stays."""
    clock, exchange = virtual_time.WallClock(), Pinging()
    async with keeping(exchange, clock, lambda _, new: new == 3) as (keeper, context):
        await lives(context, 1)
        keeper.replace(1, "a test wants it")
        await lives(context, 1)
        keeper.replace(2, "it is no good")
        await exchange.open[2].close()
        expected = [("Disconnected", 2), ("Connected", 3), ("Disconnected", 1)]
        assert await lives(context, 3) == expected
        await clock.pause(100)
        assert list(exchange.open) == [3]
        assert exchange.tries == 3


async def test_once_the_old_connection_is_lost_no_successor_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is lost during a longer pause after a failure: a new connection is open before that pause ends."""
    monkeypatch.setattr(random, "uniform", lambda _, high: high)

    clock, exchange = virtual_time.WallClock(), Pinging(*range(2, 8))
    async with keeping(exchange, clock) as (keeper, context):
        await lives(context, 1)
        keeper.replace(1, "a test wants it")
        while exchange.tries < 7:
            await clock.pause(0.1)
        await clock.pause(2)  # the next attempt would be in eight seconds
        await exchange.open[1].close()
        assert await lives(context, 2) == [("Disconnected", 1), ("Connected", 8)]
        await clock.pause(100)
        assert exchange.tries == 8


async def test_of_two_attempts_that_wait_only_one_opens_a_connection() -> None:
    """The old connection is lost while its successor waits for an attempt: one connection is enough."""
    clock, exchange = virtual_time.WallClock(), Pinging(2)
    async with keeping(exchange, clock, sharers=ATTEMPTS_PER_WINDOW // 2) as (keeper, context):
        await lives(context, 1)
        keeper.replace(1, "a test wants it")
        await clock.pause(10)
        await exchange.open[1].close()
        await clock.pause(3 * ATTEMPTS_WINDOW_S)
        assert list(exchange.open) == [3]


async def test_attempts_keep_within_the_exchange_s_limit() -> None:
    """All keepers of a recorder together make at most 300 in five minutes."""
    tried_s: list[float] = []

    clock = BriskClock()
    enough = asyncio.Event()

    async def exchange(_: web.Request) -> web.StreamResponse:
        tried_s.append(clock.now_s)
        if len(tried_s) > 2 * ATTEMPTS_PER_WINDOW:
            enough.set()
        return web.Response(status=503)

    async with linked(exchange, _Impatient(clock)) as context:
        limits = ConnectionLimits(always)
        keepers = [ConnectionKeeper(context, SYMBOLS, limits) for _ in range(20)]
        tasks = [asyncio.create_task(keeper.run()) for keeper in keepers]
        async with asyncio.timeout(30):
            await enough.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for start_s in tried_s:
        in_window = sum(start_s <= at_s < start_s + ATTEMPTS_WINDOW_S - 1 for at_s in tried_s)
        assert in_window <= ATTEMPTS_PER_WINDOW


@pytest.mark.parametrize(("at_s", "first_s"), [(2_000, 1_000), (400, 85_800), (1_000, DAY_S)])
async def test_connections_are_replaced_at_a_time_of_day(at_s: float, first_s: float) -> None:
    """At the next occurrence of that time, in UTC, and every day from then on."""
    clock = RestlessClock()  # which shows 1,000 s of its first day
    async with linked(stay, clock) as context:
        keepers = ConnectionKeepers(context, (), 1, ConnectionLimits(always), at_s)
        task = asyncio.create_task(keepers.run())
        while len(clock.pauses) < 3:
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert clock.pauses[:3] == [first_s, DAY_S, DAY_S]


class _Impatient(RestlessClock):
    """Only the waits that a limit requires take time; pauses between attempts take almost none."""

    def __init__(self, shared: HandClock) -> None:
        super().__init__()
        self._shared = shared

    def steady_s(self) -> float:
        return self._shared.now_s

    async def pause(self, seconds: float) -> None:
        if seconds > 1_000:
            await asyncio.Event().wait()
        self._shared.now_s += seconds / 100 if seconds <= 30 else seconds
        await asyncio.sleep(0)
