"""Faults before the answer, over real sockets: the reply that a request or handshake gets instead."""

from __future__ import annotations

import asyncio
import json
from typing import Literal

import aiohttp
import pytest

from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempt, Attempts
from booktape.sim.faults.fault import Fault
from booktape.sim.faults.market import MarketFaults
from booktape.sim.faults.outcomes import Old
from booktape.sim.faults.undetectable import wrong_snapshot
from sim.exchange import BTC, events, faulty, market
from sim.visitor import Naive, texts, visit

FIRST = Attempts(door="rest", first=1, last=1)
DEPTH = "depth?symbol=BTCUSDT&limit=5000"


async def test_a_refused_client_gets_no_answer() -> None:
    """WebSocket and REST alike are reset before the answer, and only where the condition holds."""
    faults = requests.refuse(Attempts(door="ws")), requests.refuse(Attempts(symbol="BTCUSDT"))
    async with visit(faulty(*faults)) as visit_:
        with pytest.raises(aiohttp.ClientError):
            await visit_.listen(BTC)
        with pytest.raises(aiohttp.ClientError):
            await visit_.get(DEPTH)
        status, _, _ = await visit_.get("exchangeInfo")
        assert status == 200


@pytest.mark.parametrize(
    ("fault", "status", "retry_after", "content_type"),
    [
        (requests.status(FIRST), 503, None, "application/json"),
        (requests.status(FIRST, status=500), 500, None, "application/json"),
        (requests.status(FIRST, status=451), 451, None, "application/json"),
        (requests.status(FIRST, status=403), 403, None, "text/html"),
        (requests.status(FIRST, status=502), 502, None, "text/html"),
        (requests.html(FIRST), 200, None, "text/html"),
        (requests.too_fast(FIRST), 429, "1", "application/json"),
        (requests.too_fast(FIRST, retry_after_s=2, status=418), 418, "2", "application/json"),
    ],
)
async def test_a_request_gets_the_answer_of_its_fault(
    fault: Fault, status: int, retry_after: str | None, content_type: str
) -> None:
    """Status, Retry-After and form are as given; a request before Retry-After has passed is a violation."""
    async with visit(faulty(fault)) as visit_:
        got, headers, body = await visit_.get(DEPTH)
        assert (got, headers.get("Retry-After")) == (status, retry_after)
        assert headers["Content-Type"].startswith(content_type)
        assert body.startswith(b"{" if "json" in content_type else b"<!DOCTYPE html>")
        got, _, _ = await visit_.get(DEPTH)
        assert got == (status if retry_after else 200)
        assert visit_.server.violations == ({"retry-after": 1} if retry_after else {})


async def test_half_a_body_can_have_a_matching_length() -> None:
    """HTTP 200 with JSON that is cut off."""
    async with visit(faulty(requests.half(FIRST))) as visit_:
        half, whole = await visit_.depth("BTCUSDT"), await visit_.depth("BTCUSDT")
        assert half == whole[: len(whole) // 2]
        with pytest.raises(json.JSONDecodeError):
            json.loads(half)


async def test_half_a_body_can_have_the_length_of_the_whole() -> None:
    """The connection ends before the body is complete; the client's library reports it."""
    async with visit(faulty(requests.cut_off(FIRST))) as visit_:
        url = f"{visit_.server.rest_url}/api/v3/{DEPTH}"
        async with visit_.http.get(url) as answer:
            assert answer.status == 200
            got = await answer.content.readany()
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.content.read()
        whole = await visit_.depth("BTCUSDT")
        assert whole.startswith(got)
        assert 0 < len(got) <= len(whole) // 2
        assert int(answer.headers["Content-Length"]) == len(whole)


async def test_an_answer_can_be_delayed() -> None:
    """It is true, but some seconds late; another request does not wait for it."""
    loop = asyncio.get_running_loop()
    async with visit(faulty(requests.slow(FIRST, seconds=3), speed=1)) as visit_:
        began_s = loop.time()
        late = asyncio.create_task(visit_.depth("BTCUSDT"))
        await asyncio.sleep(1)
        assert (await visit_.get("time"))[0] == 200
        assert not late.done()
        assert json.loads(await late)["lastUpdateId"]
        assert loop.time() - began_s == pytest.approx(3)


async def test_a_client_has_time_to_ask_again_after_half_a_body() -> None:
    """With infinite speed the exchange waits for the second attempt as for the first."""
    async with visit(faulty(requests.half(FIRST), patience_s=5)) as visit_:
        visitor = await visit_.listen(BTC)
        await visit_.depth("BTCUSDT")
        await visitor.count(6)
        for _ in range(5):
            await visit_.get("time")
        assert len(visitor.messages) == 6
        await visit_.depth("BTCUSDT")
        await visit_.server.finished.wait()
        assert len(await visitor.count(30)) == 30


async def test_half_an_answer_without_a_book_makes_no_client_request_one() -> None:
    """So the exchange does not wait for a request, although the damaged one named a symbol."""
    source = market("BTCUSDT", "ETHUSDT")
    fault = requests.half(Attempts(path="exchangeInfo"))
    async with visit(faulty(fault, source=source, patience_s=5)) as visit_:
        await visit_.get("exchangeInfo?symbol=ETHUSDT")
        await visit_.listen(BTC)
        await visit_.depth("BTCUSDT")
        async with asyncio.timeout(1):
            await visit_.server.finished.wait()


@pytest.mark.parametrize("door", ["rest", "ws"])
async def test_a_client_can_be_left_hanging(door: Literal["rest", "ws"]) -> None:
    """No answer and no end; others are served; the hanging request delays neither the client's leaving nor the end."""
    fault = requests.hang(Attempts(door=door, first=1, last=2))
    async with visit(faulty(fault)) as visit_:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await (visit_.get("time") if door == "rest" else visit_.listen(BTC))
        assert (await visit_.get("time"))[0] == 200
        visitor = await visit_.listen(BTC)
        await visitor.count(1)
        assert not visit_.server.violations


@pytest.mark.parametrize("status", [403, 451, 503])
async def test_a_handshake_can_be_refused_with_a_status(status: int) -> None:
    """The client's library reports the status; no connection is counted."""
    async with visit(faulty(requests.status(Attempts(door="ws", last=1), status=status))) as visit_:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await visit_.listen(BTC)
        assert refused.value.status == status
        await visit_.listen(BTC)
        assert visit_.server.connections == 1


@pytest.mark.parametrize(
    ("fault", "back"),
    [
        (requests.stale(Attempts(), events=7), 7),
        (requests.stale(Attempts(), seconds=0.5), 5),
        (requests.stale(Attempts(), seconds=0.2, events=4), 4),
        (requests.stale(Attempts(), events=1_000), 60),
    ],
)
async def test_a_stale_snapshot_is_an_earlier_true_book(fault: Fault, back: int) -> None:
    """It is the book of some events before; never newer, never wrong."""
    source = market(slots=60)
    truth = source.truth()
    async with visit(faulty(fault, source=source)) as visit_:
        await visit_.listen(BTC)
        await visit_.server.finished.wait()
        book = Naive(await visit_.depth("BTCUSDT"))
        ends = [truth.first_id("BTCUSDT"), *(e.last_id for e in events(slots=60))]
        assert book.id == ends[60 - back]
        assert (book.bids, book.asks) == texts(truth.book("BTCUSDT", book.id))


def test_a_stale_snapshot_leaves_out_the_current_slot_too() -> None:
    """Also when a fresh one has been requested in the middle of an event."""
    source = market(slots=20)
    truth = source.truth()
    source.apply_faults(MarketFaults.of(requests.stale(Attempts(), events=3)))
    for _ in range(20):
        source.depth("BTCUSDT", 5000, 0.5)
        fault = requests.stale(Attempts(), events=3).outcome(
            Attempt("rest", 0, 0, "/api/v3/depth", "BTCUSDT")
        )
        assert isinstance(fault, Old)
        book = Naive(source.depth("BTCUSDT", 5000, 0, fault))
        assert (book.bids, book.asks) == texts(truth.book("BTCUSDT", book.id))
        source.advance()


def test_rest_errors_come_in_turn() -> None:
    """500, 503, 429, half a body, 418; requests without a symbol get them too."""
    errors = requests.rest_error(Attempts())
    replies = [errors.outcome(Attempt("rest", number, 0)) for number in range(6)]
    assert [getattr(reply, "status", None) for reply in replies] == [500, 503, 429, None, 418, 500]
    assert errors.outcome(Attempt("ws", 0, 0)) is None


def test_requests_are_chosen_by_every_given_condition() -> None:
    """Time, REST or WebSocket, path, symbol and number."""
    found = Attempts(10, 25, "rest", "depth", "BTCUSDT", first=2, last=3)
    good = Attempt("rest", 1, 10.0, "/api/v3/depth", "BTCUSDT")
    assert found(good)
    others = [
        Attempt("ws", 1, 10.0, "/api/v3/depth", "BTCUSDT"),
        Attempt("rest", 0, 10.0, "/api/v3/depth", "BTCUSDT"),
        Attempt("rest", 3, 10.0, "/api/v3/depth", "BTCUSDT"),
        Attempt("rest", 1, 9.9, "/api/v3/depth", "BTCUSDT"),
        Attempt("rest", 1, 25.0, "/api/v3/depth", "BTCUSDT"),
        Attempt("rest", 1, 10.0, "/api/v3/time", "BTCUSDT"),
        Attempt("rest", 1, 10.0, "/api/v3/depth", "ETHUSDT"),
    ]
    assert not any(map(found, others))


def test_snapshot_faults_apply_only_to_requests_for_the_book_of_a_symbol() -> None:
    """Other requests can name a symbol too."""
    faults = requests.stale(Attempts(), events=3), wrong_snapshot(Attempts())

    def strikes(path: str, symbol: str | None = "BTCUSDT", kind: str = "rest") -> set[bool]:
        return {bool(fault.outcome(Attempt(kind, 0, 0, path, symbol))) for fault in faults}

    assert strikes("/api/v3/depth") == {True}
    for path in ("exchangeInfo", "ticker/bookTicker", "historicalTrades", "time"):
        assert strikes(f"/api/v3/{path}") == {False}
    assert strikes("/api/v3/depth", None) == strikes("/ws/btcusdt@depth", None, "ws") == {False}


def test_two_request_faults_have_independent_chances() -> None:
    """A request that is not refused may still get an error."""
    refused, failed = (Attempts(probability=0.3, seed=seed) for seed in (1, 2))
    attempts = [Attempt("rest", number, 0) for number in range(10_000)]
    assert sum(map(refused, attempts)) == pytest.approx(3_000, abs=200)
    assert sum(refused(a) and failed(a) for a in attempts) == pytest.approx(900, abs=150)
