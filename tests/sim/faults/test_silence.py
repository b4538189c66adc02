"""Streams that fall silent while their connection stays open: nothing is sent, and pings continue."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from booktape.sim.faults.conditions import Messages
from booktape.sim.faults.messages import Deaf
from booktape.sim.messages import stream_name
from sim.exchange import BTC, faulty, market
from sim.visitor import Naive, Visitor, texts, visit
from support.truth import TracedMarket
from support.venues import venue_with

ETH = stream_name("ETHUSDT")
DEPTH20, TICKER = stream_name("BTCUSDT", "depth20@100ms"), stream_name("BTCUSDT", "bookTicker")
BOTH = "BTCUSDT", "ETHUSDT"
STREAMS = BTC, ETH, DEPTH20, TICKER


def heard(visitor: Visitor, after_s: float, before_s: float = 1e9) -> Counter[str]:
    """The number of messages of each stream between these times."""
    arrivals = zip(visitor.messages, visitor.arrived_s, strict=True)
    return Counter(
        next(stream for stream in STREAMS if f'"{stream}"'.encode() in message)
        for message, at_s in arrivals
        if after_s < at_s < before_s
    )


@pytest.mark.parametrize(
    ("dead", "fault"),
    [
        ({BTC}, Deaf(Messages(1, symbol="BTCUSDT", stream="depth"))),
        ({DEPTH20}, Deaf(Messages(1, symbol="BTCUSDT", stream="depth20"))),
        ({TICKER}, Deaf(Messages(1, stream="bookTicker"))),
        ({BTC, DEPTH20, TICKER}, Deaf(Messages(1, symbol="BTCUSDT"))),
        ({BTC, ETH}, Deaf(Messages(1, stream="depth"))),
        (set(STREAMS), Deaf(Messages(1))),
    ],
)
async def test_dead_subscriptions_send_nothing_more(dead: set[str], fault: Deaf) -> None:
    """Only the named streams die; the others continue. Snapshots still show the truth, and pings come."""
    source = TracedMarket(BOTH, 1, levels=30)
    truth = source.truth()
    async with visit(faulty(fault, source=source, speed=1, venue=venue_with(ping_s=0.5))) as visit_:
        visitor = await visit_.listen(*STREAMS, autoping=False)
        start_s = visit_.now_s()
        await asyncio.sleep(4.03)
        assert heard(visitor, start_s, start_s + 0.95).keys() == set(STREAMS)
        assert heard(visitor, start_s + 1.05).keys() == set(STREAMS) - dead
        book = Naive(await visit_.depth("BTCUSDT"))
        assert (book.bids, book.asks) == texts(truth.book("BTCUSDT", book.id))
        assert len(visitor.pings) >= 7
        assert not visitor.ended
        # A new connection gets every stream.
        new = await visit_.listen(*STREAMS)
        await asyncio.sleep(2)
        assert heard(new, 0).keys() == set(STREAMS)
        assert heard(visitor, start_s + 1.05).keys() == set(STREAMS) - dead


@pytest.mark.parametrize(("opened_by_s", "hears"), [(None, True), (2.0, True), (3.0, False)])
async def test_later_connections_may_be_deaf_too(opened_by_s: float | None, hears: bool) -> None:
    """With a late `opened_by_s`, new connections are deaf too, until the fault is over."""
    fault = Deaf(Messages(1, 5), opened_by_s)
    async with visit(faulty(fault, source=market(slots=None), speed=1)) as visit_:
        first = await visit_.listen(BTC)
        start_s = visit_.now_s()
        await asyncio.sleep(2.5)
        second = await visit_.listen(BTC)
        await asyncio.sleep(4)
        assert not heard(first, start_s + 1.05, start_s + 4.95)
        assert bool(heard(second, start_s, start_s + 4.95)) == hears
        assert heard(first, start_s + 5.05)[BTC] == heard(second, start_s + 5.05)[BTC] > 10


async def test_a_subscription_can_be_dead_from_the_start() -> None:
    """On one of two connections: it never sends a message, and the other one sends them all."""
    fault = Deaf(Messages(symbol="BTCUSDT", stream="depth", connection=0, of=2), opened_by_s=1)
    async with visit(faulty(fault, source=market(*BOTH, slots=None), speed=1)) as visit_:
        first, second = [await visit_.listen(BTC, ETH) for _ in range(2)]
        await asyncio.sleep(3)
        assert heard(first, 0).keys() == {ETH}
        assert heard(second, 0).keys() == {BTC, ETH}
        # The number 2 would match this connection, but it was opened too late to be deaf.
        third = await visit_.listen(BTC, ETH)
        await asyncio.sleep(1)
        assert heard(third, 0).keys() == {BTC, ETH}
