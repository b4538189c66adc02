"""Faults do exactly what they say, the same on every run, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import aiohttp
import pytest

from booktape.core.events import DepthEvent
from booktape.errors import UsageError
from booktape.sim.client import GOING_AWAY
from booktape.sim.conditions import (
    Attempt,
    Delivery,
    at_door,
    chance,
    contains_id,
    during,
    event_number,
    message_number,
    randomly,
)
from booktape.sim.faults import Faults
from booktape.sim.lies import (
    Close,
    Cut,
    Drop,
    Lie,
    Lifetime,
    Refuse,
    RestError,
    RestLie,
    Send,
    Step,
)
from booktape.sim.market import Market
from booktape.sim.server import SimServer
from booktape.sim.source import depth_stream
from sim.visitor import Naive, Visit, Visitor, run, visit

BTC = depth_stream("BTCUSDT")


def delivery(connection: int = 0, message: int = 1, number: int = 1) -> Delivery:
    event = DepthEvent("BTCUSDT", 0, number * 10, number * 10 + 9, [(1.0, 1.0)], [])
    return Delivery(connection, message, number, BTC, event, b"payload")


def lying(*lies: Lie, patience_s: float = 0.05) -> SimServer:
    market = Market(("BTCUSDT",), 1, levels=30, slots=30)
    return SimServer(market, faults=Faults.of(*lies), speed=math.inf, patience_s=patience_s)


async def events(visit_: Visit, last: int) -> list[DepthEvent]:
    """What a client gets until the event that ends with id `last`."""
    visitor = await visit_.listen(BTC)
    await visitor.until(lambda: bool(visitor.messages) and _ids(visitor)[-1][1] >= last)
    return [DepthEvent("BTCUSDT", 0, first, end, [], []) for first, end in _ids(visitor)]


def _ids(visitor: Visitor) -> list[tuple[int, int]]:
    inner = (json.loads(message)["data"] for message in visitor.messages)
    return [(event["U"], event["u"]) for event in inner]


def honest() -> list[DepthEvent]:
    market = Market(("BTCUSDT",), 1, levels=30)
    return [m.event for _ in range(30) for m in market.advance()]


# ── lies, over a socket ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("lost", "condition"),
    [
        ([16], event_number("BTCUSDT", 17)),
        ([3, 16], event_number("BTCUSDT", 17, 4)),
        ([9], contains_id("BTCUSDT", honest()[9].first_id)),
        ([9], contains_id("BTCUSDT", honest()[9].last_id)),
        ([], contains_id("ETHUSDT", honest()[9].last_id)),
        ([4], message_number(5)),
        ([4], message_number(5, connection=0)),
        ([], message_number(5, connection=1)),
    ],
)
def test_exactly_the_named_event_is_lost(
    lost: list[int], condition: Callable[[Delivery], bool]
) -> None:
    """A script names an event by its place, by an id in it, or by the message's number."""

    async def work() -> None:
        async with visit(lying(Drop(condition))) as visit_:
            got = await events(visit_, honest()[-1].last_id)
            kept = [event for number, event in enumerate(honest()) if number not in lost]
            assert [(e.first_id, e.last_id) for e in got] == [(e.first_id, e.last_id) for e in kept]

    run(work())


def test_after_an_event_that_nobody_got_a_client_has_time_to_ask_again() -> None:
    """With infinite speed the exchange waits for the snapshot that the gap makes necessary."""

    async def work() -> None:
        market = Market(("BTCUSDT",), 1, levels=30, slots=60)
        faults = Faults.of(Drop(event_number("BTCUSDT", 20)))
        async with visit(SimServer(market, faults=faults, speed=math.inf)) as visit_:
            visitor = await visit_.listen(BTC)
            await visitor.count(3)
            await visit_.depth("BTCUSDT")
            await visitor.count(22)
            book = Naive(await visit_.depth("BTCUSDT"))
            await visit_.server.finished.wait()
            after = await visitor.count(59)
            assert [book.apply(event) for event in after[22:]] == [True] * 37

    run(work())


@pytest.mark.parametrize(("abrupt", "code"), [(False, GOING_AWAY), (True, 1006)])
def test_a_connection_ends_after_the_named_message(abrupt: bool, code: int) -> None:
    """The message still arrives, whole; then comes a goodbye, or none; the next one may live."""

    async def work() -> None:
        lie = Close(message_number(5, connection=0), abrupt)
        async with visit(lying(lie)) as visit_:
            visitor = await visit_.listen(BTC)
            await visitor.end()
            assert visitor.socket.close_code == code
            if not abrupt:  # a reset may overtake what was sent before it
                assert len(visitor.messages) == 5
            again = await visit_.listen(BTC)
            await visit_.server.finished.wait()
            assert len(await again.count(10)) == 10
            assert not again.ended

    run(work())


@pytest.mark.parametrize(("abrupt", "code"), [(False, GOING_AWAY), (True, 1006)])
def test_a_connection_has_a_lifetime(abrupt: bool, code: int) -> None:
    """It ends after its seconds also when nothing is sent on it."""

    async def work() -> None:
        async with visit(lying(Lifetime(0.05, abrupt))) as visit_:
            visitor = await visit_.listen("nothing@depth@100ms")
            await visitor.end()
            assert visitor.socket.close_code == code

    run(work())


def test_a_refused_client_gets_no_answer() -> None:
    """WebSocket and REST alike are reset at the door, and only where the condition holds."""

    async def work() -> None:
        lie = Refuse(lambda attempt: attempt.kind == "ws" or attempt.symbol == "BTCUSDT")
        async with visit(lying(lie)) as visit_:
            with pytest.raises(aiohttp.ClientError):
                await visit_.listen(BTC)
            with pytest.raises(aiohttp.ClientError):
                await visit_.get("depth?symbol=BTCUSDT")
            status, _, _ = await visit_.get("exchangeInfo")
            assert status == 200

    run(work())


@pytest.mark.parametrize(
    ("lie", "retry_after"),
    [(RestLie(500), None), (RestLie(503), None), (RestLie(429, 1), "1"), (RestLie(418, 2), "2")],
)
def test_a_request_gets_the_error_it_was_told_to_get(lie: RestLie, retry_after: str | None) -> None:
    """Status and Retry-After as told; a request inside that silence is a violation."""

    async def work() -> None:
        first = RestError(lambda attempt: attempt.number == 0, (lie,))
        async with visit(lying(first)) as visit_:
            status, headers, _ = await visit_.get("depth?symbol=BTCUSDT")
            assert (status, headers.get("Retry-After")) == (lie.status, retry_after)
            status, _, _ = await visit_.get("depth?symbol=BTCUSDT")
            assert status == (lie.status if retry_after else 200)
            assert visit_.server.violations == ({"retry-after": 1} if retry_after else {})

    run(work())


def test_a_body_can_be_half() -> None:
    """HTTP 200 with JSON that breaks off."""

    async def work() -> None:
        first = RestError(lambda attempt: attempt.number == 0, (RestLie(200),))
        async with visit(lying(first)) as visit_:
            half, whole = await visit_.depth("BTCUSDT"), await visit_.depth("BTCUSDT")
            assert half == whole[: len(whole) // 2]
            with pytest.raises(json.JSONDecodeError):
                json.loads(half)

    run(work())


def test_after_half_a_body_a_client_has_time_to_ask_again() -> None:
    """With infinite speed the exchange waits for the second try as for the first."""

    async def work() -> None:
        first = RestError(lambda attempt: attempt.number == 0, (RestLie(200),))
        async with visit(lying(first, patience_s=5)) as visit_:
            visitor = await visit_.listen(BTC)
            await visit_.depth("BTCUSDT")
            await visitor.count(6)
            for _ in range(5):
                await visit_.get("time")
            assert len(visitor.messages) == 6
            await visit_.depth("BTCUSDT")
            await visit_.server.finished.wait()
            assert len(await visitor.count(30)) == 30

    run(work())


def test_lies_compose_in_order() -> None:
    """Each lie works on what the one before it left; a new lie needs no other file."""

    class Twice(Lie):
        def sends(self, delivery: Delivery, steps: list[Step]) -> list[Step]:
            return steps * len(delivery.event.bids) * 2 if delivery.event else steps

    always, never = (lambda _: True), (lambda _: False)
    send = Send(b"payload")
    assert Faults().sends(delivery()) == [send]
    assert Faults.of(Twice(), Close(always)).sends(delivery()) == [send, send, Cut(abrupt=False)]
    assert Faults.of(Twice(), Drop(always), Close(never)).sends(delivery()) == []
    first = Faults.of(Lifetime(9), Lifetime(3, abrupt=True)).lifetime(0)
    assert first == (3, Cut(abrupt=True))


# ── chance ──────────────────────────────────────────────────────────────────────────────────


def test_chance_depends_on_nothing_but_its_arguments() -> None:
    """The same question has the same answer; different ones are spread evenly over 0 to 1."""
    numbers = [chance(7, "message", n) for n in range(10_000)]
    assert numbers == [chance(7, "message", n) for n in range(10_000)]
    assert min(numbers) >= 0
    assert max(numbers) < 1
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.02)


def test_random_losses_keep_their_probability_and_differ_between_connections() -> None:
    """So that a second connection helps, as it does in life."""
    condition = randomly(0.1)
    lost = [
        {n for n in range(10_000) if condition(delivery(connection, n, n))} for connection in (0, 1)
    ]
    assert all(len(numbers) == pytest.approx(1_000, abs=120) for numbers in lost)
    assert len(lost[0] & lost[1]) == pytest.approx(100, abs=50)
    assert not any(randomly(0)(delivery(0, n, n)) for n in range(100))
    assert all(randomly(1)(delivery(0, n, n)) for n in range(100))


def test_two_lies_at_the_door_have_chances_of_their_own() -> None:
    """Whoever is not refused may still get an error."""
    refused, failed = at_door(0.3, lie="refuse"), at_door(0.3, lie="rest")
    attempts = [Attempt("rest", number, 0) for number in range(10_000)]
    assert sum(map(refused, attempts)) == pytest.approx(3_000, abs=200)
    assert sum(refused(a) and failed(a) for a in attempts) == pytest.approx(900, abs=150)


def test_an_outage_lasts_from_its_first_second_to_its_last() -> None:
    """Before and after it everybody is welcome."""
    outage = during(10, 25)
    found = [outage(Attempt("ws", 0, age_s)) for age_s in (0, 9.9, 10, 24.9, 25, 100)]
    assert found == [False, False, True, True, False, False]


# ── text ────────────────────────────────────────────────────────────────────────────────────


def test_no_text_is_no_fault() -> None:
    """The exchange is honest unless told otherwise."""
    assert Faults.parse("") == Faults.parse(" , ") == Faults() == Faults.of()


def test_every_fault_can_be_named() -> None:
    """One lie for each part, in order."""
    text = "drop=0.01, close=30,cut=100msg,refuse=0.2,outage=10-25,rest-error=0.1"
    kinds = [type(lie) for lie in Faults.parse(text).lies]
    assert kinds == [Drop, Lifetime, Close, Refuse, Refuse, RestError]
    assert Faults.parse("close=30,cut=2.5").lies == (Lifetime(30), Lifetime(2.5, abrupt=True))


def test_a_text_means_what_it_says() -> None:
    """Messages are counted from 1, seconds from the start, and the seed matters."""
    cut = Faults.parse("cut=3msg").sends
    ends = [Cut(abrupt=True) in cut(delivery(message=n)) for n in (1, 2, 3, 4)]
    assert ends == [False, False, True, False]
    assert Faults.parse("outage=1-2").refuses(Attempt("ws", 0, 1.5))
    assert not Faults.parse("outage=1-2").refuses(Attempt("ws", 0, 2.5))
    dropped = [
        [Faults.parse("drop=0.5", seed).sends(delivery(number=n)) for n in range(50)]
        for seed in (1, 1, 2)
    ]
    assert dropped[0] == dropped[1] != dropped[2]
    errors = Faults.parse("rest-error=1")
    told = {getattr(errors.answers(Attempt("rest", n, 0)), "status", None) for n in range(5)}
    assert told == {200, 418, 429, 500, 503}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("drop", "'drop'"),
        ("drop=", "'drop='"),
        ("drop=2", "'drop=2'"),
        ("drop=-0.1", "'drop=-0.1'"),
        ("drop=nan", "'drop=nan'"),
        ("drop=0.1,explode=1", "'explode=1'"),
        ("close=soon", "'close=soon'"),
        ("close=inf", "'close=inf'"),
        ("cut=0msg", "'cut=0msg'"),
        ("cut=1.5msg", "'cut=1.5msg'"),
        ("outage=10", "'outage=10'"),
        ("outage=9-3", "'outage=9-3'"),
        ("=1", "'=1'"),
    ],
)
def test_a_text_that_cannot_be_read_is_the_users_mistake(text: str, part: str) -> None:
    """The sentence names the part that is wrong."""
    with pytest.raises(UsageError, match=part):
        Faults.parse(text)
