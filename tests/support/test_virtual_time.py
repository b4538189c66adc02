"""Virtual time passes when nothing else can happen, and only then."""

from __future__ import annotations

import asyncio
import selectors
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from support import virtual_time
from support.virtual_time import START_NS, START_S, Hung, WallClock, running

HOUR_S = 3_600.0


@pytest.mark.within_s(None)
async def test_a_sleep_takes_exactly_its_time_and_no_real_one() -> None:
    """A month of it is over within the real patience, to the microsecond."""
    await asyncio.sleep(30 * 24 * HOUR_S)
    assert running().time() == pytest.approx(START_S + 30 * 24 * HOUR_S, abs=1e-6)


@pytest.mark.within_s(8_000)
async def test_timers_fire_in_the_order_of_their_times() -> None:
    """Each when its time has come."""
    fired: list[float] = []

    loop = running()
    for after_s in (3.0, 0.5, 7_200.0, 0.25):
        loop.call_later(after_s, lambda: fired.append(loop.time() - START_S))
    await asyncio.sleep(7_201)
    assert fired == [0.25, 0.5, 3.0, 7_200.0]


@pytest.mark.parametrize("own", [True, False])
async def test_a_thread_at_work_stops_time(own: bool) -> None:
    """In the loop's pool or another: who waits for it hears of it before any later timer."""
    order: list[str] = []

    loop, go_on = running(), threading.Event()
    loop.call_later(0.001, order.append, "a timer")
    with ThreadPoolExecutor(1) as pool:
        if own:
            job = loop.run_in_executor(None, go_on.wait)
        else:
            job = asyncio.wrap_future(pool.submit(go_on.wait))
        # The thread cannot be done before the loop has nothing left to do but wait for it.
        threading.Timer(0.05, go_on.set).start()
        await job
        order.append("the thread")
        await asyncio.sleep(1)
    assert order == ["the thread", "a timer"]


@pytest.mark.within_s(2 * HOUR_S)
async def test_a_thread_that_is_not_awaited_stops_time_too() -> None:
    """What a background job leaves behind is there before time continues."""
    begun, go_on = threading.Event(), threading.Event()

    def work() -> float:
        begun.set()
        go_on.wait()
        return running_loop.time()

    running_loop = running()
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(work)
        begun.wait()
        threading.Timer(0.05, go_on.set).start()
        await asyncio.sleep(HOUR_S)
        assert job.result() == START_S


async def test_an_error_in_a_thread_is_raised_where_it_is_awaited() -> None:
    """As without virtual time."""
    with pytest.raises(ZeroDivisionError):
        await running().run_in_executor(None, lambda: 1 / 0)


@pytest.mark.within_s(2 * HOUR_S)
async def test_a_job_that_was_called_off_does_not_stop_time() -> None:
    """A pool that is busy with another one gives it up."""
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(go_on.wait)
        second = pool.submit(go_on.wait)
        assert second.cancel()
        go_on.set()
    await asyncio.sleep(HOUR_S)


def sees_nothing_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a busy kernel: whatever is on its way has not arrived when it is first looked for."""
    real = selectors.DefaultSelector.select

    def slow(selector: Any, timeout: float | None = None) -> list[Any]:
        return [] if timeout == 0 else real(selector, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", slow)


@pytest.mark.parametrize("slow", [False, True])
async def test_what_is_sent_arrives_before_a_later_timer(
    slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred times there and back: no virtual time passes, however slow the machine."""
    if slow:
        sees_nothing_at_first(monkeypatch)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        for number in range(100):
            writer.write(b"%03d" % number)
            async with asyncio.timeout(1e-6):
                assert await reader.readexactly(3) == b"%03d" % number
        writer.write_eof()
        async with asyncio.timeout(1e-6):
            assert await reader.read() == b""
        writer.close()
        assert running().time() == START_S


async def test_a_large_answer_takes_no_time() -> None:
    """More than any buffer holds, through a server and a client that know nothing of it."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=bytes(20_000_000))

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}".format(*runner.addresses[0][:2])
    timeout = aiohttp.ClientTimeout(total=0.001)
    async with aiohttp.ClientSession() as http, http.get(url, timeout=timeout) as got:
        assert len(await got.read()) == 20_000_000
    assert running().time() == START_S
    await runner.cleanup()


async def test_silence_passes_time() -> None:
    """A server that never answers: the client's patience ends when it says, at once."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = "http://{}:{}".format(*server.sockets[0].getsockname())
        async with aiohttp.ClientSession() as http:
            with pytest.raises(TimeoutError):
                await http.get(url, timeout=aiohttp.ClientTimeout(total=4))
        assert running().time() == pytest.approx(START_S + 4, abs=1e-6)
        await asyncio.sleep(1)  # until the server has seen the client leave


async def test_a_peer_that_does_not_read_stops_no_time() -> None:
    """A full buffer between a writer and a reader that has paused holds nothing up."""

    async def fill(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(50_000_000))
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(fill, "127.0.0.1", 0) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1)
        await asyncio.sleep(60)
        writer.transport.abort()
        await asyncio.sleep(1)


def test_work_that_does_not_end_fails_in_virtual_time() -> None:
    """One that waits for what never comes, while a timer keeps ticking."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(1)

    async def work() -> None:
        ticking = asyncio.create_task(tick())
        await ticking

    with pytest.raises(TimeoutError):
        virtual_time.run(work(), within_s=100)


@pytest.mark.parametrize("polling", [True, False])
def test_work_that_hangs_fails_in_real_time(polling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a timer nothing would end it; the error says what was waited for, and where."""
    monkeypatch.setattr(virtual_time, "PATIENCE_S", 0.05)

    async def work() -> None:
        while polling:
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    with pytest.raises(Hung, match=r"0 virtual seconds, waiting for nothing[\s\S]*work:"):
        virtual_time.run(work(), within_s=None)


async def test_the_wall_clock_follows_and_can_be_set() -> None:
    """Steady time knows nothing of it."""
    clock = WallClock()
    assert (clock.now_ns(), clock.steady_s()) == (START_NS, START_S)
    await clock.pause(1.5)
    clock.step(-3_600)
    assert clock.now_ns() == START_NS + 1_500_000_000 - 3_600 * 10**9
    assert clock.steady_s() == START_S + 1.5


@pytest.mark.within_s(2 * HOUR_S)
async def test_a_suspended_machine_wakes_with_all_timers_due() -> None:
    """None of those that were due is early, and none is lost."""
    loop = running()
    sleeps = [asyncio.create_task(asyncio.sleep(after_s)) for after_s in (1, 1_000)]
    await asyncio.sleep(0)
    loop.pass_over(HOUR_S)
    await asyncio.gather(*sleeps)
    assert loop.time() == START_S + HOUR_S
