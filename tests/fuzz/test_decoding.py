"""Whatever the exchange sends: the right value or one typed error, never anything else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from booktape.core.book import OrderBook
from booktape.core.tape_records import TapeRecord
from booktape.errors import DamagedTape, MalformedFrame, MalformedNumber
from booktape.net.request_pause import PAUSE_STATUSES, RequestPause
from booktape.store.tape_codec import decode_record, encode_record
from booktape.wire.best_prices import decode_best_prices
from booktape.wire.binance import decode_depth, decode_event
from booktape.wire.exchange_info import decode_exchange_info
from booktape.wire.limits import RETRY_AFTER_MAX_S
from booktape.wire.numbers import decimal_number, whole_number
from booktape.wire.server_time import decode_server_time
from booktape.wire.trades import decode_trades
from fuzz.mutated import mutated, thousand
from net.hand_clock import HandClock
from store.small_tape import LINES

EVENT = {"e": "depthUpdate", "E": 5, "s": "B", "U": 1, "u": 2, "b": [["1.5", "2"]], "a": []}
TRADE = {"e": "trade", "E": 5, "s": "B", "t": 7, "p": "1.5", "q": "2", "T": 5, "m": True, "M": True}
MESSAGES = [
    json.dumps(message).encode()
    for message in (
        {"stream": "b@depth@100ms", "data": EVENT},
        {
            "stream": "b@depth20@100ms",
            "data": {"lastUpdateId": 7, "bids": [["1", "2"]], "asks": []},
        },
        {
            "stream": "b@bookTicker",
            "data": {"u": 7, "s": "B", "b": "1", "B": "2", "a": "3", "A": "4"},
        },
        {"stream": "b@trade", "data": TRADE},
        {"e": "serverShutdown", "E": 5},
    )
]
DEPTHS = [b'{"lastUpdateId":7,"bids":[["1.5","2"]],"asks":[["2","3"]]}']
OLD = {"id": 7, "price": "1.5", "qty": "2", "quoteQty": "3", "time": 5, "isBuyerMaker": True}
TRADES = [json.dumps([OLD, OLD | {"id": 9}]).encode()]
INFO: dict[str, Any] = {
    "rateLimits": [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
    ],
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "status": "TRADING",
            "quoteAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.01", "maxPrice": "1000000"},
                {"filterType": "LOT_SIZE", "stepSize": "0.00001", "maxQty": "9000"},
            ],
        }
    ],
}
INFOS = [json.dumps(INFO).encode()]
PRICES = [
    json.dumps(
        [
            {"symbol": name, "bidPrice": bid, "bidQty": bid, "askPrice": ask, "askQty": ask}
            for name, bid, ask in (("B", "1", "2"), ("C", "0.00", "0"))
        ]
    ).encode()
]
TAPE = [encode_record(record) for record in LINES]


@thousand
@given(mutated(MESSAGES))
def test_messages(payload: bytes) -> None:
    """Of a stream."""
    with suppress(MalformedFrame):
        decode_event(payload)


@thousand
@given(mutated(DEPTHS))
def test_snapshots(payload: bytes) -> None:
    """Of REST: a level without a size is none of the book."""
    try:
        book = OrderBook.from_snapshot(decode_depth(payload, "B", 5))
    except MalformedFrame:
        return
    assert all(price > 0 and size > 0 for price, size in book.bids.levels() + book.asks.levels())


@thousand
@given(mutated(TRADES))
def test_old_trades(payload: bytes) -> None:
    """Of REST: in order, from the id that was requested on."""
    try:
        answer = decode_trades(payload, "B", 3)
    except MalformedFrame:
        return
    ids = [trade.trade_id for trade in answer]
    assert ids == sorted(set(ids))
    assert all(trade.price > 0 and trade.size >= 0 and trade.trade_id >= 3 for trade in answer)


@thousand
@given(mutated(INFOS))
def test_lists_of_symbols(payload: bytes) -> None:
    """And each symbol of one that can be read can be asked for its steps."""
    try:
        info = decode_exchange_info(payload)
    except MalformedFrame:
        return
    for symbol in info.symbols.values():
        symbol.steps()
        symbol.sizes_are_exact()
        symbol.prices_are_exact()


@thousand
@given(mutated(PRICES))
def test_best_prices(payload: bytes) -> None:
    """Those of a pulse."""
    with suppress(MalformedFrame):
        decode_best_prices(payload, frozenset({"B", "C"}))


@thousand
@given(mutated([b'{"serverTime":1499827319559}', b'{"serverTime":1499827319559123}']))
def test_server_times(payload: bytes) -> None:
    """In milliseconds or microseconds."""
    with suppress(MalformedFrame):
        decode_server_time(payload)


@thousand
@given(st.text(), st.sampled_from(sorted(PAUSE_STATUSES)), st.binary())
def test_headers_and_bodies_that_ask_for_a_pause(header: str, status: int, body: bytes) -> None:
    """However they are written, the pause is none that the exchange never asks for."""
    pause = RequestPause(HandClock())
    error = pause.begin(status, {"Retry-After": header}, body)
    assert 0 < error.retry_after_s <= RETRY_AFTER_MAX_S


@thousand
@given(st.text())
def test_numbers(text: str) -> None:
    """Of headers and filters."""
    for parse in (whole_number, decimal_number):
        with suppress(MalformedNumber):
            parse(text)


@thousand
@given(mutated(TAPE))
def test_lines_of_a_tape(line: bytes) -> None:
    """A record, which can be written down again as it is; or damage."""
    try:
        record: TapeRecord = decode_record(line)
    except DamagedTape:
        return
    assert decode_record(encode_record(record)) == record
