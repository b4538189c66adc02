"""Clients' violations are counted exactly; what a client cannot avoid is not counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any, Literal, TypeAlias

import aiohttp
import pytest

from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempts
from booktape.sim.server.limits import BAN_LONGEST_S, UNDER_WAY_S, Owed, Rate, RequestLimits
from booktape.sim.server.pings import Pings
from booktape.sim.server.server import SimServer
from sim.exchange import BTC, faulty, market
from sim.visitor import Visit, visit
from support.venues import venue_with

DEPTH = "depth?symbol=BTCUSDT&limit=5000"
Kind: TypeAlias = Literal["rest", "ws"]

# ── requests ────────────────────────────────────────────────────────────────────────────────


def test_a_request_under_way_when_the_limit_was_sent_is_not_counted() -> None:
    """One on each other connection is excused, for a moment; none on the same connection."""
    violations: Counter[str] = Counter()
    account = RequestLimits(6_000, violations)
    account.silence(429, 30, 100, line="a")
    assert account.charge(1, 100.1, "b") == Owed(429, 30)
    assert account.charge(1, 100.2, "c") == Owed(429, 30)
    assert not violations
    account.charge(1, 100.3, "b")
    account.charge(1, 100.3, "a")
    account.charge(1, 100.1 + UNDER_WAY_S, "d")
    assert violations == {"retry-after": 3}


def test_a_request_under_way_still_has_its_weight() -> None:
    """A client counts its own weight: every request beyond the budget is one too many."""
    violations: Counter[str] = Counter()
    account = RequestLimits(100, violations)
    assert account.charge(60, 1, "a") is None
    assert account.charge(60, 1, "b") == Owed(429, 59)
    assert account.charge(60, 1, "c") == Owed(429, 59)
    assert violations == {"weight": 2}


def test_bans_grow_for_repeat_offenders() -> None:
    """Each is twice as long, up to three days; a request during a ban restarts it."""
    account = RequestLimits(6_000, Counter())
    owed, now_s = [], 0.0
    for _ in range(14):
        account.silence(429, 10, now_s)
        answers = [account.charge(1, now_s + second) for second in (1, 2, 3, 4)]
        owed.append([answer.retry_after_s for answer in answers if answer and answer.status == 418])
        now_s += 10 * BAN_LONGEST_S
        assert account.charge(1, now_s - 1) is None
    bans_s = [*(120 * 2**ban for ban in range(12)), 259_200, 259_200]
    assert owed == [[ban_s] * 2 for ban_s in bans_s]


async def test_parallel_requests_that_meet_a_limit_are_no_violation() -> None:
    """Over real sockets: all are refused, and only requests sent after the refusals are counted."""
    fault = requests.too_fast(Attempts(first=3, last=3), retry_after_s=20)
    async with visit(faulty(fault, venue=venue_with(weight_per_minute=60_000))) as visit_:
        answers = await asyncio.gather(*(visit_.get(DEPTH) for _ in range(8)))
        assert sorted(status for status, _, _ in answers) == [200, 200, *[429] * 6]
        assert not visit_.server.violations
        # Two of the eight connections have not seen the refusal: each is excused once.
        for _ in range(3):
            await visit_.get(DEPTH)
        assert 1 <= visit_.server.violations["retry-after"] <= 3


async def test_a_request_refused_before_the_exchange_does_not_count() -> None:
    """A request that never reached the exchange has no weight and breaks no rule."""
    faults = (
        requests.too_fast(Attempts(last=1), retry_after_s=60),
        requests.refuse(Attempts(first=2)),
    )
    async with visit(faulty(*faults)) as visit_:
        await visit_.get(DEPTH)
        with pytest.raises(aiohttp.ClientError):
            await visit_.get(DEPTH)
        assert not visit_.server.violations


# ── silences of requests and handshakes ───────────────────────────────────────────────────────────


async def refusal(visit_: Visit, door: Kind) -> tuple[int, Any, bytes]:
    """Status, headers and body of the reply to a request or a handshake."""
    if door == "rest":
        return await visit_.get(DEPTH)
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    url = f"{visit_.server.rest_url}/stream?streams={BTC}"
    async with visit_.http.get(url, headers=handshake) as answer:
        return answer.status, answer.headers, await answer.read()


@pytest.mark.parametrize("first", ["rest", "ws"])
@pytest.mark.parametrize("then", ["rest", "ws"])
@pytest.mark.parametrize("status", [429, 418])
async def test_a_ban_for_requests_or_handshakes_applies_to_both(
    first: Kind, then: Kind, status: Any
) -> None:
    """An attempt before Retry-After has passed is refused and counted; a later one is not."""
    fault = requests.too_fast(Attempts(door=first, last=1), retry_after_s=30, status=status)
    async with visit(faulty(fault, source=market(slots=None), speed=1)) as visit_:
        code, headers, _ = await refusal(visit_, first)
        assert (code, headers["Retry-After"]) == (status, "30")
        await asyncio.sleep(20)
        code, headers, _ = await refusal(visit_, then)
        assert (code, headers["Retry-After"]) == (status, "10")
        assert visit_.server.violations == {"retry-after": 1}
        await asyncio.sleep(10.5)
        assert (await visit_.get(DEPTH))[0] == 200
        await (await visit_.listen(BTC)).count(1)
        assert visit_.server.violations == {"retry-after": 1}


async def test_a_ban_may_be_stated_in_the_body_alone() -> None:
    """Its end is in milliseconds by the exchange's clock; a request before that is counted."""
    fault = requests.too_fast(
        Attempts(door="rest", last=1), retry_after_s=25, status=418, told="body"
    )
    server = faulty(fault, source=market(slots=None), speed=1, start_us=10**15)
    async with visit(server) as visit_:
        status, headers, body = await visit_.get(DEPTH)
        assert (status, headers.get("Retry-After")) == (418, None)
        message = json.loads(body)["msg"]
        assert f"IP banned until {10**12 + 25_000}. " in message
        await asyncio.sleep(24)
        assert (await visit_.get(DEPTH))[0] == 418
        await asyncio.sleep(1.5)
        assert (await visit_.get(DEPTH))[0] == 200
        assert server.violations == {"retry-after": 1}


@pytest.mark.parametrize("first", ["rest", "ws"])
async def test_the_firewall_shuts_an_address_out_and_longer_if_it_returns(first: Kind) -> None:
    """403 and a page without a time; each request or handshake restarts the ban."""
    fault = requests.firewall(Attempts(door=first, last=1), seconds=10)
    async with visit(faulty(fault, source=market(slots=None), speed=1)) as visit_:
        attempts: list[Kind] = [first, "rest", "ws", "rest"]
        for door in attempts:
            status, headers, body = await refusal(visit_, door)
            assert (status, headers.get("Retry-After")) == (403, None)
            assert headers["Content-Type"].startswith("text/html")
            assert body.startswith(b"<!DOCTYPE html>")
            await asyncio.sleep(8)
        assert visit_.server.violations == {"firewall": 3}
        await asyncio.sleep(2.5)
        assert (await visit_.get(DEPTH))[0] == 200
        await (await visit_.listen(BTC)).count(1)
        assert visit_.server.violations == {"firewall": 3}


def test_attempts_under_way_when_the_firewall_shuts_are_not_counted_and_prolong_nothing() -> None:
    """The client cannot have known of it."""
    violations: Counter[str] = Counter()
    account = RequestLimits(6_000, violations)
    account.silence(403, 30, 100, line="a", prolongs=True)
    assert account.charge(1, 100.5, "b") == Owed(403, 30)
    assert account.charge(0, 100.6, "c") == Owed(403, 30)
    assert not violations
    assert account.charge(0, 129.5, "a") == Owed(403, 30)
    assert account.charge(1, 130.5, "d") == Owed(403, 30)
    assert violations == {"firewall": 2}
    assert account.charge(1, 160.5, "d") is None
    assert account.charge(0, 160.5, "e") is None


# ── messages ────────────────────────────────────────────────────────────────────────────────


def test_six_messages_in_a_second_are_one_too_many() -> None:
    """Messages spread over more than a second are not, even if a busy machine reads them a little closer together."""
    rate = Rate(5, 0.9)
    assert [rate.is_exceeded(0.0) for _ in range(5)] == [False] * 5
    assert not rate.is_exceeded(0.95)
    rate = Rate(5, 0.9)
    assert [rate.is_exceeded(n / 10) for n in range(6)] == [False] * 5 + [True]


@pytest.mark.parametrize("kind", ["ping", "pong", "text"])
async def test_every_kind_of_message_counts(kind: str) -> None:
    """PING, PONG and SUBSCRIBE; five a second are allowed."""
    async with visit(SimServer(market())) as visit_:
        visitor = await visit_.listen(BTC)

        async def send() -> None:
            if kind == "ping":
                await visitor.socket.ping(b"x")
            elif kind == "pong":
                await visitor.socket.pong()
            else:
                await visitor.socket.send_str(json.dumps({"method": "X", "id": 1}))

        for _ in range(5):
            await send()
        await visitor.count(1)
        assert not visit_.server.violations
        await send()
        await visitor.end()
        assert visit_.server.violations == {"messages": 1}


async def test_a_clients_ping_gets_its_pong() -> None:
    """With the same payload."""
    async with visit(SimServer(market())) as visit_:
        url = visit_.server.ws_url + "/ws"
        async with visit_.http.ws_connect(url, autoping=False) as socket:
            await socket.ping(b"hello")
            answer = await socket.receive()
            assert (answer.type, bytes(answer.data)) == (aiohttp.WSMsgType.PONG, b"hello")


# ── pongs ───────────────────────────────────────────────────────────────────────────────────


def test_a_pong_answers_its_ping_and_all_earlier_ones() -> None:
    """As RFC 6455 allows; a pong that answers no ping is a violation unless it is empty."""
    pings = Pings(7)
    first, second, third = (pings.next(now_s) for now_s in (10.0, 30.0, 50.0))
    assert len({first, second, third}) == 3
    assert pings.is_overdue(71, within_s=60)
    assert pings.accept_pong(second)
    assert not pings.is_overdue(71, within_s=60)
    assert pings.is_overdue(111, within_s=60)
    assert pings.accept_pong(first)
    assert pings.accept_pong(b"")
    assert pings.is_overdue(111, within_s=60)
    assert pings.accept_pong(third)
    assert not pings.is_overdue(1_000, within_s=60)
    wrong = [b"7-4", b"7-0", b"8-1", b"7-", b"7-1x", b"-", b"7-\xb2", b"7-01"]
    assert not any(map(pings.accept_pong, wrong))


# ── connections ─────────────────────────────────────────────────────────────────────────────


async def test_attempts_refused_by_a_fault_count_too() -> None:
    """The 301st in five minutes is one too many, although none became a connection."""
    fault = requests.refuse(Attempts(door="ws"))
    async with visit(faulty(fault)) as visit_:
        for _ in range(150):  # aiohttp tries a GET twice, by itself
            with pytest.raises(aiohttp.ClientError):
                await visit_.listen(BTC)
        assert not visit_.server.violations
        with pytest.raises(aiohttp.ClientError):
            await visit_.listen(BTC)
        assert visit_.server.violations == {"connections": 2}
