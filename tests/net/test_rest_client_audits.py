"""Audits of the REST client: more urgent snapshots go first, and have budget left."""

from __future__ import annotations

import asyncio

from aiohttp import web

from booktape.core.events import FetchSnapshot, Urgency
from booktape.core.tape_records import DepthAnswer, SnapshotRequested
from booktape.net.http import CONCURRENCY_MAX
from net.loopback import DEPTH, asking, next_frame
from support import virtual_time

ONE_BY_ONE = CONCURRENCY_MAX  # as many sharers as requests are allowed: one for each
AUDIT, DEEPER, NEW, LOST = Urgency.AUDIT, Urgency.DEEPER, Urgency.NEW, Urgency.LOST


class Exchange:
    """Takes a second for each answer; records the requests and their times."""

    def __init__(self, *unknown: str) -> None:
        self.asked: list[tuple[str, str]] = []
        self._unknown = unknown

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        symbol = request.query["symbol"]
        self.asked.append((symbol, request.query["limit"]))
        await asyncio.sleep(1)
        if symbol in self._unknown:
            return web.Response(status=400, text='{"code":-1121,"msg":"Invalid symbol."}')
        return web.Response(body=DEPTH)

    def symbols(self) -> list[str]:
        return [symbol for symbol, _ in self.asked]


def request(symbol: str, urgency: Urgency, limit: int = 5_000) -> FetchSnapshot:
    return FetchSnapshot(symbol, 1, urgency, limit)


async def test_a_request_that_is_sent_is_noted_before_its_answer() -> None:
    """With its limit: from that moment on events are kept for the comparison with its answer."""
    exchange = Exchange()

    async with asking(exchange, virtual_time.WallClock()) as (rest, queue):
        rest.request_snapshot(request("A", AUDIT, 500))
        left, answer = await next_frame(queue), await next_frame(queue)
        assert left == SnapshotRequested(virtual_time.START_NS, "A", 500)
        assert answer == DepthAnswer(virtual_time.START_NS + 10**9, "A", 500, DEPTH)
    assert exchange.asked == [("A", "500")]


async def test_the_most_urgent_goes_first() -> None:
    """Lost before new before deeper before audits, each in the order of the requests."""
    exchange = Exchange()

    clock = virtual_time.WallClock()
    async with asking(exchange, clock, sharers=ONE_BY_ONE) as (rest, _):
        rest.request_snapshot(request("FIRST", AUDIT, 100))
        await asyncio.sleep(0.5)
        for urgency in (AUDIT, DEEPER, NEW, LOST):
            for number in (1, 2):
                rest.request_snapshot(request(f"{urgency.name}{number}", urgency, 100))
        await asyncio.sleep(20)
    order = ["LOST1", "LOST2", "NEW1", "NEW2", "DEEPER1", "DEEPER2", "AUDIT1", "AUDIT2"]
    assert exchange.symbols() == ["FIRST", *order]


async def test_an_audit_of_a_book_that_is_now_lost_becomes_urgent() -> None:
    """It leaves its old place in the queue, and stays one request, with the limit needed now."""
    exchange = Exchange()

    clock = virtual_time.WallClock()
    async with asking(exchange, clock, sharers=ONE_BY_ONE) as (rest, _):
        for symbol in ("FIRST", "A", "B"):
            rest.request_snapshot(request(symbol, AUDIT, 100))
        await asyncio.sleep(0.5)
        rest.request_snapshot(request("B", LOST))
        await asyncio.sleep(120)
    assert exchange.asked == [("FIRST", "100"), ("B", "5000"), ("A", "100")]


async def test_an_audit_never_replaces_a_request_already_made() -> None:
    """A lost book stays urgent, and its answer is not discarded because of the audit."""
    exchange = Exchange()

    async with asking(exchange, virtual_time.WallClock()) as (rest, queue):
        rest.request_snapshot(request("A", LOST))
        await asyncio.sleep(0.5)
        rest.request_snapshot(request("A", AUDIT, 100))
        rest.request_snapshot(request("A", DEEPER, 100))
        await asyncio.sleep(20)
        assert len(queue) == 2
    assert exchange.asked == [("A", "5000")]


async def test_an_audit_that_waits_for_budget_lets_others_pass() -> None:
    """Half of the budget is available to unknown books at once, whatever is already waiting."""
    exchange = Exchange()

    async with asking(exchange, virtual_time.WallClock()) as (rest, _):
        for number in range(13):
            rest.request_snapshot(request(f"A{number}", AUDIT))
        await asyncio.sleep(20)
        assert len(exchange.asked) == 12
        for number in range(12):
            rest.request_snapshot(request(f"L{number}", LOST))
        await asyncio.sleep(15)
        assert len(exchange.asked) == 24
        await asyncio.sleep(120)
    assert exchange.symbols()[-1] == "A12"


async def test_a_forgotten_symbol_is_not_requested() -> None:
    """Neither a waiting nor a postponed request is sent; the answer to one under way is not used."""
    exchange = Exchange("GONE")

    clock = virtual_time.WallClock()
    async with asking(exchange, clock, sharers=ONE_BY_ONE) as (rest, queue):
        for symbol in ("GONE", "A", "B"):
            rest.request_snapshot(request(symbol, NEW))
        await asyncio.sleep(1.5)
        for symbol in ("GONE", "A", "B", "NEVER"):
            rest.forget(symbol)
        await asyncio.sleep(600)
        assert [type(frame) for frame in queue.drain()] == [
            SnapshotRequested,
            SnapshotRequested,
        ]
    assert exchange.symbols() == ["GONE", "A"]


async def test_a_refused_symbol_raises_a_doubt_about_its_listing() -> None:
    """Perhaps the exchange no longer lists it."""
    async with asking(Exchange("GONE"), virtual_time.WallClock()) as (rest, _):
        rest.request_snapshot(request("A", NEW))
        await asyncio.sleep(2)
        assert not rest.recheck_listing.is_set()
        rest.request_snapshot(request("GONE", NEW))
        await asyncio.sleep(2)
        assert rest.recheck_listing.is_set()
