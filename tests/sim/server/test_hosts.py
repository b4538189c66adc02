"""Two hosts of one exchange: the same market, but each host has its own faults."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from booktape.errors import UsageError
from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempts, Messages
from booktape.sim.faults.connections import CutAt, Outage
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.messages import Deaf, Drop
from booktape.sim.faults.parse import parse_faults, parse_hosts
from booktape.sim.messages import stream_name
from booktape.sim.server.server import SimServer
from sim.exchange import BTC, market
from sim.visitor import Naive, Visit, Visitor, ids, texts, visit
from support.connections import count_open
from support.venues import venue_with

BOTH = "BTCUSDT", "ETHUSDT"
DEPTH = "depth?symbol=BTCUSDT&limit=5000"


def two(faults: Faults, second: Faults, **settings: Any) -> SimServer:
    """A market without end, at its own pace, behind two hosts."""
    source = settings.pop("source", None) or market(*BOTH, slots=None)
    return SimServer(source, faults=faults, second=second, **settings)


async def second_listens(visit_: Visit, *streams: str) -> Visitor:
    """A connection to the second host."""
    url = f"{visit_.server.second_ws_url}/stream?streams={'/'.join(streams)}"
    visit_.visitors.append(Visitor(await visit_.http.ws_connect(url, max_msg_size=0)))
    return visit_.visitors[-1]


async def second_gets(visit_: Visit, path: str) -> tuple[int, bytes]:
    """An answer from the second host."""
    async with visit_.http.get(f"{visit_.server.second_rest_url}/api/v3/{path}") as answer:
        return answer.status, await answer.read()


async def test_both_hosts_serve_the_same_market() -> None:
    """The same events to the byte, and snapshots that are true by the same ids."""
    server = two(Faults(), Faults())
    truth = market(*BOTH, slots=None).truth()
    async with visit(server) as visit_:
        assert server.port != server.second_port
        first = await visit_.listen(BTC)
        second = await second_listens(visit_, BTC)
        # A symbol followed only by clients of the second host trades as well.
        other = await second_listens(visit_, stream_name("ETHUSDT"))
        await asyncio.sleep(3)
        assert other.messages
        assert second.messages
        assert first.messages[-len(second.messages) :] == second.messages
        for body in (await visit_.depth("BTCUSDT"), (await second_gets(visit_, DEPTH))[1]):
            book = Naive(body)
            assert (book.bids, book.asks) == texts(truth.book("BTCUSDT", book.id))
        assert server.connections == count_open(server) == 3


async def test_each_host_has_its_own_faults() -> None:
    """Loss, silence, an end or an outage at one of them: the other one continues."""
    second = Faults.of(
        Deaf(Messages(1, 3, symbol="BTCUSDT"), opened_by_s=9),
        CutAt(4.05),
        Outage(5.05, 6.05),
    )
    async with visit(two(Faults(), second)) as visit_:
        first = await visit_.listen(BTC)
        other = await second_listens(visit_, BTC)
        await asyncio.sleep(3.5)
        missing = set(ids(first.messages)) - set(ids(other.messages))
        assert 18 <= len(missing) <= 22
        await other.end()
        await asyncio.sleep(2)
        with pytest.raises(aiohttp.ClientError):
            await second_listens(visit_, BTC)
        with pytest.raises(aiohttp.ClientError):
            await second_gets(visit_, DEPTH)
        assert (await visit_.get(DEPTH))[0] == 200
        assert not first.ended
        await asyncio.sleep(1)
        await (await second_listens(visit_, BTC)).count(1)
        assert (await second_gets(visit_, DEPTH))[0] == 200
        assert not visit_.server.violations


async def test_connections_are_numbered_across_both_hosts() -> None:
    """So a fault on every second connection hits one of two connections on different hosts."""
    faults = Faults.of(Drop(Messages(connection=1, of=2)))
    async with visit(two(faults, faults)) as visit_:
        first = await visit_.listen(BTC)
        second = await second_listens(visit_, BTC)
        third = await second_listens(visit_, BTC)
        await asyncio.sleep(2)
        assert first.messages
        assert not second.messages
        assert third.messages


@pytest.mark.parametrize(
    "fault", [requests.too_fast(Attempts(last=1), 30), requests.firewall(Attempts(last=1), 30)]
)
async def test_a_ban_applies_to_an_address_and_so_to_both_hosts(fault: Fault) -> None:
    """One host sends it; a request to the other one violates it."""
    async with visit(two(Faults.of(fault), Faults())) as visit_:
        status, _, _ = await visit_.get(DEPTH)
        assert status in {429, 403}
        await asyncio.sleep(5)
        assert (await second_gets(visit_, DEPTH))[0] == status
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await second_listens(visit_, BTC)
        assert visit_.server.violations.total() == 2


async def test_the_budget_belongs_to_an_address_too() -> None:
    """The requests to both hosts count together."""
    async with visit(two(Faults(), Faults(), venue=venue_with(weight_per_minute=600))) as visit_:
        assert (await visit_.get(DEPTH))[0] == 200
        assert (await second_gets(visit_, DEPTH))[0] == 200
        assert (await second_gets(visit_, DEPTH))[0] == 429
        assert visit_.server.violations == {"weight": 1}


async def test_a_snapshot_of_the_second_host_can_be_old() -> None:
    """The market remembers for both hosts."""
    async with visit(two(Faults(), Faults.of(requests.stale(Attempts(), seconds=1)))) as visit_:
        await visit_.listen(BTC)
        await asyncio.sleep(3)
        now, then = (
            json.loads(body)["lastUpdateId"]
            for body in (await visit_.depth("BTCUSDT"), (await second_gets(visit_, DEPTH))[1])
        )
        assert then < now


def test_a_script_distinguishes_the_hosts(tmp_path: Path) -> None:
    """By `host`; an entry without it applies to both hosts."""
    path = tmp_path / "script.toml"
    both = "[[fault]]\nkind = 'status'\nseed = 1\n"
    own = "[[fault]]\nkind = 'cut'\nat_s = {0}\nhost = {0}\n"
    path.write_text(both + own.format(1) + own.format(2))
    status = requests.status(Attempts(seed=1))
    assert parse_hosts(str(path)) == (Faults((status, CutAt(1))), Faults((status, CutAt(2))))
    path.write_text(both)
    assert parse_hosts(str(path)) == (Faults((status,)), Faults((status,)))
    first, second = parse_hosts("drop=0.5")
    assert first == second == parse_faults("drop=0.5")
    for entry, sentence in (
        (own.format(3), "'host' is 1 or 2"),
        ("[[fault]]\nkind = 'clock-step'\nat_s = 1\nby_s = 1\nhost = 1", "happens to the market"),
    ):
        path.write_text(entry)
        with pytest.raises(UsageError, match=sentence):
            parse_faults(str(path))


async def test_if_the_second_port_is_taken_neither_stays_open() -> None:
    """The error is one sentence, and the first port is free again."""
    async with SimServer(market()) as once:
        free = once.port
    async with SimServer(market()) as taken:
        server = two(Faults(), Faults(), port=free, second_port=taken.port)
        with pytest.raises(UsageError, match=str(taken.port)):
            async with server:
                pass
        async with SimServer(market(), port=free):
            pass
