"""Values → bytes: the recorder reads exactly what the built-in exchange sends."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import DepthEvent, DepthSnapshot, Level, ServerShutdown
from booktape.wire.binance import decode_depth, decode_event
from booktape.wire.encode import (
    encode_combined,
    encode_depth,
    encode_event,
    encode_one_top,
    encode_server_shutdown,
    encode_ticker,
    encode_tops,
    texts,
)
from support.oracle import combined, snapshot, ticker

# Up to here 8 decimals survive as a double.
NUMBERS = st.integers(1, 67_108_864 * 10**8 - 1).map(lambda n: n / 10**8)
SIZES = NUMBERS | st.just(0.0)
LEVELS: st.SearchStrategy[list[Level]] = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=20)
CHANGES: st.SearchStrategy[list[Level]] = st.lists(st.tuples(NUMBERS, SIZES), max_size=5)
BEST = st.none() | st.tuples(NUMBERS, NUMBERS)
IDS = st.integers(0, 2**63 - 1)
NAMES = st.sampled_from(["BTCUSDT", "币安人生USDT"])
EVENTS = st.builds(
    lambda symbol, time_ms, first, more, bids, asks: DepthEvent(
        symbol, time_ms * 1000, first, first + more, bids, asks
    ),
    NAMES | st.just('A"B\\C'),
    st.integers(10**11, 9 * 10**12),
    st.integers(0, 2**62),
    st.integers(0, 10**6),
    CHANGES,
    CHANGES,
)


def test_texts_have_eight_decimals() -> None:
    """This holds for any number."""
    assert texts([(61222.0, 0.88634), (0.00000001, 0.0)]) == [
        ("61222.00000000", "0.88634000"),
        ("0.00000001", "0.00000000"),
    ]


def test_an_empty_side_is_a_ticker_of_price_zero() -> None:
    """This holds for encoding and for decoding."""
    empty = encode_ticker(BookTicker("BTCUSDT", 5, None, (2.0, 1.0)))
    assert json.loads(empty)["b"] == json.loads(empty)["B"] == "0.00000000"
    for message in (ticker(5, None, {"2": "1"}), ticker(5, {"1": "1"}, None), ticker(5)):
        assert decode_event(combined(message)) == message


def test_the_best_levels_of_several_symbols_are_a_list_and_of_one_symbol_are_not() -> None:
    """As the exchange writes them; a side without levels has price and size 0."""
    one, other = BookTicker("A", 5, (1.5, 2.0), (2.0, 1.0)), BookTicker("B", 6, None, None)
    message = {"bidPrice": "1.50000000", "bidQty": "2.00000000"}
    message |= {"symbol": "A", "askPrice": "2.00000000", "askQty": "1.00000000"}
    assert json.loads(encode_one_top(one)) == message
    listed = json.loads(encode_tops([one, other]))
    assert listed[0] == message
    nothing = dict.fromkeys(("bidPrice", "bidQty", "askPrice", "askQty"), "0.00000000")
    assert listed[1:] == [{"symbol": "B"} | nothing]


@given(st.integers(0, 10**16))
def test_an_announcement_survives_encode_and_decode(time_ms: int) -> None:
    """Whether raw or in the wrapper."""
    message = encode_server_shutdown(time_ms)
    assert json.loads(message)["E"] == time_ms
    assert decode_event(message) == decode_event(encode_combined("x", message)) == ServerShutdown()


@given(EVENTS, st.integers(0, 999), st.booleans())
def test_encode_then_decode_is_identity(spoken: DepthEvent, micros: int, wrapped: bool) -> None:
    """The recorder reads what the built-in exchange sends, with all 8 decimals."""

    def heard(payload: bytes) -> object:
        return decode_event(encode_combined("x", payload) if wrapped else payload)

    assert heard(encode_event(spoken)) == spoken
    finer = replace(spoken, event_time_us=spoken.event_time_us + micros)
    assert heard(encode_event(finer, microseconds=True)) == finer


@given(st.builds(DepthSnapshot, st.just("BTCUSDT"), st.just(5000), IDS, LEVELS, LEVELS))
def test_snapshot_encode_then_decode_is_identity(spoken: DepthSnapshot) -> None:
    """A REST answer contains what it was given, up to its limit."""
    assert decode_depth(encode_depth(spoken), "BTCUSDT", 5000) == spoken


def test_a_snapshot_is_cut_at_its_limit() -> None:
    """Only the best levels fit."""
    spoken = snapshot(1, {"100": "1", "99": "1"}, {"101": "1"}, limit=1)
    assert json.loads(encode_depth(spoken))["bids"] == [["100.00000000", "1.00000000"]]


@given(st.builds(TopLevels, NAMES, IDS, LEVELS, LEVELS))
def test_any_partial_book_survives_encode_and_decode(message: TopLevels) -> None:
    """The recorder reads what the built-in exchange sends."""
    assert decode_event(combined(message)) == message


@given(st.builds(BookTicker, NAMES, IDS, BEST, BEST))
def test_any_ticker_survives_encode_and_decode(message: BookTicker) -> None:
    """Even with an empty side."""
    assert decode_event(combined(message)) == message
