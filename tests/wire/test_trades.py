"""Trades: which messages are read as one, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from booktape.core.events import UnknownEvent
from booktape.core.trades import Trade
from booktape.errors import MalformedFrame
from booktape.wire.binance import decode_event
from booktape.wire.encode import encode_combined, encode_trade, encode_trades
from booktape.wire.trades import decode_trades

TRADE = Trade("BTCUSDT", 12, 61_222.5, 0.25, 1_780_861_677_730_123, 1_780_861_677_732_456, True)
WRAPPED = encode_combined("btcusdt@trade", encode_trade(TRADE, microseconds=True))

DATA: dict[str, Any] = json.loads(WRAPPED)["data"]
ANSWER: dict[str, Any] = {
    "id": 12,
    "price": "61222.5",
    "qty": "0.25",
    "quoteQty": "15305.625",
    "time": 1_780_861_677_730,
    "isBuyerMaker": False,
    "isBestMatch": True,
}


def wrapped(stream: str = "btcusdt@trade", **changes: Any) -> bytes:
    data = {name: value for name, value in (DATA | changes).items() if value is not None}
    return json.dumps({"stream": stream, "data": data}).encode()


def answer(*changes: dict[str, Any]) -> bytes:
    return json.dumps([ANSWER | change for change in changes]).encode()


def test_a_trade_of_the_stream() -> None:
    """In microseconds or milliseconds, with spaces, and with more or fewer fields than today."""
    assert decode_event(WRAPPED) == decode_event(wrapped()) == TRADE
    in_ms = encode_combined("btcusdt@trade", encode_trade(TRADE))
    found = decode_event(in_ms)
    assert isinstance(found, Trade)
    assert (found.trade_time_us, found.event_time_us) == (
        1_780_861_677_730_000,
        1_780_861_677_732_000,
    )
    assert decode_event(wrapped(M=None)) == decode_event(wrapped(x=[1])) == TRADE


@pytest.mark.parametrize(
    "payload",
    [
        wrapped(m=1),
        wrapped(m="true"),
        wrapped(t=-1),
        wrapped(t=None),
        wrapped(p="0"),
        wrapped(q="nan"),
        wrapped(s=""),
        wrapped("btcusdt@aggTrade"),
        encode_trade(TRADE),
    ],
)
def test_an_invalid_trade_is_an_unknown_event(payload: bytes) -> None:
    """It stays on the tape; its id is then missing, and is requested."""
    assert decode_event(payload) == UnknownEvent("trade")


def test_a_duplicate_key_is_refused() -> None:
    """It is unknown which of the two counts."""
    with pytest.raises(MalformedFrame, match="occurs twice"):
        decode_event(WRAPPED.replace(b'"M":true', b'"t":13'))


def test_an_answer() -> None:
    """It contains neither the symbol nor the time of the event."""
    (found,) = decode_trades(answer({}), "BTCUSDT", 12)
    assert found == Trade("BTCUSDT", 12, 61_222.5, 0.25, 1_780_861_677_730_000, None, False)
    assert decode_trades(b"[]", "BTCUSDT", 12) == []
    encoded = encode_trades([TRADE], microseconds=True)
    (again,) = decode_trades(encoded, "BTCUSDT", 3)
    assert again.trade_time_us == TRADE.trade_time_us


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"<html>",
        b'{"code":-1121,"msg":"Invalid symbol."}',
        answer({"id": 12}, {"id": 12}),
        answer({"id": 13}, {"id": 12}),
        answer({"id": 11}),
        answer({"price": "0"}),
        answer({"isBuyerMaker": 1}),
        answer({})[:-1],
        answer({}).replace(b'"id": 12', b'"id": 12, "id": 13'),
        b'[{"id":12}]',
    ],
)
def test_an_invalid_answer_is_refused(payload: bytes) -> None:
    """No conclusion is drawn from it."""
    with pytest.raises(MalformedFrame):
        decode_trades(payload, "BTCUSDT", 12)
