"""The messages of market data that the simulated exchange sends, and the names of their streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Protocol, TypeAlias

from booktape.core.checks import BookTicker, TopLevels
from booktape.core.events import DepthEvent
from booktape.core.trades import Trade
from booktape.wire.encode import (
    encode_combined,
    encode_event,
    encode_ticker,
    encode_top,
    encode_trade,
)

TRADES_KEPT: Final = 20_000
"""How many trades of a symbol can be asked for; the exchange's database has all."""

Content: TypeAlias = DepthEvent | TopLevels | BookTicker | Trade


class Encoding(NamedTuple):
    """What a client gets: combined on `/stream`, raw on `/ws`; times in ms or in microseconds."""

    combined: bool = False
    microseconds: bool = False


class Message(Protocol):
    """One message of one stream, the same for every client that subscribed to it."""

    @property
    def stream(self) -> str:
        """The stream's name, such as `btcusdt@depth@100ms`."""

    @property
    def event(self) -> DepthEvent | None:
        """Its content, when that is a depth event."""

    def payload(self, encoding: Encoding) -> bytes:
        """Its bytes."""


class MarketMessage:
    """A depth event, partial depth, book ticker or trade, encoded at most once for each kind of client."""

    __slots__ = ("_payloads", "content", "event", "stream")

    def __init__(self, stream: str, content: Content) -> None:
        self.stream = stream
        self.content = content
        self.event = content if isinstance(content, DepthEvent) else None
        self._payloads: dict[Encoding, bytes] = {}

    def payload(self, encoding: Encoding) -> bytes:
        """See `Message`."""
        if encoding not in self._payloads:
            raw = _encode(self.content, microseconds=encoding.microseconds)
            combined = encode_combined(self.stream, raw) if encoding.combined else raw
            self._payloads[encoding] = combined
        return self._payloads[encoding]


def event_message(event: DepthEvent) -> MarketMessage:
    """A depth event on its symbol's stream."""
    return MarketMessage(depth_stream(event.symbol), event)


def second_message(events: Sequence[DepthEvent]) -> MarketMessage:
    """Events that follow each other, as one on the stream of a message a second."""
    first, last = events[0], events[-1]
    bids = {price: size for event in events for price, size in event.bids}
    asks = {price: size for event in events for price, size in event.asks}
    joined = replace(
        last,
        first_id=first.first_id,
        bids=sorted(bids.items(), reverse=True),
        asks=sorted(asks.items()),
    )
    return MarketMessage(second_stream(last.symbol), joined)


def depth_stream(symbol: str) -> str:
    """The name of a symbol's depth stream: lower-case, not percent-encoded."""
    return f"{symbol.lower()}@depth@100ms"


def second_stream(symbol: str) -> str:
    """The name of a symbol's depth stream of one message a second."""
    return f"{symbol.lower()}@depth"


def partial_stream(symbol: str, levels: int) -> str:
    """The name of a symbol's partial depth stream, of 5, 10 or 20 levels a side."""
    return f"{symbol.lower()}@depth{levels}@100ms"


def ticker_stream(symbol: str) -> str:
    """The name of a symbol's book ticker stream."""
    return f"{symbol.lower()}@bookTicker"


def trade_stream(symbol: str) -> str:
    """The name of a symbol's stream of trades."""
    return f"{symbol.lower()}@trade"


def _encode(content: Content, *, microseconds: bool) -> bytes:
    if isinstance(content, DepthEvent):
        return encode_event(content, microseconds=microseconds)
    if isinstance(content, TopLevels):
        return encode_top(content)
    if isinstance(content, Trade):
        return encode_trade(content, microseconds=microseconds)
    return encode_ticker(content)
