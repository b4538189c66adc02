"""The witnesses, which are other streams that show the same book: `@depth20@100ms` and `@bookTicker`.

    {"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":160,"bids":[["61222.00","0.88"]],"asks":[…]}}
    {"stream":"btcusdt@bookTicker","data":{"u":158,"s":"BTCUSDT","b":"61222.00","B":"0.88","a":…,"A":…}}

They are read only in the wrapper of a combined stream: the first of the two does not name its symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta, Struct

from booktape.core.checks import BestLevels, BookTicker, TopLevels
from booktape.core.events import Level
from booktape.errors import MalformedFrame
from booktape.wire.json_rules import count_colons
from booktape.wire.numbers import Id, Levels, Size

WitnessMessage: TypeAlias = TopLevels | BookTicker

DEPTH20: Final = "depth20"
BOOK_TICKER: Final = "bookTicker"
SUFFIXES: Final = MappingProxyType({DEPTH20: "@depth20@100ms", BOOK_TICKER: "@bookTicker"})
"""The names of the streams, after the lower-case symbol."""

NAME_BYTES: Final = 200
"""The name of the stream ends within this many bytes of a message, however it is escaped."""


class _Top(Struct, rename="camel"):
    last_update_id: Id
    bids: Levels
    asks: Levels


class _CombinedTop(Struct):
    stream: str
    data: _Top


class _Ticker(Struct):
    u: Id
    s: Annotated[str, Meta(min_length=1)]
    b: Size  # an empty side has price 0
    B: Size
    a: Size
    A: Size


class _CombinedTicker(Struct):
    stream: str
    data: _Ticker


class _Best(NamedTuple):
    """One symbol of a pulse: price and size of the best bid, and of the best ask."""

    bid: Size
    bid_size: Size
    ask: Size
    ask_size: Size


_TOP_KEYS: Final = 5
_TICKER_KEYS: Final = 8
_top = msgspec.json.Decoder(_CombinedTop, strict=False)
_ticker = msgspec.json.Decoder(_CombinedTicker, strict=False)


def kind_of(stream: str) -> str | None:
    """The witness that a stream of this name carries; None for any other stream."""
    if "@depth20@" in stream:
        return DEPTH20
    return BOOK_TICKER if "@bookTicker" in stream else None


def decoder_of(payload: bytes) -> Callable[[bytes], WitnessMessage | None] | None:
    """The fast decoder of this message; None when it is not a witness.

    The decoder raises msgspec's errors. It returns None unless the message has each of its keys once, no other key,
    and the name of its stream in plain letters: any other message must be decoded as a whole (`decode_witness`).
    """
    if payload.find(b"@depth20@", 0, NAME_BYTES) > 0:
        return _decode_top
    return _decode_ticker if payload.find(b"@bookTicker", 0, NAME_BYTES) > 0 else None


def decode_witness(kind: str, message: dict[str, Any]) -> WitnessMessage:
    """Convert a message that was decoded as a whole. Raises msgspec.ValidationError."""
    if kind == DEPTH20:
        return _top_levels(msgspec.convert(message, _CombinedTop, strict=False))
    return _book_ticker(msgspec.convert(message, _CombinedTicker, strict=False))


def _decode_top(payload: bytes) -> TopLevels | None:
    message = _top.decode(payload)
    if count_colons(payload) == _TOP_KEYS and kind_of(message.stream) == DEPTH20:
        return _top_levels(message)
    return None


def _top_levels(message: _CombinedTop) -> TopLevels:
    symbol, top = message.stream.partition("@")[0].upper(), message.data
    return TopLevels(symbol, top.last_update_id, top.bids, top.asks)


def _decode_ticker(payload: bytes) -> BookTicker | None:
    message = _ticker.decode(payload)
    if payload.count(b":") == _TICKER_KEYS and kind_of(message.stream) == BOOK_TICKER:
        return _book_ticker(message)
    return None


def _book_ticker(message: _CombinedTicker) -> BookTicker:
    ticker = message.data
    bid, ask = (ticker.b, ticker.B), (ticker.a, ticker.A)
    return BookTicker(ticker.s, ticker.u, bid if bid[1] else None, ask if ask[1] else None)


def decode_best_levels(texts: tuple[str, str, str, str]) -> BestLevels:
    """The best levels of one symbol, from the texts of a pulse on the tape.

    Raises MalformedFrame for a text that is not a number, and for a size without a price.
    """
    try:
        best = msgspec.convert(texts, _Best, strict=False)
    except msgspec.ValidationError as error:
        raise MalformedFrame(str(error)) from error
    return BestLevels(_best(best.bid, best.bid_size), _best(best.ask, best.ask_size))


def _best(price: float, size: float) -> Level | None:
    if size and not price:
        raise MalformedFrame(f"a size of {size} without a price")
    return (price, size) if size else None
