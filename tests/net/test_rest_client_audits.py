"""Audits of the REST client: more urgent snapshots go first, and find budget."""

from __future__ import annotations

import asyncio

from aiohttp import web

from booktape.core.events import FetchSnapshot, Urgency
from booktape.core.tape_records import DepthAnswer, SnapshotRequested
from booktape.net.http import CONCURRENCY_MAX
from net.loopback import DEPTH, asking, next_frame
from support import virtual_time

ONE_BY_ONE = CONCURRENCY_MAX  # as many sharers as there may be requests: one for each
AUDIT, DEEPER, NEW, LOST = Urgency.AUDIT, Urgency.DEEPER, Urgency.NEW, Urgency.LOST


class Exchange:
    """Takes a second for each answer; notes what it is asked, and when it knew what."""

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


async def test_a_request_that_leaves_is_noted_before_its_answer() -> None:
    """With its limit: from that moment on events are kept for what it may show."""
    exchange = Exchange()

    async with asking(exchange, virtual_time.WallClock()) as (rest, queue):
        rest.request_snapshot(request("A", AUDIT, 500))
        left, answer = await next_frame(queue), await next_frame(queue)
        assert left == SnapshotRequested(virtual_time.START_NS, "A", 500)
        assert answer == DepthAnswer(virtual_time.START_NS + 10**9, "A", 500, DEPTH)
    assert exchange.asked == [("A", "500")]


async def test_the_most_urgent_goes_first() -> None:
    """Lost before new before deeper before audits, each in the order in which they asked."""
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


async def test_an_audit_of_a_book_that_is_lost_now_becomes_urgent() -> None:
    """It does not wait where it was, and it is one request, with what is needed now."""
    exchange = Exchange()

    clock = virtual_time.WallClock()
    async with asking(exchange, clock, sharers=ONE_BY_ONE) as (rest, _):
        for symbol in ("FIRST", "A", "B"):
            rest.request_snapshot(request(symbol, AUDIT, 100))
        await asyncio.sleep(0.5)
        rest.request_snapshot(request("B", LOST))
        await asyncio.sleep(120)
    assert exchange.asked == [("FIRST", "100"), ("B", "5000"), ("A", "100")]


async def test_an_audit_never_takes_the_place_of_what_is_asked_already() -> None:
    """A lost book stays urgent, and its answer is not thrown away for it."""
    exchange = Exchange()

    async with asking(exchange, virtual_time.WallClock()) as (rest, queue):
        rest.request_snapshot(request("A", LOST))
        await asyncio.sleep(0.5)
        rest.request_snapshot(request("A", AUDIT, 100))
        rest.request_snapshot(request("A", DEEPER, 100))
        await asyncio.sleep(20)
        assert len(queue) == 2
    assert exchange.asked == [("A", "5000")]


async def test_an_audit_that_waits_for_room_makes_way() -> None:
    """Half of the budget is for books that are not known, at once, whatever waits already."""
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


async def test_a_symbol_that_is_forgotten_is_not_asked_for() -> None:
    """Neither if it waits, nor if it is spaced out; what is under way is not taken."""
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


async def test_a_symbol_that_is_refused_is_a_doubt() -> None:
    """Perhaps the exchange does not list it any more."""
    async with asking(Exchange("GONE"), virtual_time.WallClock()) as (rest, _):
        rest.request_snapshot(request("A", NEW))
        await asyncio.sleep(2)
        assert not rest.recheck_listing.is_set()
        rest.request_snapshot(request("GONE", NEW))
        await asyncio.sleep(2)
        assert rest.recheck_listing.is_set()
