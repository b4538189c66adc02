"""Trades: the stream `@trade`, and the answers of REST `/historicalTrades`.

    {"stream":"btcusdt@trade","data":{"e":"trade","E":1780861677732,"s":"BTCUSDT","t":6383873125,
     "p":"61222.00000000","q":"0.03007000","T":1780861677732,"m":true,"M":true}}
    [{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,
     "isBuyerMaker":true,"isBestMatch":true},…]

Messages are read only in the wrapper of a combined stream. `m` is whether the buyer was the maker: then the seller
was the taker.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from booktape.core.trades import Trade
from booktape.errors import MalformedFrame
from booktape.wire.json_rules import LONG_BYTES, decode_json, refuse_bloated
from booktape.wire.numbers import Id, Price, Size, Time, time_us
from booktape.wire.witness import kind_of

TRADE: Final = "@trade"
"""The name of the stream, after the lower-case symbol."""

_KEYS: Final = 11


class _Trade(Struct):
    e: Literal["trade"]
    E: Time
    s: Annotated[str, Meta(min_length=1)]
    t: Id
    p: Price
    q: Size
    T: Time
    m: Any  # for a bool, msgspec would also accept 1 and "true"


class _UsualTrade(_Trade):
    M: Any  # "Ignore"


class _CombinedTrade(Struct):
    stream: str
    data: _UsualTrade


class _AnsweredTrade(Struct, rename="camel"):
    id: Id
    price: Price
    qty: Size
    time: Time
    is_buyer_maker: Any


_combined = msgspec.json.Decoder(_CombinedTrade, strict=False)


def is_trade_stream(stream: object) -> bool:
    """Whether a stream of this name carries trades."""
    return isinstance(stream, str) and stream.endswith(TRADE) and kind_of(stream) is None


def decode_usual_trade(payload: bytes) -> Trade | None:
    """The fast decoder of a trade. Raises msgspec's errors.

    Returns None unless the message has each of its keys once and no other key: any other message must be decoded as a
    whole.
    """
    message = _combined.decode(payload)
    if payload.count(b":") == _KEYS and is_trade_stream(message.stream):
        return _trade(message.data)
    return None


def decode_trade(data: dict[str, Any]) -> Trade:
    """Convert a message that was decoded as a whole, without its wrapper. Raises msgspec.ValidationError."""
    return _trade(msgspec.convert(data, _Trade, strict=False))


def _trade(data: _Trade) -> Trade:
    times_us = time_us(data.T), time_us(data.E)
    return Trade(data.s, data.t, data.p, data.q, *times_us, _flag(data.m))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise msgspec.ValidationError(f"{value!r:.40} is not true or false")
    return value


def decode_trades(payload: bytes, symbol: str, from_id: int) -> list[Trade]:
    """Decode a REST `/historicalTrades` answer to a request for the trades from `from_id` on. It names no symbol.

    Raises MalformedFrame for anything else: an error page, a truncated body, ids that do not increase or are below
    `from_id`.
    """
    if len(payload) > LONG_BYTES:
        refuse_bloated(payload)
    try:
        found = msgspec.convert(decode_json(payload), list[_AnsweredTrade], strict=False)
        trades = [
            Trade(symbol, t.id, t.price, t.qty, time_us(t.time), None, _flag(t.is_buyer_maker))
            for t in found
        ]
    except msgspec.ValidationError as error:
        raise MalformedFrame(f"{symbol} trades: {error}: {payload[:80]!r}") from error
    ids = [from_id - 1, *(trade.trade_id for trade in trades)]
    if any(after <= before for before, after in pairwise(ids)):
        raise MalformedFrame(f"{symbol} trades: not in order from {from_id} on: {payload[:80]!r}")
    return trades
