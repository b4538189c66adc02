"""Faults of the market itself: its truth still holds, over real sockets."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest

from booktape.errors import UsageError
from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempts
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.market import ClockStep, Cross, Delist, Halt, Huge, MarketFaults
from booktape.sim.messages import Encoding, stream_name
from booktape.sim.replay.source import ReplaySource
from booktape.sim.server.server import SimServer
from booktape.wire.exchange_info import decode_exchange_info
from sim.exchange import BTC, faulty, market
from sim.visitor import Levels, Naive, Visit, texts, visit
from support.truth import TracedMarket
from support.venues import venue_with

BOTH = "BTCUSDT", "ETHUSDT"


async def status_of(visit_: Visit) -> str:
    symbols = decode_exchange_info((await visit_.get("exchangeInfo"))[2]).symbols
    assert symbols["BTCUSDT"].status == "TRADING"
    return symbols["ETHUSDT"].status


@pytest.mark.parametrize("shown", ["HALT", "BREAK"])
async def test_a_halted_symbol_without_cancels_is_silent_and_then_returns(
    shown: Literal["HALT", "BREAK"],
) -> None:
    """Its status says so; its book does not change; ids continue without a gap; other symbols trade on."""
    halt = Halt("ETHUSDT", 1.0, 3.0, shown=shown, cancels_per_s=0)
    source = market(*BOTH, slots=50)
    server = faulty(
        halt, source=source, speed=1, start_us=10**15, venue=venue_with(weight_per_minute=10**6)
    )
    async with visit(server) as visit_:
        visitor = await visit_.listen(*map(stream_name, BOTH))
        statuses, during = [await status_of(visit_)], set()
        while not server.finished.is_set():
            book = Naive(await visit_.depth("ETHUSDT"))
            statuses.append(await status_of(visit_))
            if statuses[-2:] == [shown, shown]:
                during.add(book.id)
            await asyncio.sleep(0.05)
        await visitor.events(source.update_id("BTCUSDT"))
        assert set(statuses) == {"TRADING", shown}
        times = _times(visitor.messages, "ETHUSDT")
        assert not [t for t in times if 1_000 <= t < 3_000]
        assert [t for t in times if t < 1_000]
        assert [t for t in times if t >= 3_000]
        assert len(during) == 1
        assert _chains(visitor.messages, "ETHUSDT")
        others = _times(visitor.messages, "BTCUSDT")
        assert len([t for t in others if 1_000 <= t < 3_000]) == 20


async def test_in_a_break_orders_are_cancelled_and_only_snapshots_show_it() -> None:
    """Over sockets: no message, ids that continue, true books; afterwards the ids do not chain."""
    source = market(*BOTH, slots=50)
    truth = source.truth()
    halt = Halt("ETHUSDT", 1.0, 3.0, "BREAK", cancels_per_s=20)
    server = faulty(
        halt, source=source, speed=1, start_us=10**15, venue=venue_with(weight_per_minute=10**6)
    )
    async with visit(server) as visit_:
        visitor = await visit_.listen(*map(stream_name, BOTH))
        seen = []
        while not server.finished.is_set():
            if await status_of(visit_) == "BREAK":
                book = Naive(await visit_.depth("ETHUSDT"))
                seen.append(book.id)
                assert (book.bids, book.asks) == texts(truth.book("ETHUSDT", book.id))
                top = json.loads((await visit_.get("ticker/bookTicker?symbol=ETHUSDT"))[2])
                assert float(top["bidPrice"]) == float(max(book.bids))
            await asyncio.sleep(0.05)
        await visitor.events(source.update_id("BTCUSDT"))
        assert len(set(seen)) >= 10
        assert not [t for t in _times(visitor.messages, "ETHUSDT") if 1_000 <= t < 3_000]
        assert not _chains(visitor.messages, "ETHUSDT")
        unsent = truth.unsent("ETHUSDT")
        assert unsent[0].first_id - 1 <= min(seen)
        assert max(seen) <= unsent[-1].last_id


def _of(messages: list[bytes], symbol: str) -> list[dict[str, int]]:
    found = (json.loads(message)["data"] for message in messages)
    return [event for event in found if event["s"] == symbol]


def _times(messages: list[bytes], symbol: str) -> list[int]:
    return [event["E"] - 10**12 for event in _of(messages, symbol)]


def _chains(messages: list[bytes], symbol: str) -> bool:
    return all(b["U"] == a["u"] + 1 for a, b in pairwise(_of(messages, symbol)))


async def test_a_delisted_symbol_is_gone_for_good() -> None:
    """It is not listed, its book gives -1121, and it has no event; until then nothing changes."""
    source = market(*BOTH, slots=30)
    server = faulty(Delist("ETHUSDT", 1.0), source=source, start_us=10**15)
    async with visit(server) as visit_:
        visitor = await visit_.listen(*map(stream_name, BOTH))
        await server.finished.wait()
        await visitor.events(source.update_id("BTCUSDT"))
        assert max(_times(visitor.messages, "ETHUSDT")) == 900
        assert set(decode_exchange_info((await visit_.get("exchangeInfo"))[2]).symbols) == {
            "BTCUSDT"
        }
        status, _, body = await visit_.get("depth?symbol=ETHUSDT")
        assert (status, json.loads(body)["code"]) == (400, -1121)
        assert (await visit_.get("depth?symbol=BTCUSDT"))[0] == 200


def test_a_crossed_book_is_sent_and_ends_by_itself() -> None:
    """The bid above the best ask is in the events, and so in every book built from them."""
    source = TracedMarket(("BTCUSDT",), 3, levels=30, slots=80)
    source.apply_faults(MarketFaults.of(Cross("BTCUSDT", 2.0)))
    book, crossed_ms = Naive(source.depth("BTCUSDT", 5000, 0)), []
    for slot in range(1, 81):
        for message in source.advance():
            assert book.apply(
                json.loads(message.payload(Encoding(combined=False, microseconds=False)))
            )
        if max(book.bids) >= min(book.asks):
            crossed_ms.append(slot * 100)
    assert crossed_ms[0] == 2_000
    assert crossed_ms[-1] < 5_000


@pytest.mark.parametrize("symbol", ["BTCUSDT", "XMRBTC"])
def test_a_huge_event_is_as_true_as_any_other(symbol: str) -> None:
    """20,000 levels in one event, none twice; the books before, within and after it match the truth."""
    source = TracedMarket((symbol,), 3, levels=30, slots=60)
    truth = source.truth()
    source.apply_faults(MarketFaults.of(Huge(symbol, 2.0)))
    book, sizes, within = Naive(source.depth(symbol, 5000, 0)), [], []
    for _ in range(60):
        within.append(Naive(source.depth(symbol, 5000, 0.5)))
        for message in source.advance():
            event = json.loads(message.payload(Encoding(combined=False, microseconds=False)))
            sizes.append(len(event["b"]) + len(event["a"]))
            assert len({p for p, _ in event["b"]}) + len({p for p, _ in event["a"]}) == sizes[-1]
            assert book.apply(event)
            assert (book.bids, book.asks) == texts(truth.book(symbol, book.id))
    assert max(sizes) >= 20_000
    assert sorted(sizes)[-2] < 2_000
    for middle in within:
        assert (middle.bids, middle.asks) == _window(texts(truth.book(symbol, middle.id)))
    # The book returns to its usual size by itself, in time.
    assert len(book.bids) < 1_000


def _window(sides: tuple[Levels, Levels]) -> tuple[Levels, Levels]:
    """The levels that a snapshot of 5,000 levels shows."""
    bids, asks = sides
    best = sorted(bids, reverse=True)[:5000], sorted(asks)[:5000]
    return {p: bids[p] for p in best[0]}, {p: asks[p] for p in best[1]}


async def test_a_huge_event_is_sent_over_the_socket() -> None:
    """Complete, in one message, at its time."""
    server = faulty(Huge("BTCUSDT", 1.0, levels_count=20_000))
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC)
        await visitor.count(30)
        sizes = [len(message) for message in visitor.messages]
        assert sizes.index(max(sizes)) == 9
        assert max(sizes) > 500_000


@pytest.mark.parametrize("by_s", [7.5, -7.5])
async def test_a_clock_step_shifts_event_times(by_s: float) -> None:
    """Event times and the server's time are off from then on; ids and books are unaffected."""
    server = faulty(ClockStep(1.0, by_s), start_us=10**15)
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC)
        await visitor.count(30)
        times = _times(visitor.messages, "BTCUSDT")
        assert times == [100 * n + (n >= 10) * 1_000 * by_s for n in range(1, 31)]
        assert _chains(visitor.messages, "BTCUSDT")
        body = json.loads((await visit_.get("time"))[2])
        assert body["serverTime"] == times[-1] + 10**12


def test_without_faults_the_market_is_unchanged() -> None:
    """Not a byte differs, not even where a huge event comes later."""
    plain, faulty = market(slots=None), market(slots=None)
    faulty.apply_faults(
        MarketFaults.of(Huge("BTCUSDT", 99.0), requests.stale(Attempts(), events=5))
    )
    for _ in range(50):
        mine, theirs = ([m.event for m in source.advance()] for source in (plain, faulty))
        assert mine == theirs


@pytest.mark.parametrize("fault", [Halt("NOPE", 1, 2), Delist("NOPE", 1), Huge("NOPE", 1)])
def test_a_fault_of_an_unknown_symbol_is_the_users_mistake(fault: Fault) -> None:
    """It is reported before the exchange opens."""
    with pytest.raises(UsageError, match="NOPE"):
        faulty(fault)


@pytest.mark.parametrize(
    "fault", [Halt("BTCUSDT", 1, 2), ClockStep(1, 1), requests.stale(Attempts(), events=1)]
)
def test_a_replayed_recording_refuses_market_faults(fault: Fault, tmp_path: Path) -> None:
    """A fault that needs a market says so."""
    path = tmp_path / "empty.jsonl.gz"
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="recording"):
        SimServer(ReplaySource(path), faults=Faults.of(fault))


def test_a_delisted_symbol_stays_delisted_through_a_halt() -> None:
    """Of two statuses the final one counts."""
    scripted = MarketFaults((Delist("A", 1), Halt("A", 0, 9)))
    assert [scripted.status("A", now_s) for now_s in (0.5, 5)] == ["HALT", "DELISTED"]
