"""The pulse: requested in time, within the budget, and written down only for quiet books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from booktape.core.events import FetchSnapshot, Urgency
from booktape.core.tape_records import Pulse
from booktape.net.context import NetContext
from booktape.net.pulse import FIRST_S, GIVES_WAY_S, PULSE_SPACING_S, QUIET_NS, PulseClient
from booktape.net.rest_client import RestClient
from booktape.wire.best_prices import BestPrices
from net.loopback import DEPTH, Handler, linked
from support import virtual_time

BTC, ETH, LTC = "BTCUSDT", "ETHBTC", "LTCBTC"
TOP = ("1.50000000", "2.00000000", "2.50000000", "1.00000000")
PERIOD_S = 30.0


def now_s() -> float:
    return virtual_time.running().time() - virtual_time.START_S


class Exchange:
    """Has the best prices of some symbols; records which were requested when."""

    def __init__(self, *symbols: str) -> None:
        self.symbols = symbols
        self.asked: list[tuple[float, str]] = []
        self.instead: dict[int, web.Response] = {}
        self.before: Callable[[], None] = lambda: None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/api/v3/ticker/bookTicker":
            return web.Response(body=DEPTH)
        named = request.query.get("symbols", "")
        self.asked.append((now_s(), named))
        self.before()
        if len(self.asked) in self.instead:
            return self.instead[len(self.asked)]
        names = json.loads(named) if named else self.symbols
        if not set(names) <= set(self.symbols):
            return web.Response(status=400, text='{"code":-1121,"msg":"Invalid symbol."}')
        fields = ("bidPrice", "bidQty", "askPrice", "askQty")
        answer = [{"symbol": name, **dict(zip(fields, TOP, strict=True))} for name in names]
        return web.json_response(answer)

    def times(self) -> list[float]:
        return [round(at_s) for at_s, _ in self.asked]


class Books:
    """Which of them are quiet, and from when on that was asked."""

    def __init__(self, *quiet: str) -> None:
        self.quiet: Collection[str] = quiet
        self.moments: list[int] = []

    def __call__(self, moment_ns: int) -> Collection[str]:
        self.moments.append(moment_ns)
        return self.quiet


@asynccontextmanager
async def beating(
    exchange: Handler, books: Books, on_names: Callable[[BestPrices], None] | None = None
) -> AsyncIterator[tuple[PulseClient, RestClient, NetContext]]:
    """A pulse at work."""
    async with linked(exchange, virtual_time.WallClock()) as context:
        rest = RestClient(context)
        pulse = PulseClient(rest, PERIOD_S, books, on_names)
        tasks = [asyncio.create_task(pulse.run()), asyncio.create_task(rest.run())]
        try:
            yield pulse, rest, context
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def pulses(context: NetContext) -> list[Pulse]:
    """All pulses that have reached the queue so far."""
    if not context.queue:
        return []
    return [frame for frame in await context.queue.take(100, 10**9) if isinstance(frame, Pulse)]


async def test_it_is_requested_soon_after_the_start_and_then_every_period() -> None:
    """It is requested by name; its prices of quiet books become a frame with the time of the request."""
    exchange, books = Exchange(BTC, ETH), Books(BTC)

    async with beating(exchange, books) as (_, _, context):
        await asyncio.sleep(FIRST_S + 2 * PERIOD_S + 1)
        found = await pulses(context)
    assert exchange.times() == [FIRST_S, FIRST_S + PERIOD_S, FIRST_S + 2 * PERIOD_S]
    assert {named for _, named in exchange.asked} == {f'["{BTC}"]'}
    assert [pulse.tops for pulse in found] == [{BTC: TOP}] * 3
    asked_ns = virtual_time.START_NS + round(FIRST_S * 1e9)
    assert found[0].asked_ns == pytest.approx(asked_ns, abs=1_000)
    assert found[0].received_ns >= found[0].asked_ns
    assert books.moments[:2] == [found[0].asked_ns - QUIET_NS] * 2


async def test_while_no_book_is_quiet_nothing_is_requested_and_nothing_is_written() -> None:
    """A book that its events prove needs no pulse."""
    exchange, books = Exchange(BTC), Books()

    async with beating(exchange, books) as (_, _, context):
        await asyncio.sleep(3 * PERIOD_S)
        assert exchange.asked == []
        books.quiet = (BTC,)
        await asyncio.sleep(PERIOD_S)
        assert len(await pulses(context)) == 1


async def test_a_book_that_changed_while_the_answer_was_on_its_way_is_not_written() -> None:
    """The answer may be older than the book."""
    exchange, books = Exchange(BTC, ETH), Books(BTC, ETH)

    def change() -> None:
        books.quiet = (ETH,)

    exchange.before = change

    async with beating(exchange, books) as (_, _, context):
        await asyncio.sleep(FIRST_S + 1)
        (pulse,) = await pulses(context)
        assert set(pulse.tops) == {ETH}
        books.quiet, exchange.before = (ETH,), lambda: setattr(books, "quiet", ())
        await asyncio.sleep(PERIOD_S)
        assert len(exchange.asked) == 2
        assert await pulses(context) == []


async def test_very_many_symbols_are_requested_without_names() -> None:
    """The length of a URL is limited; the answer for all symbols costs the same."""
    many = [f"S{n}USDT" for n in range(1_000)]
    exchange, books = Exchange(*many), Books(*many)

    async with beating(exchange, books) as (_, _, context):
        await asyncio.sleep(FIRST_S + 1)
        (pulse,) = await pulses(context)
        assert set(pulse.tops) == set(many)
    assert [named for _, named in exchange.asked] == [""]


async def test_a_caller_that_wants_every_name_gets_them_at_every_pulse() -> None:
    """Even if no book is quiet, because this is how a new symbol is found."""
    exchange = Exchange(BTC, ETH)
    seen: list[BestPrices] = []

    async with beating(exchange, Books(), seen.append) as (_, _, context):
        await asyncio.sleep(FIRST_S + PERIOD_S + 1)
        assert await pulses(context) == []
    assert [set(prices.names) for prices in seen] == [{BTC, ETH}] * 2


async def test_in_a_hurry_it_comes_at_once_and_never_more_often_than_every_five_seconds() -> None:
    """After a connection was replaced, the books it carried must be proved soon."""
    exchange = Exchange(BTC)

    async with beating(exchange, Books(BTC)) as (pulse, _, _):
        await asyncio.sleep(FIRST_S + 12)
        for _ in range(3):
            pulse.hurry()
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        assert exchange.times() == [5, 17, 17 + PULSE_SPACING_S]
        await asyncio.sleep(PERIOD_S - 5)
        assert exchange.times()[-1] == 17 + PULSE_SPACING_S + PERIOD_S


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.Response(status=503, text="<html>"),
        web.Response(status=429, headers={"Retry-After": "1"}),
        web.Response(status=404),
        web.Response(text="<html>"),
        web.Response(text='[{"symbol":"BTCUSDT","bidPrice":"1.5","bidQ'),
        web.Response(
            text='[{"symbol":"BTCUSDT","bidPrice":"x","bidQty":"","askPrice":"","askQty":""}]'
        ),
    ],
)
async def test_no_answer_ends_the_pulse(answer: web.Response) -> None:
    """A bad answer is logged, nothing is written, and the next pulse comes."""
    exchange = Exchange(BTC)
    exchange.instead[1] = answer

    with capture_logs() as lines:
        async with beating(exchange, Books(BTC)) as (_, _, context):
            await asyncio.sleep(FIRST_S + 2)
            assert await pulses(context) == []
            await asyncio.sleep(PERIOD_S + PULSE_SPACING_S)
            assert (await pulses(context))[0].tops == {BTC: TOP}
    assert any(line["log_level"] == "warning" for line in lines) or answer.status == 404


async def test_a_symbol_that_is_gone_does_not_cost_the_others_their_proof() -> None:
    """Its name spoils the answer for all; so all symbols are requested next, and the list is checked."""
    exchange, books = Exchange(BTC, ETH), Books(BTC, "GONEUSDT")

    async with beating(exchange, books) as (_, rest, context):
        await asyncio.sleep(FIRST_S + PULSE_SPACING_S + 1)
        (pulse,) = await pulses(context)
        assert pulse.tops == {BTC: TOP}
        assert rest.recheck_listing.is_set()
    assert [named for _, named in exchange.asked] == [f'["{BTC}","GONEUSDT"]', ""]


async def test_the_budget_counts_the_pulse() -> None:
    """Each pulse costs 4, and waits when there is no budget."""
    exchange = Exchange(BTC)

    async with beating(exchange, Books(BTC)) as (_, rest, _):
        await asyncio.sleep(FIRST_S + 1)
        assert rest.http.budget.used(virtual_time.running().time()) == 4
        rest.http.budget.spend(6_000, virtual_time.running().time())
        await asyncio.sleep(PERIOD_S + 20)
        assert len(exchange.asked) == 1
        await asyncio.sleep(30)
        assert len(exchange.asked) == 2


async def test_snapshots_of_lost_books_go_first_for_a_while() -> None:
    """But only for a while: without a pulse quiet books would be lost too."""
    exchange = Exchange(BTC)

    async with beating(exchange, Books(BTC)) as (_, rest, _):
        rest.http.budget.limit = 300
        for number in range(3):
            rest.request_snapshot(FetchSnapshot(f"S{number}", 1, Urgency.LOST))
        await asyncio.sleep(FIRST_S + GIVES_WAY_S - 1)
        assert rest.has_waiting(Urgency.LOST)
        assert exchange.asked == []
        await asyncio.sleep(2)
        assert len(exchange.asked) == 1


async def test_a_server_without_a_pulse_is_still_asked_and_reported_once() -> None:
    """Other servers speak the same protocol without this request."""
    asked: list[float] = []

    async def exchange(_: web.Request) -> web.StreamResponse:
        asked.append(now_s())
        return web.Response(status=404)

    with capture_logs() as lines:
        async with beating(exchange, Books(), lambda _: None):
            await asyncio.sleep(10 * PERIOD_S)
    assert len(asked) == 10
    assert [line["event"] for line in lines].count("no pulse from this server") == 1
