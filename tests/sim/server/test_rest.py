"""REST: the weight of requests, and the symbols that are listed now."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest

from booktape.sim.faults.market import Cap, ClockStep, Delist, Halt, NewListing, TickSize
from booktape.sim.messages import stream_name
from booktape.wire.endpoints import VENUES
from booktape.wire.exchange_info import decode_exchange_info
from sim.exchange import BTC, faulty, market
from sim.visitor import Naive, Visit, texts, visit
from support.truth import TracedMarket
from support.venues import venue_with

BOTH = "BTCUSDT", "ETHUSDT"


@pytest.mark.parametrize(
    ("weight", "limits"),
    [
        (5, [1, 2, 5, 10, 20, 50, 99, 100]),
        (25, [101, 250, 499, 500]),
        (50, [501, 750, 1_000]),
        (250, [1_001, 2_500, 4_999, 5_000, 5_001, 99_999]),
    ],
)
async def test_the_limit_of_a_snapshot_decides_its_weight_and_levels(
    weight: int, limits: list[int]
) -> None:
    """The weight is 5, 25, 50 or 250; each side has as many levels as requested, and never more than 5,000."""
    used = 0
    server = faulty(
        source=TracedMarket(("BTCUSDT",), 1, levels=5_200),
        venue=venue_with(weight_per_minute=10**6),
    )
    async with visit(server) as visit_:
        for limit in limits:
            status, headers, body = await visit_.get(f"depth?symbol=BTCUSDT&limit={limit}")
            used += weight
            assert (status, int(headers["X-MBX-USED-WEIGHT-1M"])) == (200, used)
            assert len(Naive(body).bids) == min(limit, 5_000)


async def statuses(visit_: Visit, query: str = "") -> dict[str, str]:
    symbols = decode_exchange_info((await visit_.get(f"exchangeInfo{query}"))[2]).symbols
    return {symbol: info.status for symbol, info in symbols.items()}


async def test_exchange_info_lists_the_requested_symbols() -> None:
    """One, some in the requested order, or all; each request weighs 20."""
    server = faulty(Halt("ETHUSDT", 0, 99), source=market(*BOTH))
    async with visit(server) as visit_:
        for query, symbols in (
            ("", BOTH),
            ("?symbol=ETHUSDT", ["ETHUSDT"]),
            ("?symbols=[%22ETHUSDT%22,%22BTCUSDT%22]", ["ETHUSDT", "BTCUSDT"]),
            ("?symbols=[%22BTCUSDT%22]", ["BTCUSDT"]),
        ):
            listed = await statuses(visit_, query)
            assert list(listed) == list(symbols)
            assert listed.get("ETHUSDT", "HALT") == "HALT"
        _, headers, _ = await visit_.get("exchangeInfo")
        assert headers["X-MBX-USED-WEIGHT-1M"] == "100"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("symbol=NONE", -1121),
        ('symbols=["BTCUSDT","NONE"]', -1121),
        ("symbols=BTCUSDT", -1100),
        ("symbols=[1]", -1100),
    ],
)
async def test_exchange_info_refuses_unlisted_symbols_and_malformed_lists(
    query: str, code: int
) -> None:
    """It refuses the whole request, as the exchange does."""
    async with visit(faulty()) as visit_:
        status, _, body = await visit_.get(f"exchangeInfo?{quote(query, safe='=')}")
        assert (status, json.loads(body)["code"]) == (400, code)


async def test_a_request_for_a_delisted_symbol_is_refused_by_name() -> None:
    """Although it was listed; the other symbols are described as before."""
    async with visit(faulty(Delist("ETHUSDT", 0), source=market(*BOTH))) as visit_:
        assert await statuses(visit_) == {"BTCUSDT": "TRADING"}
        assert (await visit_.get("exchangeInfo?symbol=ETHUSDT"))[0] == 400


@pytest.mark.parametrize("made_with", [("BTCUSDT",), ("BTCUSDT", "NEWUSDT")])
async def test_a_new_symbol_appears_while_others_trade(made_with: tuple[str, ...]) -> None:
    """Until then it is not listed, and has no book and no event; afterwards it has all of them, true and chained."""
    source = market(*made_with, slots=40)
    truth = source.truth()
    server = faulty(NewListing("NEWUSDT", 1.5), source=source, start_us=10**15)
    async with visit(server) as visit_:
        assert await statuses(visit_) == {"BTCUSDT": "TRADING"}
        assert (await visit_.get("depth?symbol=NEWUSDT"))[0] == 400
        assert server.symbols == ["BTCUSDT"]
        visitor = await visit_.listen(BTC, stream_name("NEWUSDT"))
        await server.finished.wait()
        assert await statuses(visit_) == {"BTCUSDT": "TRADING", "NEWUSDT": "TRADING"}
        assert server.symbols == ["BTCUSDT", "NEWUSDT"]
        last = Naive(await visit_.depth("NEWUSDT"))
        assert (last.bids, last.asks) == texts(truth.book("NEWUSDT", last.id))
        await visitor.holding(b'"u":%d,' % last.id)
        events = [json.loads(message)["data"] for message in visitor.messages]
        new = [event for event in events if event["s"] == "NEWUSDT"]
        assert min(event["E"] for event in new) >= 10**12 + 1_500
        assert new[0]["U"] == truth.first_id("NEWUSDT") + 1
        assert all(b["U"] == a["u"] + 1 for a, b in pairwise(new))
        assert len(events) - len(new) == 40


# ── best levels ─────────────────────────────────────────────────────────────────────────────


async def tops(visit_: Visit, query: str = "") -> Any:
    status, _, body = await visit_.get(f"ticker/bookTicker{quote(query, safe='?=')}")
    assert status == 200, body
    return json.loads(body)


async def test_a_book_ticker_is_the_top_of_the_snapshot() -> None:
    """For one symbol, for some in the requested order, for all; at every moment while they trade."""
    source = market(*BOTH, slots=None)
    server = faulty(source=source, speed=1, venue=venue_with(weight_per_minute=10**6))
    async with visit(server) as visit_:
        await visit_.listen(*map(stream_name, BOTH))
        seen = set()
        for _ in range(40):
            await asyncio.sleep(0.037)
            book = json.loads(await visit_.depth("ETHUSDT", 1))
            (bid, bid_size), (ask, ask_size) = book["bids"][0], book["asks"][0]
            top = {
                "symbol": "ETHUSDT",
                "bidPrice": bid,
                "bidQty": bid_size,
                "askPrice": ask,
                "askQty": ask_size,
            }
            assert await tops(visit_, "?symbol=ETHUSDT") == top
            assert (await tops(visit_))[1] == top
            some = await tops(visit_, '?symbols=["ETHUSDT","BTCUSDT"]')
            assert [some[0], some[1]["symbol"]] == [top, "BTCUSDT"]
            seen.add((bid, bid_size, ask, ask_size))
        assert len(seen) > 10


async def test_a_book_ticker_covers_symbols_that_no_client_follows() -> None:
    """It shows the top of the book with which they would begin; a request does not make them trade."""
    source = TracedMarket((*BOTH, "XMRBTC"), 4, levels=30)
    async with visit(faulty(source=source, speed=1)) as visit_:
        await visit_.listen(BTC)
        before = await tops(visit_)
        assert [top["symbol"] for top in before] == ["BTCUSDT", "ETHUSDT", "XMRBTC"]
        await asyncio.sleep(3)
        after = await tops(visit_)
        assert after[1:] == before[1:]
        assert after[0] != before[0]
        for top in before[1:]:
            book = json.loads(await visit_.depth(top["symbol"], 1))
            assert [top["bidPrice"], top["bidQty"]] == book["bids"][0]
            assert [top["askPrice"], top["askQty"]] == book["asks"][0]


async def test_the_weight_and_the_refusals_of_book_ticker() -> None:
    """2 for one symbol, 4 for a list or for all; an unlisted symbol is an error."""
    server = faulty(Delist("ETHUSDT", 0), source=market(*BOTH))
    async with visit(server) as visit_:
        used = 0
        for query, weight, status, code in (
            ("?symbol=BTCUSDT", 2, 200, None),
            ("?symbols=[%22BTCUSDT%22]", 4, 200, None),
            ("", 4, 200, None),
            ("?symbol=ETHUSDT", 2, 400, -1121),
            ("?symbols=[%22BTCUSDT%22,%22NONE%22]", 4, 400, -1121),
            ("?symbols=BTCUSDT", 4, 400, -1100),
        ):
            used += weight
            got, headers, body = await visit_.get(f"ticker/bookTicker{query}")
            assert (got, int(headers["X-MBX-USED-WEIGHT-1M"])) == (status, used)
            answer = json.loads(body)
            assert (answer["code"] if code else None) == code
            assert isinstance(answer, dict if code or "symbol=" in query else list)


# ── the time ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by_s", [0.0, 12.5, -3.25])
async def test_the_time_has_the_requested_unit_and_can_be_off(by_s: float) -> None:
    """It is available before anything has happened; then it continues with the exchange's clock."""
    fault = ClockStep(0, by_s)
    server = faulty(fault, source=market(slots=None), speed=1, start_us=10**15)
    async with visit(server) as visit_:

        async def time_us(unit: str = "") -> int:
            headers = {"X-MBX-TIME-UNIT": unit} if unit else {}
            url = f"{server.rest_url}/api/v3/time"
            async with visit_.http.get(url, headers=headers) as answer:
                return int((await answer.json())["serverTime"])

        assert await time_us() == 10**12 + by_s * 1_000
        assert await time_us("MICROSECOND") == 10**15 + by_s * 10**6
        assert await time_us("MILLISECOND") == 10**12 + by_s * 1_000
        await visit_.listen(BTC)
        start_us = await time_us("MICROSECOND")
        await asyncio.sleep(2.5)
        assert 0 <= await time_us("MICROSECOND") - start_us - 2_500_000 < 10_000
        assert 0 <= start_us - 10**15 - by_s * 10**6 < 10_000


# ── venues, and all that the list of symbols says ───────────────────────────────────────────


@pytest.mark.parametrize(
    ("venue", "weights"),
    [
        ("binance", [5, 25, 50, 250, 20, 2, 4, 1]),
        ("binance-us", [1, 5, 10, 50, 10, 2, 4, 1]),
    ],
)
async def test_each_venue_has_its_own_numbers(venue: str, weights: list[int]) -> None:
    """The weight of requests, the budget of a minute, the interval of pings."""
    async with visit(faulty(venue=VENUES[venue], speed=1, source=market(slots=None))) as visit_:
        used = 0
        paths = (
            *(f"depth?symbol=BTCUSDT&limit={limit}" for limit in (100, 500, 1_000, 5_000)),
            *("exchangeInfo", "ticker/bookTicker?symbol=BTCUSDT", "ticker/bookTicker", "time"),
        )
        for path, weight in zip(paths, weights, strict=True):
            _, headers, _ = await visit_.get(path)
            used += weight
            assert int(headers["X-MBX-USED-WEIGHT-1M"]) == used
        info = decode_exchange_info((await visit_.get("exchangeInfo"))[2])
        assert info.weight_per_minute == {"binance": 6_000, "binance-us": 1_200}[venue]
        visitor = await visit_.listen(BTC, autoping=False)
        await asyncio.sleep({"binance": 20, "binance-us": 180}[venue] - 0.5)
        assert not visitor.pings
        await asyncio.sleep(1)
        assert len(visitor.pings) == 1


async def test_the_list_of_symbols_can_leave_out_the_permission_sets() -> None:
    """They are more than half of it; everything else stays, and one venue does not know the option."""
    async with visit(faulty(source=market(*BOTH))) as visit_:
        whole = (await visit_.get("exchangeInfo"))[2]
        lean = (await visit_.get("exchangeInfo?showPermissionSets=false"))[2]
        assert len(lean) < len(whole) / 2
        all_of_it, rest = json.loads(whole), json.loads(lean)
        for symbol in all_of_it["symbols"]:
            assert "SPOT" in symbol.pop("permissionSets")[0]
        for symbol in rest["symbols"]:
            assert symbol.pop("permissionSets") == []
        assert rest["symbols"] == all_of_it["symbols"]
        filters = {entry["filterType"]: entry for entry in rest["symbols"][0]["filters"]}
        assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
        assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
        assert [one["baseAsset"] for one in rest["symbols"]] == ["BTC", "ETH"]
        status, _, body = await visit_.get("exchangeInfo?showPermissionsets=false")
        assert (status, json.loads(body)["code"]) == (400, -1104)
    async with visit(faulty(venue=VENUES["binance-us"])) as visit_:
        status, _, body = await visit_.get("exchangeInfo?showPermissionSets=false")
        assert (status, json.loads(body)["code"]) == (400, -1104)


@pytest.mark.parametrize(
    ("fault", "before", "after"),
    [
        (TickSize("BTCUSDT", 2), "0.01000000", "0.10000000"),
        (TickSize("BTCUSDT", 2, 5, finer=True), "0.05000000", "0.01000000"),
        (TickSize("ETHUSDT", 2), "0.01000000", "0.01000000"),
    ],
)
async def test_the_list_shows_the_current_tick_size(
    fault: TickSize, before: str, after: str
) -> None:
    """It changes for that symbol alone."""
    server = faulty(fault, source=market(*BOTH, slots=None), speed=1)
    async with visit(server) as visit_:

        async def tick() -> str:
            info = decode_exchange_info((await visit_.get("exchangeInfo?symbol=BTCUSDT"))[2])
            return info.symbols["BTCUSDT"].tick_size

        await visit_.listen(BTC)
        assert await tick() == before
        await asyncio.sleep(2.2)
        assert await tick() == after


@pytest.mark.parametrize("listed", [True, False])
async def test_the_list_can_allow_sizes_beyond_the_precision_of_doubles(listed: bool) -> None:
    """From the beginning, if that is requested."""
    async with visit(faulty(Cap("BTCUSDT", 1, listed=listed))) as visit_:
        info = decode_exchange_info((await visit_.get("exchangeInfo"))[2]).symbols["BTCUSDT"]
        assert info.prices_are_exact()
        assert info.sizes_are_exact() != listed


async def test_a_listed_symbol_that_has_not_opened_has_an_empty_book() -> None:
    """It is in the list, its snapshot has the id -1 and no levels, and its best prices are 0."""
    fault = NewListing("NEWUSDT", 1, opens_s=3)
    source = market("BTCUSDT", slots=60)
    server = faulty(fault, source=source, speed=1)
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC, stream_name("NEWUSDT"))
        assert await statuses(visit_) == {"BTCUSDT": "TRADING"}
        await asyncio.sleep(2)
        assert await statuses(visit_) == {"BTCUSDT": "TRADING", "NEWUSDT": "TRADING"}
        body = await visit_.depth("NEWUSDT")
        assert body == b'{"lastUpdateId":-1,"bids":[],"asks":[]}'
        book, top = Naive(body), await tops(visit_, "?symbol=NEWUSDT")
        assert [float(top[side]) for side in ("bidPrice", "bidQty", "askPrice", "askQty")] == [
            0
        ] * 4
        opening = json.loads(await visitor.holding(b'"s":"NEWUSDT"'))
        book.id = opening["data"]["U"] - 1
        assert book.apply(opening)
        true = source.truth().book("NEWUSDT", book.id)
        assert (book.bids, book.asks) == texts(true)
