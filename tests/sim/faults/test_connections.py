"""Faults about connections, over real sockets."""

from __future__ import annotations

import asyncio
import itertools
import json
from math import inf

import aiohttp
import pytest

from booktape.core.events import ServerShutdown
from booktape.sim.faults.conditions import Delivery, Messages
from booktape.sim.faults.connections import CutAt, Cuts, HalfOpen, Outage
from booktape.sim.faults.connections import ServerShutdown as Shutdown
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.messages import Delay
from booktape.sim.faults.steps import GOING_AWAY, Cut, MakeHalfOpen, OpenConnection, Step
from booktape.wire.binance import decode_event
from sim.exchange import BTC, faulty, last_id, market, pairs
from sim.visitor import Visit, Visitor, ids, visit
from support.connections import count_open
from support.venues import venue_with

# ── cuts ────────────────────────────────────────────────────────────────────────────────────


async def test_connections_that_are_open_at_a_given_time_are_cut() -> None:
    """A connection opened later stays."""
    async with visit(faulty(CutAt(1.05, abrupt=False), speed=20, slots=None)) as visit_:
        first = await visit_.listen(BTC)
        await first.end()
        assert first.socket.close_code == GOING_AWAY
        assert len(first.messages) == 10
        second = await visit_.listen(BTC)
        await second.count(10)
        assert not second.ended


def test_periodic_cuts_come_every_few_seconds_and_end() -> None:
    """One in each period, at a random time; the same seed gives the same times and the same victims."""
    moments = list(Faults.of(Cuts(3, start_s=10, end_s=40, seed=5)).timetable())
    assert len(moments) in {9, 10}
    assert all(10 + 3 * n <= m.at_s < 13 + 3 * n for n, m in enumerate(moments))
    again = list(Faults.of(Cuts(3, start_s=10, end_s=40, seed=5)).timetable())
    standing = [OpenConnection(number, frozenset({BTC}), 9.0) for number in range(4)]
    assert [(m.at_s, m.steps) for m in moments] == [(m.at_s, m.steps) for m in again]
    victims = [list(m.choose(standing)) for m in moments]
    assert victims == [list(m.choose(standing)) for m in again]
    assert all(len(victim) == 1 for victim in victims)
    assert len({victim[0] for victim in victims}) > 1
    assert {step for m in moments for step in m.steps} == {Cut(abrupt=True), Cut(abrupt=False)}
    other = Faults.of(Cuts(3, start_s=10, end_s=40, seed=6)).timetable()
    assert [m.at_s for m in other] != [m.at_s for m in moments]


def test_a_connection_is_spared_while_no_other_carries_its_streams() -> None:
    """Others must have been open for a while, and carry all of its streams."""
    (moment,) = itertools.islice(Faults.of(Cuts(1, spare=1, settled_s=2)).timetable(), 1)
    both, one = frozenset({"a", "b"}), frozenset({"a"})
    assert not moment.choose([OpenConnection(0, both, inf)])
    assert list(moment.choose([OpenConnection(0, both, 9), OpenConnection(1, both, 1)])) == [1]
    assert list(moment.choose([OpenConnection(0, both, 9), OpenConnection(1, one, 9)])) == [1]
    assert len(moment.choose([OpenConnection(0, both, 9), OpenConnection(1, both, 9)])) == 1
    assert not moment.choose([])


async def test_two_connections_that_reconnect_lose_nothing_to_single_cuts() -> None:
    """The other one received whatever one of them missed, for three quarters of a minute."""

    async def follow(visit_: Visit, ends: list[int | None]) -> None:
        while True:
            visitor = await visit_.listen(BTC)
            await visitor.end()
            ends.append(visitor.socket.close_code)

    server = faulty(Cuts(3, spare=1, seed=2), speed=30, slots=450)
    async with visit(server) as visit_:
        ends: list[int | None] = []
        tasks = [asyncio.create_task(follow(visit_, ends)) for _ in range(2)]
        await server.finished.wait()
        for task in tasks:
            task.cancel()
        messages = [message for visitor in visit_.visitors for message in visitor.messages]
        assert len(ends) >= 10
        assert set(ends) == {GOING_AWAY, 1006}
        seen = sorted(set(ids(messages)))
        assert all(a[1] + 1 == b[0] for a, b in itertools.pairwise(seen))
        assert len(seen) > 440


# ── silence ─────────────────────────────────────────────────────────────────────────────────


async def test_a_half_open_connection_carries_nothing_and_does_not_end() -> None:
    """No frame, no ping, no pong, no close frame; the other connection continues; no pong is due."""
    server = faulty(
        HalfOpen(1.05, connection=0),
        speed=1,
        slots=None,
        venue=venue_with(ping_s=0.3),
        pong_within_s=0.5,
    )
    async with visit(server) as visit_:
        dead = await visit_.listen(BTC, autoping=False)
        alive = await visit_.listen(BTC)
        await alive.count(11)
        assert (len(dead.messages), len(dead.pings)) == (10, 2)
        await dead.socket.ping(b"are you there")
        await dead.socket.send_str('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        await alive.count(50)
        assert (len(dead.messages), len(dead.pings)) == (10, 2)
        assert not dead.ended
        assert count_open(server) == 2
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await dead.socket.close()
        await dead.end()
        await asyncio.sleep(0.001)
        assert count_open(server) == 1
        assert not server.violations


class HalfOpenAfter(Fault, frozen=True):
    """The first connection becomes half-open after its message of this number."""

    number: int

    def apply(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
        is_it = (delivery.connection, delivery.number_on_connection) == (0, self.number)
        return [*steps, MakeHalfOpen()] if is_it else steps


async def test_a_connection_can_become_half_open_after_a_message() -> None:
    """In order: everything queued before is sent, nothing after it, and nothing ends the connection."""
    server = faulty(HalfOpenAfter(5), Delay(Messages(last=7), 0.55), speed=1, slots=None)
    async with visit(server) as visit_:
        dead = await visit_.listen(BTC)
        alive = await visit_.listen(BTC)
        await alive.count(30)
        assert len(dead.messages) == 5
        await dead.socket.send_str('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        await alive.count(60)
        assert (len(dead.messages), dead.ended) == (5, False)
        assert count_open(server) == 2
        assert not server.violations


# ── the announced end ───────────────────────────────────────────────────────────────────────


async def test_a_shutdown_is_announced_before_the_cut() -> None:
    """In each client's own message format; a connection opened after the announcement stays."""
    server = faulty(Shutdown(1.05, lead_s=2.0), speed=20, slots=None, start_us=10**15)
    async with visit(server) as visit_:
        combined = await visit_.listen(BTC)
        raw = await visit_.connect(f"/ws/{BTC}")
        wrapped = await combined.holding(b"serverShutdown")
        plain = json.loads(await raw.holding(b"serverShutdown"))
        third = await visit_.listen(BTC)
        assert json.loads(wrapped)["stream"] == "!serverShutdown"
        assert json.loads(wrapped)["data"].keys() == plain.keys() == {"e", "E"}
        assert plain["E"] - 10**12 == pytest.approx(1_050, abs=1)
        assert isinstance(decode_event(wrapped), ServerShutdown)
        for visitor in (combined, raw):
            await visitor.end()
            assert visitor.socket.close_code == GOING_AWAY
            at = next(n for n, m in enumerate(visitor.messages) if b"Shutdown" in m)
            assert (at, len(visitor.messages)) == (10, 10 + 1 + 20)
        await third.count(30)
        assert not third.ended


# ── outages ─────────────────────────────────────────────────────────────────────────────────


async def asks(visit_: Visit) -> bool:
    try:
        async with asyncio.timeout(0.05):
            return bool(await visit_.depth("BTCUSDT"))
    except (aiohttp.ClientError, TimeoutError):
        return False


async def comes(visit_: Visit) -> Visitor | None:
    try:
        async with asyncio.timeout(0.05):
            return await visit_.listen(BTC)
    except (aiohttp.ClientError, TimeoutError):
        return None


@pytest.mark.parametrize("silent", [False, True])
async def test_in_an_outage_no_connection_gets_through(silent: bool) -> None:
    """Open connections are lost, and new ones and requests fail; afterwards everything works as before."""

    # Clients left hanging neither delay the exchange's end nor get an answer.
    async with visit(faulty(Outage(1.97, 8, silent=silent), speed=1, slots=None)) as visit_:
        first = await visit_.listen(BTC)
        await asyncio.sleep(1.95)
        assert await asks(visit_)
        await asyncio.sleep(0.1)
        for _ in range(10):
            assert not await asks(visit_)
            assert await comes(visit_) is None
            await asyncio.sleep(0.48)
        assert first.ended is not silent
        assert len(first.messages) == 19
        await asyncio.sleep(8.05 - 2.05)
        assert await asks(visit_)
        second = await visit_.listen(BTC)
        before, after = await first.count(1), await second.count(1)
        assert after[0]["data"]["E"] - before[0]["data"]["E"] >= 7_500


async def test_an_outage_from_the_start_ends() -> None:
    """The first refused client starts the clock; otherwise the outage would last for ever."""
    async with visit(faulty(Outage(0, 2), speed=1, slots=None)) as visit_:
        await asyncio.sleep(10)
        assert not await asks(visit_)
        await asyncio.sleep(1.9)
        assert not await asks(visit_)
        await asyncio.sleep(0.2)
        assert await asks(visit_)
        assert await comes(visit_)


async def test_connection_faults_do_not_affect_earlier_messages() -> None:
    """Up to the cut, everything arrives in order."""
    async with visit(faulty(CutAt(2.0, abrupt=False), speed=20)) as visit_:
        visitor = await visit_.listen(BTC)
        await visitor.end()
        got = ids(visitor.messages)
        assert got == pairs(range(len(got)))
        assert last_id() not in {end for _, end in got}


async def test_a_market_can_be_quiet_while_connection_faults_continue() -> None:
    """Connection faults keep to their times even after the market has ended."""
    server = faulty(CutAt(2.0), speed=20, source=market(slots=3))
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC)
        await visitor.end()
        assert len(visitor.messages) == 3
