"""The built-in exchange over real sockets: it speaks the protocol, and serves the truth."""

from __future__ import annotations

import asyncio
import itertools
import json
import math

import aiohttp
import pytest

from booktape.core.events import DepthEvent
from booktape.errors import UsageError
from booktape.sim.faults.conditions import Messages
from booktape.sim.faults.fault import Faults
from booktape.sim.faults.market import IdsReset
from booktape.sim.faults.messages import Drop
from booktape.sim.faults.steps import GOING_AWAY, POLICY_VIOLATION
from booktape.sim.market.listing import DEFAULT_SYMBOLS, NON_ASCII_SYMBOL
from booktape.sim.messages import MarketMessage, Message, stream_name
from booktape.sim.server import client, step_queue
from booktape.sim.server.client import CLOSE_WITHIN_S
from booktape.sim.server.server import SimServer
from booktape.wire.binance import decode_event
from booktape.wire.endpoints import Venue
from booktape.wire.exchange_info import decode_exchange_info
from booktape.wire.limits import USED_WEIGHT_HEADER
from sim.visitor import Naive, Visit, ids, never_reads, texts, visit
from support.connections import close_all, count_open
from support.truth import TracedMarket
from support.venues import venue_with
from support.virtual_time import START_NS, WallClock

SYMBOLS = (*DEFAULT_SYMBOLS, NON_ASCII_SYMBOL)
BTC = stream_name("BTCUSDT")


def small(*symbols: str, slots: int | None = None, levels: int = 30, seed: int = 1) -> TracedMarket:
    return TracedMarket(symbols or ("BTCUSDT",), seed, levels=levels, slots=slots)


# ── truth ───────────────────────────────────────────────────────────────────────────────────


async def test_a_client_that_follows_the_procedure_has_the_true_book() -> None:
    """Stream and snapshot of every symbol, at any speed, lead to the truth, event by event."""
    market = small(*SYMBOLS, slots=200)
    truth = market.truth()
    async with visit(SimServer(market, speed=math.inf)) as visit_:
        visitor = await visit_.listen(*map(stream_name, SYMBOLS))
        await visitor.count(1)
        books = {symbol: Naive(await visit_.depth(symbol)) for symbol in SYMBOLS}
        await visit_.server.finished.wait()
        last = {symbol: market.update_id(symbol) for symbol in SYMBOLS}
        await visitor.until(lambda: all(_arrived(visitor.messages, last)))
        for message in map(json.loads, visitor.messages):
            symbol = message["data"]["s"]
            if books[symbol].apply(message):
                book = truth.book(symbol, message["data"]["u"])
                assert (books[symbol].bids, books[symbol].asks) == texts(book)
        assert {symbol: book.id for symbol, book in books.items()} == last


async def test_a_one_second_stream_joins_the_events_of_each_second() -> None:
    """There are as many messages as seconds, with the ids of all events and no others, and the true book after each."""
    market = small()
    truth = market.truth()
    async with visit(SimServer(market)) as visit_:
        fast = await visit_.listen(BTC)
        slow = await visit_.listen(stream_name("BTCUSDT", "depth"))
        await slow.count(1)
        book = Naive(await visit_.depth("BTCUSDT"))
        await asyncio.sleep(5)
        spans = ids(slow.messages)
        assert 5 <= len(spans) <= 7
        assert all(a[1] + 1 == b[0] for a, b in itertools.pairwise(spans))
        assert {first for first, _ in spans} <= {first for first, _ in ids(fast.messages)}
        assert {last for _, last in spans} <= {last for _, last in ids(fast.messages)}
        for message in map(json.loads, slow.messages):
            if book.apply(message):
                assert message["stream"] == "btcusdt@depth"
                assert (book.bids, book.asks) == texts(truth.book("BTCUSDT", book.id))
        assert book.id == spans[-1][1]


async def test_ids_that_start_over_are_not_joined_with_those_before() -> None:
    """A client of the slow stream sees the break where it is."""
    faults = Faults.of(IdsReset(2.55, first_id=1))
    async with visit(SimServer(small(), faults=faults)) as visit_:
        slow = await visit_.listen(stream_name("BTCUSDT", "depth"))
        await asyncio.sleep(5)
        spans = ids(slow.messages)
        breaks = [(a, b) for a, b in itertools.pairwise(spans) if a[1] + 1 != b[0]]
        assert [b[0] for _, b in breaks] == [1]
        assert all(first <= last for first, last in spans)


def _arrived(messages: list[bytes], last: dict[str, int]) -> list[bool]:
    joined = b"".join(messages[-200:])
    return [b'"u":%d,' % update_id in joined for update_id in last.values()]


async def test_snapshots_usually_fall_inside_the_next_event() -> None:
    """In the middle of a slot the answer's id lies between an event's U and u."""
    async with visit(SimServer(small(), venue=venue_with(weight_per_minute=60_000))) as visit_:
        visitor = await visit_.listen(BTC)
        ids = set()
        await asyncio.sleep(0.05)
        for _ in range(50):
            ids.add(Naive(await visit_.depth("BTCUSDT", 5)).id)
            await asyncio.sleep(0.1)
        events = [message["data"] for message in await visitor.count(50)]
        inside = [any(e["U"] <= i < e["u"] for e in events) for i in ids]
        assert sum(inside) > 0.7 * len(ids) > 10


async def test_with_infinite_speed_events_come_before_and_after_the_snapshot() -> None:
    """A few events precede the first request, and the rest waits for it: there is something to join."""
    async with visit(SimServer(small(slots=50), speed=math.inf)) as visit_:
        visitor = await visit_.listen(BTC)
        before = await visitor.count(3)
        book = Naive(await visit_.depth("BTCUSDT"))
        assert before[-1]["data"]["u"] <= book.id
        await visit_.server.finished.wait()
        after = (await visitor.count(50))[3:]
        assert after[0]["data"]["U"] <= book.id + 1
        assert all(book.apply(event) for event in after)


async def test_a_client_that_never_asks_does_not_hold_the_others_long() -> None:
    """With infinite speed the exchange waits for a request only for `patience_s`."""
    server = SimServer(small(slots=30), speed=math.inf, patience_s=0.05)
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC)
        await server.finished.wait()
        assert len(await visitor.count(30)) == 30


# ── time ────────────────────────────────────────────────────────────────────────────────────


async def test_time_runs_as_fast_as_requested() -> None:
    """At 20 times the speed, 2 s of the exchange take 0.1 s, stamped on its own 100 ms grid."""
    server = SimServer(small(slots=20), speed=20, start_us=1_780_861_677_413_000)
    async with visit(server) as visit_:
        began_s = visit_.now_s()
        visitor = await visit_.listen(BTC)
        await server.finished.wait()
        assert visit_.now_s() - began_s == pytest.approx(0.1, abs=1e-6)
        events = await visitor.count(20)
        times = [m["data"]["E"] for m in events]
        assert times == [1_780_861_677_400 + 100 * slot for slot in range(1, 21)]
        _, _, body = await visit_.get("time")
        assert json.loads(body)["serverTime"] >= times[-1]


async def test_event_times_are_the_time_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """However late the first client subscribes, an event's E is the end of its slot by the wall clock."""
    monkeypatch.setattr("booktape.sim.server.pacing.time.time_ns", WallClock().now_ns)

    async with visit(SimServer(small())) as visit_:
        await visit_.get("time")
        await asyncio.sleep(12.34)
        visitor = await visit_.listen(BTC)
        messages = await visitor.count(3)
        times_ms = [message["data"]["E"] - START_NS // 10**6 for message in messages]
        assert times_ms == [12_400, 12_500, 12_600]


async def test_the_market_starts_with_the_first_subscription() -> None:
    """A connection without a stream starts nothing, so no client misses the beginning."""
    market = small(slots=3)
    async with visit(SimServer(market, speed=1000)) as visit_:
        visitor = await visit_.connect("/stream")
        await visitor.ask(method="LIST_SUBSCRIPTIONS", params=[], id=1)
        assert market.slot == 0
        await visitor.ask(method="SUBSCRIBE", params=[BTC], id=2)
        await visit_.server.finished.wait()
        assert market.slot == 3


async def test_the_market_can_start_at_once() -> None:
    """With `start_at_once` no client is needed."""
    async with SimServer(small(slots=3), speed=1000, start_at_once=True) as server:
        await server.finished.wait()


# ── streams ─────────────────────────────────────────────────────────────────────────────────


async def test_raw_and_combined_streams_carry_the_same_event() -> None:
    """`/ws/<stream>` sends it bare, `/stream` wrapped with the stream's name; times are in ms or us."""
    paths = (
        f"/ws/{BTC}",
        "/stream?streams=" + BTC,
        f"/stream?streams={BTC}&timeUnit=MICROSECOND",
    )
    async with visit(SimServer(small(), speed=20)) as visit_:
        visitors = [await visit_.connect(path) for path in paths]
        (last,) = await visitors[2].count(1)
        mark = b'"u":%d,' % last["data"]["u"]
        found = [json.loads(await visitor.holding(mark)) for visitor in visitors]
        raw, combined, precise = found
        assert combined == {"stream": BTC, "data": raw}
        assert precise["data"]["E"] // 1_000 == raw["E"] < 10**14
        assert precise["data"] == raw | {"E": precise["data"]["E"]}
        assert list(raw) == ["e", "E", "s", "U", "u", "b", "a"]


async def test_a_client_may_subscribe_and_unsubscribe_on_an_open_connection() -> None:
    """Each request has a reply with its id; only subscribed streams are sent."""
    async with visit(SimServer(small("BTCUSDT", "ETHUSDT"), speed=20)) as visit_:
        visitor = await visit_.listen(BTC)
        eth = stream_name("ETHUSDT")
        reply = await visitor.ask(method="SUBSCRIBE", params=[eth], id=7)
        assert reply == {"result": None, "id": 7}
        listed = await visitor.ask(method="LIST_SUBSCRIPTIONS", params=[], id="eight")
        assert listed == {"result": [BTC, eth], "id": "eight"}
        await visitor.until(lambda: any(eth.encode() in m for m in visitor.messages))
        await visitor.ask(method="UNSUBSCRIBE", params=[BTC, eth], id=9)
        other = await visit_.listen(BTC)
        await other.count(10)
        reply = await visitor.ask(method="NONSENSE", params=[], id=None)
        assert reply["error"]["code"] == 2
        at = next(n for n, m in enumerate(visitor.messages) if b'"id":9' in m)
        # At most one slot's events were already on their way.
        assert len(visitor.messages) - at <= 4


async def test_symbols_beyond_ascii_are_percent_encoded_in_addresses_and_plain_in_messages() -> (
    None
):
    """The recorder's own addresses reach such a symbol's stream and snapshot."""
    async with visit(SimServer(small(NON_ASCII_SYMBOL), speed=50)) as visit_:
        venue = Venue("sim", visit_.server.rest_url, visit_.server.ws_url)
        url = venue.stream_url((NON_ASCII_SYMBOL,))
        visitor = await visit_.connect(url.removeprefix(visit_.server.ws_url))
        (message,) = await visitor.count(1)
        assert message["data"]["s"] == NON_ASCII_SYMBOL
        assert message["stream"] == stream_name(NON_ASCII_SYMBOL)
        assert isinstance(decode_event(visitor.messages[0]), DepthEvent)
        async with visit_.http.get(
            venue.rest_url + venue.depth_path(NON_ASCII_SYMBOL, 10)
        ) as answer:
            assert answer.status == 200


async def test_request_lines_of_more_than_8_kb_pass() -> None:
    """As many streams as fit on a connection can be named in its address."""
    symbols = [f"SYMBOLNUMBER{n}USDT" for n in range(1_000)]
    async with visit(SimServer(small(symbols[999], levels=5), speed=50)) as visit_:
        path = "/stream?streams=" + "/".join(map(stream_name, symbols))
        assert len(path) > 30_000
        visitor = await visit_.connect(path)
        (message,) = await visitor.count(1)
        assert message["data"]["s"] == symbols[999]


# ── REST ────────────────────────────────────────────────────────────────────────────────────


async def test_exchange_info_lists_symbols_and_the_budget() -> None:
    """The recorder reads from it which symbols are traded and how fast it may send requests."""
    async with visit(
        SimServer(small(*SYMBOLS), venue=venue_with(weight_per_minute=1234))
    ) as visit_:
        _, _, body = await visit_.get("exchangeInfo")
        info = decode_exchange_info(body)
        assert tuple(info.symbols) == SYMBOLS
        assert info.weight_per_minute == 1234
        assert info.symbols["BTCUSDT"].tick_size == "0.01000000"


async def test_depth_keeps_the_limit() -> None:
    """100 levels without a limit, 5,000 at most; always the best ones."""
    async with visit(SimServer(TracedMarket(("BTCUSDT",)))) as visit_:
        whole = Naive(await visit_.depth("BTCUSDT", 9_999))
        assert len(whole.bids) == len(whole.asks) == 5_000
        _, _, body = await visit_.get("depth?symbol=BTCUSDT")
        default = Naive(body)
        assert list(default.bids) == list(whole.bids)[:100]
        assert list(default.asks) == list(whole.asks)[:100]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("depth?symbol=NOPE", -1121),
        ("depth?symbol=btcusdt", -1121),
        ("depth", -1121),
        ("depth?symbol=BTCUSDT&limit=0", -1100),
        ("depth?symbol=BTCUSDT&limit=-5", -1100),
        ("depth?symbol=BTCUSDT&limit=many", -1100),
        (f"depth?symbol=BTCUSDT&limit={'9' * 5_000}", -1100),
    ],
)
async def test_a_bad_request_gets_the_exchanges_error(path: str, code: int) -> None:
    """HTTP 400 with the exchange's own code."""
    async with visit(SimServer(small())) as visit_:
        status, _, body = await visit_.get(path)
        assert (status, json.loads(body)["code"]) == (400, code)


async def test_every_answer_states_the_weight_used() -> None:
    """5, 25, 50 or 250 for a snapshot by its limit, 20 for the list of symbols."""
    async with visit(SimServer(small())) as visit_:
        used = []
        for limit in (100, 500, 1_000, 5_000):
            _, headers, _ = await visit_.get(f"depth?symbol=BTCUSDT&limit={limit}")
            used.append(int(headers[USED_WEIGHT_HEADER]))
        _, headers, _ = await visit_.get("exchangeInfo")
        used.append(int(headers[USED_WEIGHT_HEADER]))
        assert used == [5, 30, 80, 330, 350]
        assert not visit_.server.violations


async def test_too_much_weight_is_refused_then_banned() -> None:
    """429 with Retry-After beyond the budget; a client that keeps asking is banned with 418."""
    async with visit(SimServer(small(), venue=venue_with(weight_per_minute=300))) as visit_:
        answers = [await visit_.get("depth?symbol=BTCUSDT&limit=5000") for _ in range(6)]
        assert [status for status, _, _ in answers] == [200, 429, 429, 429, 418, 418]
        waits = [int(headers["Retry-After"]) for _, headers, _ in answers[1:]]
        assert waits == [60, 60, 60, 120, 120]
        assert visit_.server.violations == {"weight": 1, "retry-after": 4}


# ── pings and limits ─────────────────────────────────────────────────────────────────────────────────


async def test_clients_are_pinged_and_answered() -> None:
    """A pong with the ping's payload keeps the connection; each ping has its own payload."""
    async with visit(SimServer(small(), venue=venue_with(ping_s=0.25))) as visit_:
        visitor = await visit_.listen(BTC, autoping=False)
        for count in (1, 2):
            await visitor.pinged(count)
            await visitor.socket.pong(visitor.pings[-1])
        await visitor.socket.pong()
        assert len(set(visitor.pings)) == len(visitor.pings)
        await visitor.ask(method="LIST_SUBSCRIPTIONS", params=[], id=1)
        assert not visit_.server.violations
        assert not visitor.ended


async def test_a_wrong_pong_is_noticed() -> None:
    """A pong must echo the payload of a ping."""
    async with visit(SimServer(small())) as visit_:
        visitor = await visit_.listen(BTC, autoping=False)
        await visitor.socket.pong(b"never sent")
        await visitor.ask(method="LIST_SUBSCRIPTIONS", params=[], id=1)
        assert visit_.server.violations == {"pong": 1}


async def test_a_client_that_does_not_answer_pings_is_cut() -> None:
    """Without a pong in time the connection ends."""
    server = SimServer(small(), venue=venue_with(ping_s=0.1), pong_within_s=0.15)
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC, autoping=False)
        await visitor.end()
        assert server.violations == {"pong": 1}


async def test_a_client_that_sends_too_much_is_cut() -> None:
    """More than five messages within a second end the connection."""
    async with visit(SimServer(small())) as visit_:
        visitor = await visit_.listen(BTC)
        for number in range(6):
            await visitor.socket.send_str(json.dumps({"method": "X", "id": number}))
        await visitor.end()
        assert visitor.socket.close_code == POLICY_VIOLATION
        assert visit_.server.violations == {"messages": 1}


async def test_a_client_that_subscribes_to_too_much_is_cut() -> None:
    """More than 1,024 streams end the connection."""
    async with visit(SimServer(small())) as visit_:
        visitor = await visit_.listen(*(f"s{n}@depth@100ms" for n in range(1_025)))
        await visitor.end()
        assert visit_.server.violations == {"streams": 1}


async def test_a_client_that_connects_too_often_is_refused() -> None:
    """The 301st attempt in five minutes gets no connection."""
    async with visit(SimServer(small())) as visit_:
        for _ in range(300):
            async with visit_.http.get(visit_.server.rest_url + "/ws") as answer:
                assert answer.status == 400
        with pytest.raises(aiohttp.ClientError):
            await visit_.connect("/ws")
        # aiohttp itself tries a GET twice.
        assert set(visit_.server.violations) == {"connections"}


@pytest.mark.parametrize("faults", [Faults(), Faults.of(Drop(Messages(probability=0)))])
async def test_a_slow_client_is_cut_off_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch, faults: Faults
) -> None:
    """In real time no more than a bounded number of messages waits for any client.

    The message that exceeded the bound does not count as sent.
    """
    monkeypatch.setattr(step_queue, "QUEUE_MAX", 50)
    offer, ended_by_it = client.Client.offer, []

    def noted(self: client.Client, message: Message, number: int, now_s: float) -> bool:
        had_ended, is_sent = self.has_ended, offer(self, message, number, now_s)
        if self.has_ended and not had_ended:
            ended_by_it.append(is_sent)
        return is_sent

    monkeypatch.setattr(client.Client, "offer", noted)
    server = SimServer(TracedMarket(("BTCUSDT",), levels=500), speed=300, faults=faults)
    async with visit(server) as visit_, never_reads(server, BTC):
        visitor = await visit_.listen(BTC)
        await visitor.until(lambda: bool(server.violations))
        assert server.violations == {"slow": 1}
        assert ended_by_it == [False]
        before = len(visitor.messages)
        await visitor.count(before + 20)
        assert count_open(server) == 1


async def test_a_patient_exchange_waits_for_a_slow_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """With infinite speed nothing is lost and nothing piles up; when the slow client leaves, all others continue."""
    monkeypatch.setattr(step_queue, "QUEUE_MAX", 50)

    market = small(slots=3_000)
    server = SimServer(market, speed=math.inf, patience_s=0)
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC)
        async with never_reads(server, BTC):
            await visitor.count(100)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await server.finished.wait()
            assert market.slot < 3_000
        await server.finished.wait()
        last = b'"u":%d,' % market.update_id("BTCUSDT")
        await visitor.until(lambda: last in visitor.messages[-1])
        events = [json.loads(m)["data"] for m in visitor.messages]
        assert all(b["U"] == a["u"] + 1 for a, b in itertools.pairwise(events))


# ── the end ─────────────────────────────────────────────────────────────────────────────────


async def test_closing_sends_a_close_frame_and_leaves_nothing_behind() -> None:
    """Clients see a close frame; no task outlives the exchange; a client that never reads delays it only a little."""
    async with aiohttp.ClientSession() as http:
        async with SimServer(TracedMarket(("BTCUSDT",)), speed=1000) as server:
            visitor = await Visit(server, http).listen(BTC)
            await visitor.count(3)
            async with never_reads(server, BTC):
                await visitor.count(1_000)
                began_s = Visit.now_s()
                await server.__aexit__(None, None, None)
                assert Visit.now_s() - began_s <= 2 * CLOSE_WITHIN_S
        await visitor.reading
        assert visitor.socket.close_code == GOING_AWAY
    tasks = {task.get_name() for task in asyncio.all_tasks()} - {"Task-1"}
    assert not {name for name in tasks if "sim" in name}


async def test_connections_can_be_ended_by_hand() -> None:
    """A test may close or cut all connections; the exchange still accepts new ones."""
    async with visit(SimServer(small(), speed=20)) as visit_:
        for abrupt, code in ((False, GOING_AWAY), (True, 1006)):
            visitor = await visit_.listen(BTC)
            await visitor.count(1)
            await close_all(visit_.server, abrupt=abrupt)
            await visitor.end()
            assert visitor.socket.close_code == code
        assert visit_.server.connections == 2


async def test_a_port_that_is_taken_is_the_users_mistake() -> None:
    """One sentence instead of a traceback."""
    async with SimServer(small()) as first:
        with pytest.raises(UsageError, match=f"Port {first.port}"):
            async with SimServer(small(), port=first.port):
                pass


async def test_an_error_while_playing_is_raised_at_the_end() -> None:
    """The error is that of the failed source."""

    class Broken(TracedMarket):
        def advance(self) -> list[MarketMessage]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with SimServer(Broken(), start_at_once=True) as server:
            await server.finished.wait()
