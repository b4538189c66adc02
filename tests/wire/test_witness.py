"""The streams of witnesses: which messages are read as one, and which are refused."""

from __future__ import annotations

import json

import pytest

from booktape.core.events import UnknownEvent
from booktape.errors import MalformedFrame
from booktape.wire.binance import decode_event
from booktape.wire.encode import encode_combined, encode_event, encode_ticker, encode_top
from booktape.wire.witness import BOOK_TICKER, DEPTH20, SUFFIXES, decoder_of
from support.oracle import combined, event, ticker, top

TOP = (
    b'{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":160,'
    b'"bids":[["61222.00000000","0.88634000"]],"asks":[]}}'
)
TICKER = (
    b'{"stream":"btcusdt@bookTicker","data":{"u":158,"s":"BTCUSDT","b":"61222.00000000",'
    b'"B":"0.88634000","a":"61224.53000000","A":"1.00000000"}}'
)


def test_a_partial_book() -> None:
    """Its symbol appears only in the name of the stream."""
    assert decode_event(TOP) == top(160, {"61222": "0.88634"})
    assert combined(top(160, {"61222": "0.88634"})) == TOP


def test_a_ticker() -> None:
    """It has the best level of each side, as of an id that may lie inside an event."""
    message = ticker(158, {"61222": "0.88634"}, {"61224.53": "1"})
    assert decode_event(TICKER) == message
    assert combined(message) == TICKER


def test_symbols_that_are_not_ascii() -> None:
    """They are read however the exchange writes the name of the stream."""
    message = top(5, {"1": "1"}, symbol="币安人生USDT")
    escaped = json.dumps(json.loads(combined(message))).replace(" ", "").encode()
    assert escaped.isascii()
    assert decode_event(combined(message)) == decode_event(escaped) == message
    named = ticker(5, {"1": "1"}, symbol="币安人生USDT")
    assert decode_event(combined(named)) == named


def test_a_message_that_is_no_witness_has_no_decoder() -> None:
    """Depth events, other streams, and a raw ticker, since tickers are always requested with a wrapper."""
    depth = combined(event(1, 1))
    for payload in (depth, encode_event(event(1, 1)), encode_combined("btcusdt@depth5", b"{}")):
        assert decoder_of(payload) is None
    raw = encode_ticker(ticker(5, {"1": "1"}))
    assert decode_event(raw) == UnknownEvent("A,B,a,b,s,u")
    assert decode_event(encode_top(top(5))) == UnknownEvent("asks,bids,lastUpdateId")


def test_only_the_stream_s_name_decides() -> None:
    """Text deep inside a message does not."""
    assert decoder_of(b'{"stream":"x@trade","data":"' + b" " * 200 + b'@bookTicker"}') is None


@pytest.mark.parametrize(
    ("payload", "old", "new"),
    [
        (TOP, b":160", b":-1"),
        (TOP, b'"61222.00000000"', b'"0"'),
        (TOP, b'"0.88634000"', b'"nan"'),
        (TOP, b'"bids"', b'"bid"'),
        (TICKER, b":158", b":1.5"),
        (TICKER, b'"BTCUSDT"', b'""'),
        (TICKER, b'"0.88634000"', b'"-1"'),
        (TICKER, b'"a"', b'"_"'),
    ],
)
def test_a_witness_of_the_wrong_form_is_no_witness(payload: bytes, old: bytes, new: bytes) -> None:
    """It is JSON, so it counts as an unknown event, and no level of it is ever compared."""
    assert old in payload
    assert isinstance(decode_event(payload.replace(old, new)), UnknownEvent)


@pytest.mark.parametrize("payload", [TOP, TICKER])
def test_a_witness_that_is_cut_off_is_malformed(payload: bytes) -> None:
    """It may be cut anywhere."""
    for length in range(len(payload)):
        with pytest.raises(MalformedFrame):
            decode_event(payload[:length])


def test_the_streams_are_named() -> None:
    """The name follows the symbol in lower case."""
    assert SUFFIXES == {DEPTH20: "@depth20@100ms", BOOK_TICKER: "@bookTicker"}
