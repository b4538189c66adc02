"""Requests for missing trades: after the books, within their share, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from booktape.core.events import FetchSnapshot, Urgency
from booktape.core.tape_records import TradesAnswer
from booktape.core.trades import FetchTrades
from booktape.net.context import NetContext
from booktape.net.rest_client import RestClient
from booktape.net.trades import REFUSED_S, TradeClient
from net.loopback import DEPTH, linked
from support import virtual_time

BTC, ETH = "BTCUSDT", "ETHBTC"


def now_s() -> float:
    return virtual_time.running().time() - virtual_time.START_S


class Exchange:
    """Answers each request `late_s` later; records every request with its time."""

    def __init__(self, *instead: web.Response, late_s: float = 0.0) -> None:
        self.asked: list[tuple[float, str, str]] = []
        self.books: list[tuple[float, str]] = []
        self.instead = list(instead)
        self.late_s = late_s
        self.book_late_s = 0.0
        self.under_way = self.most = 0
        self.units: set[str | None] = set()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        symbol = request.query["symbol"]
        if request.path == "/api/v3/depth":
            self.books.append((now_s(), symbol))
            await asyncio.sleep(self.book_late_s)
            return web.Response(body=DEPTH)
        assert request.query["limit"] == "1000"
        self.units.add(request.headers.get("X-MBX-TIME-UNIT"))
        self.asked.append((now_s(), symbol, request.query["fromId"]))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.late_s)
        self.under_way -= 1
        return self.instead.pop(0) if self.instead else web.Response(body=b"[]")


@asynccontextmanager
async def filling(
    exchange: Exchange,
) -> AsyncIterator[tuple[TradeClient, RestClient, NetContext]]:
    """A client at work."""
    async with linked(exchange, virtual_time.WallClock()) as context:
        rest = RestClient(context)
        trades = TradeClient(rest)
        tasks = [asyncio.create_task(trades.run()), asyncio.create_task(rest.run())]
        try:
            yield trades, rest, context
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def answers(context: NetContext) -> list[TradesAnswer]:
    """All answers that have reached the queue so far."""
    if not context.queue:
        return []
    records = await context.queue.take(100, 10**9)
    return [record for record in records if isinstance(record, TradesAnswer)]


async def test_the_answer_is_a_record_with_its_request() -> None:
    """It is kept byte for byte, with times in microseconds."""
    exchange = Exchange()
    async with filling(exchange) as (trades, _, context):
        trades.request(FetchTrades(BTC, 7))
        await asyncio.sleep(1)
        (answer,) = await answers(context)
    assert (answer.symbol, answer.from_id, answer.payload) == (BTC, 7, b"[]")
    assert exchange.units == {"MICROSECOND"}


async def test_one_at_a_time_and_each_symbol_once() -> None:
    """The reconstruction repeats a request every second, until the trades are there."""
    exchange = Exchange(late_s=4.6)
    async with filling(exchange) as (trades, _, _context):
        for second in range(20):
            trades.request(FetchTrades(BTC, second))
            trades.request(FetchTrades(ETH, second))
            await asyncio.sleep(1)
    assert exchange.most == 1
    assert [symbol for _, symbol, _ in exchange.asked] == [BTC, ETH, BTC, ETH, BTC]
    assert [from_id for _, _, from_id in exchange.asked] == ["0", "4", "9", "13", "18"]


async def test_no_more_than_a_tenth_of_the_budget() -> None:
    """That is 24 requests a minute, however many are wanted."""
    exchange = Exchange()
    async with filling(exchange) as (trades, rest, context):
        for second in range(300):
            trades.request(FetchTrades(BTC, second))
            await asyncio.sleep(1)
            await answers(context)
            assert rest.http.budget.used(context.clock.steady_s()) <= 600
    times = [at_s for at_s, *_ in exchange.asked]
    assert len(times) == pytest.approx(24 * 5, abs=5)
    for at_s in times:
        assert sum(at_s <= other < at_s + 60 for other in times) <= 24


async def test_books_go_first() -> None:
    """No trades are requested while a lost book waits for budget, or while half of it is used."""
    exchange = Exchange()
    async with filling(exchange) as (trades, rest, context):
        rest.http.begin(6_000 - 100)
        rest.request_snapshot(FetchSnapshot(BTC, 1, Urgency.LOST))
        trades.request(FetchTrades(BTC, 1))
        await asyncio.sleep(50)
        assert (exchange.books, exchange.asked) == ([], [])
        await asyncio.sleep(20)
        assert [symbol for _, symbol in exchange.books] == [BTC]
        assert [symbol for _, symbol, _ in exchange.asked] == [BTC]
        rest.http.begin(3_000)
        trades.request(FetchTrades(BTC, 1))
        await asyncio.sleep(50)
        assert len(exchange.asked) == 1
        await answers(context)


async def test_while_a_book_waits_for_its_turn_no_trades_are_requested() -> None:
    """Even if there is budget left: after a failure requests are sent one at a time."""
    exchange = Exchange()
    exchange.book_late_s = 5
    async with filling(exchange) as (trades, rest, context):
        rest.http.concurrency = 1
        for symbol in (BTC, ETH):
            rest.request_snapshot(FetchSnapshot(symbol, 1, Urgency.LOST))
        trades.request(FetchTrades(BTC, 1))
        await asyncio.sleep(4.5)
        assert [symbol for _, symbol in exchange.books] == [BTC]
        assert exchange.asked == []
        await asyncio.sleep(2)
        assert [symbol for _, symbol in exchange.books] == [BTC, ETH]
        assert len(exchange.asked) == 1
        await answers(context)


async def test_a_snapshot_does_not_wait_for_a_trade_request_under_way() -> None:
    """Even when only one request at a time is allowed after a failure."""
    exchange = Exchange(web.Response(status=500), late_s=20)
    async with filling(exchange) as (trades, rest, _context):
        trades.request(FetchTrades(BTC, 1))
        await asyncio.sleep(25)
        assert rest.http.concurrency == 1
        trades.request(FetchTrades(BTC, 1))
        await asyncio.sleep(10)
        assert exchange.under_way == 1
        rest.request_snapshot(FetchSnapshot(BTC, 1, Urgency.LOST))
        await asyncio.sleep(0.5)
        assert len(exchange.books) == 1
        assert exchange.under_way == 1


async def test_a_failed_request_can_be_made_again() -> None:
    """A 5xx is the exchange's failure: all of `net` pauses, and nothing is on the tape."""
    exchange = Exchange(web.Response(status=503))
    async with filling(exchange) as (trades, _, context):
        trades.request(FetchTrades(BTC, 1))
        await asyncio.sleep(0.1)
        assert await answers(context) == []
        for _ in range(40):
            trades.request(FetchTrades(BTC, 1))
            await asyncio.sleep(1)
            if len(exchange.asked) == 2:
                break
        (answer,) = await answers(context)
    assert answer.from_id == 1


async def test_a_ban_stops_trade_requests_like_all_others() -> None:
    """No request before Retry-After has passed."""
    exchange = Exchange(web.Response(status=429, headers={"Retry-After": "100"}))
    async with filling(exchange) as (trades, _, _context):
        for _ in range(120):
            trades.request(FetchTrades(BTC, 1))
            await asyncio.sleep(1)
    times = [at_s for at_s, *_ in exchange.asked]
    assert times[1] - times[0] > 100


async def test_a_refused_symbol_is_not_requested_for_a_while() -> None:
    """The others are still requested."""
    refusal = web.Response(status=400, text='{"code":-1121,"msg":"Invalid symbol."}')
    exchange = Exchange(refusal)
    async with filling(exchange) as (trades, _, _context):
        for _ in range(round(REFUSED_S) - 2):
            trades.request(FetchTrades(BTC, 1))
            await asyncio.sleep(1)
        assert len(exchange.asked) == 1
        trades.request(FetchTrades(ETH, 1))
        await asyncio.sleep(3)
        trades.request(FetchTrades(BTC, 1))
        await asyncio.sleep(1)
    assert [symbol for _, symbol, _ in exchange.asked] == [BTC, ETH, BTC]
