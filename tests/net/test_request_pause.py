"""Pauses that the exchange asks for: neither a request nor a handshake is sent."""

from __future__ import annotations

import asyncio
from ctypes import Array, c_double

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from booktape.core.events import FetchSnapshot
from booktape.core.tape_records import Connected, DepthAnswer, Disconnected
from booktape.net.connection_keeper import (
    AFTER_PAUSE_SPREAD_S,
    POLICY_PAUSE_S,
    ConnectionKeeper,
    ConnectionLimits,
)
from booktape.net.context import NetContext
from booktape.net.request_pause import (
    EXTRA_S,
    FIREWALL_LONGEST_S,
    FIREWALL_S,
    NO_PAUSE,
    RequestPause,
)
from booktape.net.rest_client import RestClient
from net.hand_clock import HandClock
from net.loopback import DEPTH, accept, linked, next_answer, next_frame, until_closed
from support import virtual_time

BAN_S = 40
LIVED_S = 20
NOW_NS = virtual_time.START_NS
SYMBOL = "BTCUSDT"


def ban_text(until_ns: int) -> str:
    return (
        '{"code":-1003,"msg":"Way too much request weight used; IP banned until '
        f'{until_ns // 10**6}. Please use WebSocket Streams for live updates to avoid bans."}}'
    )


class Exchange:
    """Answers one kind of request once with a given answer, then normally; records when each came."""

    def __init__(self, **first: web.Response) -> None:
        self.came_s: dict[str, list[float]] = {"rest": [], "stream": []}
        self._first = first

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        kind = "stream" if request.path == "/stream" else "rest"
        self.came_s[kind].append(virtual_time.running().time())
        if kind in self._first:
            return self._first.pop(kind)
        if kind == "stream":
            return await until_closed(await accept(request))
        return web.Response(body=DEPTH)


async def both_at_work(
    context: NetContext,
) -> tuple[ConnectionKeeper, RestClient, list[asyncio.Task[None]]]:
    """A keeper and requests of one recorder."""
    keeper = ConnectionKeeper(context, (SYMBOL,), ConnectionLimits(lambda _, __: True))
    rest = RestClient(context)
    return keeper, rest, [asyncio.create_task(keeper.run()), asyncio.create_task(rest.run())]


ANSWERS = [
    (429, {"Retry-After": "30"}, 30),
    (429, {}, 60),
    (418, {"Retry-After": "300"}, 300),
    (418, {}, 120),
    (403, {}, FIREWALL_S),
]


@pytest.mark.parametrize("kind", ["rest", "stream"])
@pytest.mark.parametrize(("status", "headers", "pause_s"), ANSWERS)
async def test_neither_a_request_nor_a_handshake_is_sent_during_a_pause(
    kind: str, status: int, headers: dict[str, str], pause_s: float
) -> None:
    """Whichever of the two got the answer, both resume by themselves afterwards."""
    exchange = Exchange(**{kind: web.Response(status=status, headers=headers)})

    async with linked(exchange, virtual_time.WallClock()) as context:
        _, rest, tasks = await both_at_work(context)
        if kind == "rest":
            assert isinstance(await next_frame(context.queue), Connected)
            rest.request_snapshot(FetchSnapshot(SYMBOL, 1))
        while not context.pause.left_s():
            await asyncio.sleep(0.01)
        told_s = exchange.came_s[kind][0]
        rest.request_snapshot(FetchSnapshot("ETHUSDT", 1))
        another = asyncio.create_task(
            ConnectionKeeper(context, (SYMBOL,), ConnectionLimits(lambda _, __: True)).run()
        )
        await asyncio.sleep(pause_s + EXTRA_S + AFTER_PAUSE_SPREAD_S + 1)
        for task in (*tasks, another):
            task.cancel()
        await asyncio.wait([*tasks, another])
    later = [at_s - told_s for times in exchange.came_s.values() for at_s in times if at_s > told_s]
    assert min(later) >= pause_s + EXTRA_S
    assert all(times[-1] > told_s for times in exchange.came_s.values())


async def test_the_firewall_s_answer_is_logged() -> None:
    """The log names it once, with the length of the pause."""
    exchange = Exchange(stream=web.Response(status=403))

    with capture_logs() as lines:
        async with linked(exchange, virtual_time.WallClock()) as context:
            _, _, tasks = await both_at_work(context)
            await asyncio.sleep(2)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    (line,) = [line for line in lines if line["event"] == "the exchange asks for a pause"]
    assert "firewall" in line["answer"]
    assert "300 s" in line["answer"]


async def test_a_ban_without_retry_after_lasts_as_long_as_its_body_says() -> None:
    """The body has milliseconds since 1970; nothing is sent while it is on its way either."""
    came_s: list[float] = []

    async def exchange(request: web.Request) -> web.StreamResponse:
        came_s.append(virtual_time.running().time())
        if len(came_s) > 1:
            return web.Response(body=DEPTH)
        answer = web.StreamResponse(status=418)
        await answer.prepare(request)
        await asyncio.sleep(1)
        await answer.write(ban_text(link_clock.now_ns() + BAN_S * 10**9).encode())
        return answer

    link_clock = virtual_time.WallClock()

    async with linked(exchange, link_clock) as context:
        rest = RestClient(context)
        task = asyncio.create_task(rest.run())
        rest.request_snapshot(FetchSnapshot(SYMBOL, 1))
        await asyncio.sleep(0.5)
        rest.request_snapshot(FetchSnapshot("ETHUSDT", 1))
        await asyncio.sleep(BAN_S)
        for _ in range(2):
            assert isinstance(await next_answer(context.queue), DepthAnswer)
        task.cancel()
        await asyncio.wait([task])
    told_s = came_s[0] + 1
    assert told_s + BAN_S + EXTRA_S - 0.01 <= min(came_s[1:]) <= told_s + BAN_S + EXTRA_S + 1


async def test_a_ban_without_its_body_is_still_a_ban() -> None:
    """The body is awaited for two seconds."""

    async def exchange(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=418)
        await answer.prepare(request)
        await asyncio.sleep(3_600)
        return answer

    async with linked(exchange, virtual_time.WallClock()) as context:
        rest = RestClient(context)
        task = asyncio.create_task(rest.run())
        rest.request_snapshot(FetchSnapshot(SYMBOL, 1))
        await asyncio.sleep(3)
        assert 119 <= context.pause.left_s() <= 121
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize(
    ("status", "headers", "body", "pause_s"),
    [
        (418, {"Retry-After": "70"}, ban_text(10**18), 70),
        (418, {}, ban_text(NOW_NS + 9 * 10**9), 9),
        (418, {}, ban_text(NOW_NS - 9 * 10**9), 120),
        (418, {}, "IP banned until tomorrow", 120),
        (418, {}, "<html>", 120),
        (418, {}, ban_text(10**18 * 9), 3 * 86_400),
        (429, {"Retry-After": "9" * 5_000}, "", 60),
        (429, {"Retry-After": "9999999999"}, "", 3 * 86_400),
        (429, {"Retry-After": "-1"}, "", 60),
        (429, {"Retry-After": "٣"}, "", 60),
        (429, {"Retry-After": "Fri, 31 Dec 2027 23:59:59 GMT"}, "", 60),
        (403, {"Retry-After": "1"}, "", FIREWALL_S),
        (403, {"Retry-After": "900"}, "", 900),
    ],
)
def test_the_pause_is_as_long_as_the_answer_says_within_reason(
    status: int, headers: dict[str, str], body: str, pause_s: float
) -> None:
    """At most three days, the exchange's longest ban; a nonsensical value is ignored."""
    clock = HandClock()
    clock.now_s = NOW_NS / 1e9
    pause = RequestPause(clock)
    assert pause.begin(status, headers, body.encode()).retry_after_s == pytest.approx(pause_s)
    assert pause.left_s() == pytest.approx(pause_s + EXTRA_S)


def test_a_firewall_that_answers_again_causes_longer_pauses() -> None:
    """They double each time, up to an hour; after an hour without it they start over."""
    clock = HandClock()
    first, second = (RequestPause(clock, shared) for shared in [_memory()] * 2)
    found: list[float] = []
    for pause in (first, second) * 4:
        found.append(pause.begin(403, {}).retry_after_s)
        # Answers to requests under way at the same time belong to the same trouble.
        assert second.begin(403, {}).retry_after_s == found[-1]
        clock.advance(pause.left_s() + 1)
    assert found == [300, 600, 1200, 2400, 3600, 3600, 3600, 3600]
    assert found[-1] == FIREWALL_LONGEST_S
    clock.advance(FIREWALL_LONGEST_S)
    assert first.begin(403, {}).retry_after_s == FIREWALL_S


def _memory() -> Array[c_double]:
    return (c_double * len(NO_PAUSE))(*NO_PAUSE)


async def test_a_handshake_already_decided_on_is_not_sent_into_a_silence() -> None:
    """Silence was asked for between the decision and the handshake."""
    exchange = Exchange()
    async with linked(exchange, virtual_time.WallClock()) as context:
        keeper = ConnectionKeeper(context, (SYMBOL,), ConnectionLimits(lambda _, __: True))
        task = asyncio.create_task(keeper.run())
        await asyncio.sleep(0)
        context.pause.begin(429, {"Retry-After": "30"})
        await asyncio.sleep(29)
        assert exchange.came_s["stream"] == []
        await asyncio.sleep(AFTER_PAUSE_SPREAD_S + 2)
        assert len(exchange.came_s["stream"]) == 1
        task.cancel()
        await asyncio.wait([task])


async def test_after_a_close_blamed_on_us_the_next_attempt_waits() -> None:
    """Code 1008, with a reason such as "Too many requests", is logged, and a minute passes first."""
    came_s: list[float] = []

    async def exchange(request: web.Request) -> web.StreamResponse:
        came_s.append(virtual_time.running().time())
        socket = await accept(request)
        if len(came_s) == 1:
            await socket.send_str("{}")
            await asyncio.sleep(LIVED_S)
            await socket.close(code=1008, message=b"Too many requests")
        return await until_closed(socket)

    with capture_logs() as lines:
        async with linked(exchange, virtual_time.WallClock()) as context:
            keeper = ConnectionKeeper(context, (SYMBOL,), ConnectionLimits(lambda _, __: True))
            task = asyncio.create_task(keeper.run())
            await asyncio.sleep(LIVED_S + POLICY_PAUSE_S + 2)
            gone = next(f for f in context.queue.drain() if isinstance(f, Disconnected))
            assert gone.detail == "closed (code 1008: Too many requests)"
            task.cancel()
            await asyncio.wait([task])
    first_s, second_s = came_s
    assert POLICY_PAUSE_S <= second_s - first_s - LIVED_S <= POLICY_PAUSE_S + 1
    (line,) = [line for line in lines if line["event"] == "no connection"]
    assert "Too many requests" in line["error"]
    assert line["again_in_s"] >= POLICY_PAUSE_S
