"""The witness streams show the market's truth, at every id they name, in the exchange's own order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import DepthEvent, Level
from booktape.sim.faults.market import Halt
from booktape.sim.market.listing import DEFAULT_SYMBOLS, NON_ASCII_SYMBOL
from booktape.sim.market.symbol_market import PARTIAL_LEVELS
from booktape.sim.messages import (
    Encoding,
    MarketMessage,
    stream_name,
)
from booktape.wire.binance import decode_event
from sim.exchange import BTC, SLOTS, faulty, last_id, market
from sim.visitor import Naive, decimals, texts, visit
from support.truth import TracedMarket, TrueBook, Truth

SYMBOLS = (*DEFAULT_SYMBOLS, NON_ASCII_SYMBOL)
TOP, TICKER = stream_name("BTCUSDT", "depth20@100ms"), stream_name("BTCUSDT", "bookTicker")


def every_stream(symbol: str) -> set[str]:
    partial = {stream_name(symbol, f"depth{levels}@100ms") for levels in PARTIAL_LEVELS}
    return {stream_name(symbol), stream_name(symbol, "bookTicker")} | partial


def watched(symbol: str, levels: int = 40) -> tuple[TracedMarket, Truth]:
    market = TracedMarket((symbol,), 5, levels=levels)
    market.want(every_stream(symbol))
    return market, market.truth()


def side_messages(messages: list[MarketMessage]) -> list[TopLevels | BookTicker]:
    contents = (message.content for message in messages)
    return [content for content in contents if isinstance(content, TopLevels | BookTicker)]


def touch(book: TrueBook) -> tuple[Level, Level]:
    return book.bids[0], book.asks[0]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_partial_depth_is_the_top_of_the_book_after_its_event(symbol: str) -> None:
    """Its id is that event's last one, and its levels are the best true ones, whatever was requested in between."""
    market, truth = watched(symbol)
    compared = 0
    for slot in range(120):
        if slot % 3 == 0:
            market.depth(symbol, 100, 0.5)
        messages = list(market.advance())
        tops = [content for content in side_messages(messages) if isinstance(content, TopLevels)]
        assert bool(tops) == bool(messages), "with each event, and never without one"
        for top, levels in zip(tops, PARTIAL_LEVELS, strict=False):
            assert isinstance(messages[-1].event, DepthEvent)
            assert top.last_id == messages[-1].event.last_id
            book = truth.book(symbol, top.last_id)
            assert (top.bids, top.asks) == (book.bids[:levels], book.asks[:levels])
            compared += 1
    assert compared >= 3 * 10


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_ticker_is_sent_for_every_id_at_which_the_touch_changed(symbol: str) -> None:
    """And for no other; the ids may be in the middle of an event."""
    market, truth = watched(symbol)
    before = touch(truth.book(symbol, truth.first_id(symbol)))
    last, inside = truth.first_id(symbol), 0
    for slot in range(80):
        if slot % 3 == 0:
            market.depth(symbol, 100, 0.5)
        messages = list(market.advance())
        tickers = {
            s.update_id: (s.bid, s.ask)
            for s in side_messages(messages)
            if isinstance(s, BookTicker)
        }
        assert list(tickers) == sorted(tickers)
        for update_id in range(last + 1, market.update_id(symbol) + 1):
            now = touch(truth.book(symbol, update_id))
            assert tickers.pop(update_id, before) == now
            inside += now != before and update_id != market.update_id(symbol)
            before = now
        assert not tickers
        last = market.update_id(symbol)
    assert inside or symbol not in {"BTCUSDT", "ETHUSDT"}


def test_witnesses_change_no_byte_of_the_depth_stream() -> None:
    """A subscription changes no event; a stream without a subscriber is not sent."""
    watched, plain = TracedMarket(SYMBOLS, 6, levels=40), TracedMarket(SYMBOLS, 6, levels=40)
    watched.want(set().union(*map(every_stream, SYMBOLS)))
    for _ in range(60):
        events = [m for m in watched.advance() if m.event]
        alone = plain.advance()
        assert not side_messages(list(alone))
        assert [m.payload(Encoding(combined=True, microseconds=True)) for m in events] == [
            m.payload(Encoding(combined=True, microseconds=True)) for m in alone
        ]


def test_witnesses_are_sent_only_while_subscribed() -> None:
    """Each stream separately; none after its last listener has gone."""
    source = TracedMarket(("BTCUSDT", "ETHUSDT"), 7, levels=40)
    wanted = [{TOP, stream_name("ETHUSDT")}, {TICKER, stream_name("ETHUSDT")}, set[str]()]
    for streams in wanted:
        source.want(streams)
        names = {m.stream for _ in range(30) for m in source.advance() if m.event is None}
        assert names == streams & {TOP, TICKER}


def test_the_recorder_reads_what_the_exchange_writes() -> None:
    """Wrapped, each message is read back as the value from which it was made."""
    source, _ = watched("BTCUSDT")
    messages = [message for _ in range(20) for message in source.advance()]
    assert {type(m.content) for m in messages} == {DepthEvent, TopLevels, BookTicker}
    for message in messages:
        if message.stream in {TOP, TICKER}:
            payload = message.payload(Encoding(combined=True, microseconds=False))
            assert decode_event(payload) == message.content


# ── over sockets ────────────────────────────────────────────────────────────────────────────


async def test_a_client_that_follows_the_exact_rules_never_disagrees() -> None:
    """Partial depth is compared with the book of its id, the ticker with the greatest id up to the event's."""
    async with visit(faulty(patience_s=5, slots=60)) as visit_:
        visitor = await visit_.listen(BTC, TOP, TICKER)
        await visitor.count(3)
        book = Naive(await visit_.depth("BTCUSDT"))
        await visitor.holding(b'"u":%d,"b":[' % last_id(60))
        compared = _follow(book, [json.loads(message) for message in visitor.messages])
        assert min(compared.values()) >= 40


def _follow(book: Naive, messages: list[dict[str, Any]]) -> dict[str, int]:
    """The number of comparisons with each witness; all agreed."""
    compared, top, ticker = {"top": 0, "ticker": 0}, {}, None
    for message in messages:
        content = message["data"]
        if message["stream"] == TOP:
            top = content
        elif message["stream"] == TICKER:
            ticker = content
        elif book.apply(content):
            bids, asks = sorted(book.bids.items(), reverse=True), sorted(book.asks.items())
            assert top["lastUpdateId"] == book.id
            assert (bids[:20], asks[:20]) == (decimals(top["bids"]), decimals(top["asks"]))
            compared["top"] += 1
            if ticker:
                best = decimals([[ticker["b"], ticker["B"]], [ticker["a"], ticker["A"]]])
                assert best == [bids[0], asks[0]]
                compared["ticker"] += 1
    return compared


async def test_witnesses_come_raw_and_by_subscription_too() -> None:
    """On /ws without the wrapper; after SUBSCRIBE as by a path."""
    async with visit(faulty(patience_s=5)) as visit_:
        raw = await visit_.connect(f"/ws/{TOP}")
        other = await visit_.connect("/stream")
        names = [TICKER, stream_name("BTCUSDT", "depth5@100ms")]
        await other.ask(method="SUBSCRIBE", params=names, id=1)
        await visit_.server.finished.wait()
        tops = [json.loads(message) for message in raw.messages]
        assert tops
        assert all(top.keys() == {"lastUpdateId", "bids", "asks"} for top in tops)
        # Nothing waits for the second subscription, so it may have missed some.
        heard = [json.loads(message) for message in other.messages[1:]]
        assert {message["stream"] for message in heard} <= set(names)
        assert all(len(m["data"]["bids"]) == 5 for m in heard if m["stream"] == names[1])


async def test_a_halted_symbols_witnesses_are_silent_too() -> None:
    """Without an event there is no witness; the best prices of its book stay."""
    server = faulty(Halt("BTCUSDT", 1, 2, "BREAK"), source=market(slots=SLOTS))
    async with visit(server) as visit_:
        visitor = await visit_.listen(BTC, TOP)
        await server.finished.wait()
        await visitor.until(lambda: len(visitor.messages) >= 2 * (SLOTS - 10))
        assert len(visitor.messages) == 2 * (SLOTS - 10)


def test_numbers_of_a_witness_are_written_as_by_the_exchange() -> None:
    """With eight decimals, and exactly those of the truth."""
    source, truth = watched("BTCUSDT")
    (message,) = [m for m in source.advance() if m.stream == TOP]
    top = json.loads(message.payload(Encoding(combined=False, microseconds=False)))
    bids, asks = texts(truth.book("BTCUSDT", top["lastUpdateId"]))
    assert top["bids"] == [[f"{p:.8f}", f"{s:.8f}"] for p, s in list(bids.items())[:20]]
    assert top["asks"] == [[f"{p:.8f}", f"{s:.8f}"] for p, s in list(asks.items())[:20]]
