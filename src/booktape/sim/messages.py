"""The market data messages that the simulated exchange sends, and the names of their streams."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from msgspec import Raw, Struct

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
"""How many trades of a symbol can be requested; the real exchange's database has all of them."""

Content: TypeAlias = DepthEvent | TopLevels | BookTicker | Trade


class Encoding(NamedTuple):
    """The form in which a client gets messages: combined on `/stream`, raw on `/ws`; times in ms or microseconds."""

    combined: bool = False
    microseconds: bool = False


class MarketMessage:
    """A depth event, partial depth, book ticker or trade of a market, encoded once for each kind of client.

    `event` is its content if that is a depth event, else None.
    """

    __slots__ = ("_payloads", "content", "event", "stream")

    def __init__(self, stream: str, content: Content) -> None:
        self.stream = stream
        self.content = content
        self.event = content if isinstance(content, DepthEvent) else None
        self._payloads: dict[Encoding, bytes] = {}

    def payload(self, encoding: Encoding) -> bytes:
        """The message's bytes in this form."""
        if encoding not in self._payloads:
            raw = _encode(self.content, microseconds=encoding.microseconds)
            combined = encode_combined(self.stream, raw) if encoding.combined else raw
            self._payloads[encoding] = combined
        return self._payloads[encoding]


_TIMES: Final = re.compile(rb'"([ET])":([0-9]{13}|[0-9]{16})(?=[,}])')
"""A time from 2001 to 2286 has 13 digits in milliseconds, and 16 in microseconds."""


class Wrapper(Struct):
    """The object in which `/stream` sends every message."""

    stream: str
    data: Raw


class RecordedMessage(NamedTuple):
    """A message as it was received.

    A wrapper is added or removed, and the times of an event or a trade are given in the unit that a client asks
    for; nothing else changes. Recorded milliseconds become microseconds that end in three zeros.
    """

    stream: str
    event: DepthEvent | None
    recorded: bytes
    wrapped: Wrapper | None
    times_us: tuple[int, ...] = ()

    def payload(self, encoding: Encoding) -> bytes:
        """The message's bytes in this form."""
        payload = self.recorded
        if encoding.combined and not self.wrapped:
            payload = encode_combined(self.stream, payload)
        elif self.wrapped and not encoding.combined:
            payload = bytes(self.wrapped.data)
        times_us, unit = iter(self.times_us), 1 if encoding.microseconds else 1_000

        def as_asked(found: re.Match[bytes]) -> bytes:
            return b'"%b":%d' % (found[1], next(times_us) // unit)

        return _TIMES.sub(as_asked, payload, count=len(self.times_us)) if self.times_us else payload


Message: TypeAlias = MarketMessage | RecordedMessage
"""One message of one stream, the same for every client that subscribed to it."""


def event_message(event: DepthEvent) -> MarketMessage:
    """A depth event on its symbol's stream."""
    return MarketMessage(stream_name(event.symbol), event)


def second_message(events: Sequence[DepthEvent]) -> MarketMessage:
    """Consecutive events as one, for the stream that has one message a second."""
    first, last = events[0], events[-1]
    bids = {price: size for event in events for price, size in event.bids}
    asks = {price: size for event in events for price, size in event.asks}
    joined = replace(
        last,
        first_id=first.first_id,
        bids=sorted(bids.items(), reverse=True),
        asks=sorted(asks.items()),
    )
    return MarketMessage(stream_name(last.symbol, "depth"), joined)


def stream_name(symbol: str, kind: str = "depth@100ms") -> str:
    """The name of a symbol's stream of this kind: lower-case, not percent-encoded."""
    return f"{symbol.lower()}@{kind}"


def _encode(content: Content, *, microseconds: bool) -> bytes:
    if isinstance(content, DepthEvent):
        return encode_event(content, microseconds=microseconds)
    if isinstance(content, TopLevels):
        return encode_top(content)
    if isinstance(content, Trade):
        return encode_trade(content, microseconds=microseconds)
    return encode_ticker(content)
