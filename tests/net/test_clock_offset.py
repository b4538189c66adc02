"""The offset between our clock and the exchange's is measured within the recorded error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from booktape.core.tape_records import ClockOffset
from booktape.net.clock_offset import AFTER_FAILURE_S, EVERY_S, FIRST_S, SAMPLES, OffsetMeter
from booktape.net.context import NetContext
from booktape.net.rest_client import RestClient
from net.loopback import Handler, linked
from support import virtual_time


class Exchange:
    """Its clock is `behind_s` behind ours; requests take `there_s`, answers `back_s`."""

    def __init__(self, behind_s: float, there_s: float, back_s: float) -> None:
        self.behind_s = behind_s
        self.asked = 0
        self.slow_one = 0
        self.instead: dict[int, web.Response] = {}
        self.knows_microseconds = True
        self._there_s = there_s
        self._back_s = back_s
        self._clock = virtual_time.WallClock()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert request.path == "/api/v3/time"
        self.asked += 1
        if self.asked in self.instead:
            return self.instead[self.asked]
        await asyncio.sleep(self._there_s)
        if self.asked == self.slow_one:
            await asyncio.sleep(1)
        micro = self.knows_microseconds and request.headers["X-MBX-TIME-UNIT"] == "MICROSECOND"
        time_ns = self._clock.now_ns() - round(self.behind_s * 1e9)
        await asyncio.sleep(self._back_s)
        return web.json_response({"serverTime": time_ns // (1_000 if micro else 1_000_000)})


@asynccontextmanager
async def measuring(exchange: Handler) -> AsyncIterator[tuple[NetContext, virtual_time.WallClock]]:
    clock = virtual_time.WallClock()
    async with linked(exchange, clock) as context:
        task = asyncio.create_task(OffsetMeter(RestClient(context)).run())
        try:
            yield context, clock
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def offsets(context: NetContext) -> list[ClockOffset]:
    found = await context.queue.take(100, 10**9) if context.queue else []
    assert all(isinstance(frame, ClockOffset) for frame in found)
    return [frame for frame in found if isinstance(frame, ClockOffset)]


@pytest.mark.parametrize("behind_s", [0.0, 1.25, -3_600.0])
@pytest.mark.parametrize(("there_s", "back_s"), [(0.1, 0.1), (0.3, 0.0), (0.0, 0.3)])
@pytest.mark.parametrize("knows_microseconds", [True, False])
async def test_the_true_offset_is_within_the_error(
    behind_s: float, there_s: float, back_s: float, knows_microseconds: bool
) -> None:
    """However unequal the delays are; with equal delays it is exactly in the middle."""
    exchange = Exchange(behind_s, there_s, back_s)
    exchange.knows_microseconds = knows_microseconds

    async with measuring(exchange) as (context, _):
        await asyncio.sleep(FIRST_S + 10)
        (found,) = await offsets(context)
    unit_s = 1e-6 if knows_microseconds else 1e-3
    rounded_ns = 10
    assert abs(found.offset_ns - round(behind_s * 1e9)) <= found.error_ns + rounded_ns
    assert found.error_ns / 1e9 == pytest.approx((there_s + back_s) / 2 + unit_s / 2)
    if there_s == back_s:
        assert found.offset_ns / 1e9 == pytest.approx(behind_s, abs=unit_s)


async def test_it_is_measured_every_quarter_of_an_hour_and_the_fastest_sample_counts() -> None:
    """A delayed sample is less precise."""
    exchange = Exchange(2, 0.1, 0.1)
    exchange.slow_one = 1

    async with measuring(exchange) as (context, _):
        await asyncio.sleep(FIRST_S + 10 + 2 * EVERY_S)
        found = await offsets(context)
    assert len(found) == 3
    assert exchange.asked == 3 * SAMPLES
    assert {round(each.error_ns / 1e9, 3) for each in found} == {0.1}
    assert found[2].received_ns - found[1].received_ns >= EVERY_S * 10**9


async def test_setting_the_clock_meanwhile_does_not_spoil_the_measurement() -> None:
    """The round trip is measured in steady time, which never steps."""
    exchange = Exchange(0, 0.5, 0.5)

    async with measuring(exchange) as (context, clock):
        await asyncio.sleep(FIRST_S + 0.25)
        clock.step(-3_600)
        await asyncio.sleep(10)
        (found,) = await offsets(context)
    assert found.error_ns == pytest.approx(0.5e9, rel=0.01)


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.Response(status=404),
        web.Response(text="<html>"),
        web.Response(text='{"serverTime":-1}'),
        web.Response(status=429, headers={"Retry-After": "5"}),
    ],
)
async def test_no_answer_ends_the_measuring(answer: web.Response) -> None:
    """The next measurement comes a minute later."""
    exchange = Exchange(1, 0.1, 0.1)
    exchange.instead[1] = answer

    async with measuring(exchange) as (context, _):
        await asyncio.sleep(FIRST_S + AFTER_FAILURE_S - 1)
        assert await offsets(context) == []
        await asyncio.sleep(10)
        assert len(await offsets(context)) == 1
