"""The REST client: every request is answered in the end, and none breaks the exchange's rules."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from booktape.core.events import FetchSnapshot, Urgency
from booktape.core.tape_records import DepthAnswer, SnapshotRequested
from booktape.net import request_pause
from booktape.net.http import CONCURRENCY_MAX
from booktape.net.rate_limit import WINDOW_S
from booktape.wire.limits import RETRY_AFTER_MAX_S
from net.hand_clock import HandClock, RestlessClock
from net.loopback import DEPTH, Waits, asking, next_answer, next_frame
from support import virtual_time

INFO = json.dumps({"symbols": [{"symbol": "BTCUSDT"}]}).encode()


class Exchange:
    """Gives the answers that a test has prepared, and remembers the requests."""

    def __init__(self, *answers: web.Response, body: bytes = DEPTH) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)
        self._body = body

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        return self._answers.pop(0) if self._answers else web.Response(body=self._body)


async def test_a_snapshot_comes_back_as_a_record() -> None:
    """The answer is a record like any other: stamped, byte for byte, with its request."""
    exchange = Exchange()

    async with asking(exchange, HandClock()) as (rest, queue):
        rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
        expected = DepthAnswer(1_000 * 10**9, "BTCUSDT", 5_000, DEPTH)
        assert await next_answer(queue) == expected
    assert exchange.asked == ["/api/v3/depth?symbol=BTCUSDT&limit=5000"]


async def test_a_symbol_whose_request_is_under_way_is_not_requested_twice() -> None:
    """A book lost twice before the answer came costs one request."""
    exchange = Exchange()

    async with asking(exchange, HandClock()) as (rest, queue):
        for _ in range(5):
            rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
        await next_answer(queue)
        rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
        await next_answer(queue)
    assert len(exchange.asked) == 2


async def test_an_answer_requested_before_the_latest_request_is_not_used() -> None:
    """A connection was lost and reopened meanwhile: an outdated book could go unnoticed."""
    asked = asyncio.Event()
    go_on = asyncio.Event()
    old, new = DEPTH, DEPTH.replace(b"7", b"8")
    bodies = [old, new]

    async def exchange(_: web.Request) -> web.StreamResponse:
        body = bodies.pop(0)
        asked.set()
        await go_on.wait()
        return web.Response(body=body)

    clock = HandClock()
    async with asking(exchange, clock) as (rest, queue):
        rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
        await asked.wait()
        clock.advance(1)
        rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
        go_on.set()
        frame = await next_answer(queue)
        assert isinstance(frame, DepthAnswer)
        assert frame.payload == new


@pytest.mark.parametrize(
    "trouble",
    [
        web.Response(status=500),
        web.Response(status=503, text="<html>"),
        web.Response(status=451),
        web.Response(status=404),
        web.Response(status=400, text='{"code":-1121}'),
    ],
)
async def test_failed_requests_are_repeated_until_answered(trouble: web.Response) -> None:
    """Whatever the exchange's error, the request is repeated after a pause."""
    exchange = Exchange(trouble)

    clock = RestlessClock()
    async with asking(exchange, clock) as (rest, queue):
        rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
        frame = await next_answer(queue)
        assert isinstance(frame, DepthAnswer)
        assert frame.payload == DEPTH
        assert len(exchange.asked) == 2
        assert len(clock.pauses) == 1


async def test_a_request_whose_connection_is_cut_is_repeated() -> None:
    """A truncated body is no answer."""
    asked: list[int] = []

    async def exchange(request: web.Request) -> web.StreamResponse:
        asked.append(1)
        if len(asked) == 1:
            assert request.transport
            request.transport.abort()
        return web.Response(body=DEPTH)

    async with asking(exchange, RestlessClock()) as (rest, queue):
        rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
        await next_answer(queue)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("status", "header", "silence_s"),
    [
        *((429, "17", 17), (418, "300", 300), (429, "", 60)),
        *((418, "9" * 5_000, 120), (429, "soon", 60), (429, "٣٠", 60)),  # not understood
    ],
)
async def test_no_request_of_any_kind_is_sent_before_retry_after(
    status: int, header: str, silence_s: float
) -> None:
    """429 and 418 silence every symbol, not only the one that got the answer."""
    sent_s: list[float] = []
    clock = RestlessClock()

    async def exchange(_: web.Request) -> web.StreamResponse:
        sent_s.append(clock.now_s)
        if len(sent_s) == 1:
            return web.Response(status=status, headers={"Retry-After": header} if header else {})
        return web.Response(body=DEPTH)

    async with asking(exchange, clock) as (rest, queue):
        rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
        while not rest.http.wait_s(0):
            await asyncio.sleep(0)
        for symbol in ("ETHUSDT", "XRPUSDT"):
            rest.request_snapshot(FetchSnapshot(symbol, 1))
        for _ in range(3):
            await next_answer(queue)
    # And one second more: the exchange counts whole seconds.
    assert all(at_s >= sent_s[0] + silence_s + 1 for at_s in sent_s[1:])


def sent_of(count: int, urgency: Urgency = Urgency.NEW) -> list[float]:
    """When each of `count` requests was sent; all are made at once, and each is answered at once."""
    sent_s: list[float] = []
    clock = RestlessClock()

    async def exchange(_: web.Request) -> web.StreamResponse:
        sent_s.append(clock.now_s)
        return web.Response(body=DEPTH)

    async def ask_all() -> None:
        async with asking(exchange, clock) as (rest, queue):
            for number in range(count):
                rest.request_snapshot(FetchSnapshot(f"S{number}USDT", 1, urgency))
            for _ in range(count):
                await next_answer(queue)

    virtual_time.run(ask_all())
    return sent_s


def test_the_budget_of_the_exchange_is_kept() -> None:
    """30 full snapshots take more than a minute: 24 are sent at once, the others wait their turn."""
    sent_s = sent_of(30)
    assert sum(at_s < sent_s[0] + WINDOW_S for at_s in sent_s) == 24


async def test_the_used_weight_header_is_obeyed() -> None:
    """When others use our address, or after a restart, the exchange's own count decides."""
    clock = RestlessClock()
    sent_s: list[float] = []

    async def exchange(_: web.Request) -> web.StreamResponse:
        sent_s.append(clock.now_s)
        return web.Response(body=DEPTH, headers={"X-MBX-USED-WEIGHT-1M": "5900"})

    async with asking(exchange, clock) as (rest, queue):
        rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
        await next_answer(queue)
        rest.request_snapshot(FetchSnapshot("ETHUSDT", 1))
        await next_answer(queue)
    assert sent_s[1] >= sent_s[0] + WINDOW_S - 1


@pytest.mark.parametrize(
    ("asked_s", "longest_s"),
    [(10**17, 1_000), pytest.param(3 * 86_400 + 1, 3 * 86_400, marks=pytest.mark.long)],
)
async def test_no_pause_is_longer_than_the_longest_ban(
    monkeypatch: pytest.MonkeyPatch, asked_s: int, longest_s: int
) -> None:
    """That is three days: an answer that asks for a thousand years does not end a recording."""
    assert RETRY_AFTER_MAX_S == 3 * 86_400
    monkeypatch.setattr(request_pause, "RETRY_AFTER_MAX_S", longest_s)
    sent_s: list[float] = []
    clock = RestlessClock()

    async def exchange(_: web.Request) -> web.StreamResponse:
        sent_s.append(clock.now_s)
        if len(sent_s) == 1:
            return web.Response(status=418, headers={"Retry-After": str(asked_s)})
        return web.Response(body=DEPTH)

    with capture_logs() as lines:
        async with asking(exchange, clock) as (rest, queue):
            rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
            await next_answer(queue)
    assert longest_s < sent_s[1] - sent_s[0] < longest_s + 60
    logged = [line for line in lines if "longest ban" in line["event"]]
    assert [(line["asked_s"], line["pause_s"]) for line in logged] == [(asked_s, longest_s)]


@pytest.mark.parametrize("header", ["9" * 5_000, "-1", "1e9", "full", ""])
async def test_a_weight_that_cannot_be_read_is_not_counted_and_reported_once(header: str) -> None:
    """It ends no recording and stops no request; the budget that we count ourselves still holds."""

    async def exchange(_: web.Request) -> web.StreamResponse:
        return web.Response(body=DEPTH, headers={"X-MBX-USED-WEIGHT-1M": header})

    with capture_logs() as lines:
        async with asking(exchange, HandClock()) as (rest, queue):
            for symbol in ("BTCUSDT", "ETHUSDT"):
                rest.request_snapshot(FetchSnapshot(symbol, 1))
                assert isinstance(await next_answer(queue), DepthAnswer)
            assert rest.http.budget.used(1_000.0) == 2 * 250
    logged = [line for line in lines if line["event"] == "header not understood"]
    assert [line["header"] for line in logged] == ["X-MBX-USED-WEIGHT-1M"]
    assert len(logged[0]["error"]) < 200


async def test_repeats_are_spaced_out() -> None:
    """A stale answer is not requested again at once, and each further one delays the next request more."""
    clock = RestlessClock()
    async with asking(Exchange(), clock) as (rest, queue):
        for attempt in (1, 2, 9):
            rest.request_snapshot(FetchSnapshot("BTCUSDT", attempt))
            await next_answer(queue)
        second, ninth = clock.pauses
        assert 0 <= second <= 0.5
        assert 0 <= ninth <= 30


async def test_a_lost_book_goes_before_a_new_one() -> None:
    """However many new books wait, and whichever came first."""
    left: list[str] = []

    go_on = asyncio.Event()
    exchange = Waits(go_on)
    async with asking(exchange, HandClock()) as (rest, queue):
        for number in range(CONCURRENCY_MAX + 1):
            rest.request_snapshot(FetchSnapshot(f"NEW{number}USDT", 1))
        await exchange.are_under_way(CONCURRENCY_MAX)
        rest.request_snapshot(FetchSnapshot("LOSTUSDT", 1, Urgency.LOST))
        go_on.set()
        while len(left) < CONCURRENCY_MAX + 2:
            frame = await next_frame(queue)
            left.extend([frame.symbol] if isinstance(frame, SnapshotRequested) else [])
    assert left[-2:] == ["LOSTUSDT", f"NEW{CONCURRENCY_MAX}USDT"]


async def test_five_hundred_books_lost_at_once_return_as_fast_as_the_budget_allows() -> None:
    """No minute's budget is exceeded, and hardly any of it stays unused."""
    count = 500
    least_s = (count * 250 / 6_000 - 1) * 60  # the first minute's weight is spent at once
    sent_s: list[float] = []
    clock = RestlessClock()

    async def exchange(_: web.Request) -> web.StreamResponse:
        sent_s.append(clock.now_s)
        return web.Response(body=DEPTH)

    async with asking(exchange, clock) as (rest, queue):
        for number in range(count):
            rest.request_snapshot(FetchSnapshot(f"S{number}USDT", 1, Urgency.LOST))
        for _ in range(count):
            await next_answer(queue)
    assert all(sum(s <= at < s + 60 for at in sent_s) * 250 <= 6_000 for s in sent_s)
    assert sent_s[-1] - sent_s[0] <= 1.1 * least_s


@pytest.mark.parametrize(("urgency", "at_once"), [(Urgency.DEEPER, 24), (Urgency.AUDIT, 12)])
def test_audits_leave_half_of_the_budget_to_unknown_books(urgency: Urgency, at_once: int) -> None:
    """Requests for deeper books do not: a start would take twice as long."""
    sent_s = sent_of(25, urgency)
    assert sum(at < sent_s[0] + 60 for at in sent_s) == at_once


async def test_exchange_info_is_requested_until_it_is_answered() -> None:
    """First unavailable, then not JSON, then the list: its stated budget is used from then on."""
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1_200}
    ]
    info = {"symbols": [{"symbol": "BTCUSDT"}], "rateLimits": limits}
    exchange = Exchange(
        web.Response(status=502),
        web.Response(text="<html>maintenance</html>"),
        body=json.dumps(info).encode(),
    )

    async with asking(exchange, RestlessClock()) as (rest, _):
        found = await rest.exchange_info()
        assert found is not None
        assert list(found.symbols) == ["BTCUSDT"]
        assert rest.http.budget.limit == 1_200
    assert len(exchange.asked) == 3


async def test_a_server_without_exchange_info_is_no_reason_to_stop() -> None:
    """Only 404 means that; then there is nothing to check symbols against."""
    async with asking(Exchange(web.Response(status=404)), RestlessClock()) as (rest, _):
        assert await rest.exchange_info() is None


async def test_symbols_are_url_encoded() -> None:
    """A non-ASCII symbol arrives as itself."""
    asked: list[str] = []

    async def exchange(request: web.Request) -> web.StreamResponse:
        asked.append(request.query["symbol"])
        return web.Response(body=DEPTH)

    async with asking(exchange, HandClock()) as (rest, queue):
        rest.request_snapshot(FetchSnapshot("币安人生USDT", 1))
        await next_answer(queue)
    assert asked == ["币安人生USDT"]


async def test_a_symbol_that_is_refused_does_not_hold_up_the_others() -> None:
    """While it waits for its next attempt, the others are answered."""

    async def exchange(request: web.Request) -> web.StreamResponse:
        bad = request.query["symbol"] == "GONEUSDT"
        return web.Response(status=400) if bad else web.Response(body=DEPTH)

    clock = HandClock()
    async with asking(exchange, clock) as (rest, queue):
        rest.request_snapshot(FetchSnapshot("GONEUSDT", 1))
        await clock.asleep()
        rest.request_snapshot(FetchSnapshot("BTCUSDT", 1))
        frame = await next_answer(queue)
        assert isinstance(frame, DepthAnswer)
        assert frame.symbol == "BTCUSDT"
