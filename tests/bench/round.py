"""What the firehose sends in every round: some seconds of market, with what a witness says of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from booktape.checks.depth20 import LEVELS
from booktape.core.book import OrderBook
from booktape.core.checks import TopLevels
from booktape.core.events import WHOLE_DEPTH, DepthEvent, DepthSnapshot
from booktape.sim.market.listing import spot
from booktape.sim.market.market import Market
from booktape.sim.messages import Encoding
from booktape.wire.binance import decode_depth, decode_event
from booktape.wire.encode import encode_depth
from booktape.wire.witness import DEPTH20
from support.exchange_info import encode_exchange_info
from support.oracle import combined

WARM_UP_SLOTS: Final = 60
WEIGHT: Final = 10**9
"""A budget that never binds: here it is the recorder that is measured."""

_ID: Final = re.compile(rb'(?<="U":)\d+|(?<="u":)\d+|(?<="lastUpdateId":)\d+')


class Template(NamedTuple):
    """One message, `%d` where its ids were."""

    symbol: str
    text: bytes
    ids: tuple[int, ...]

    @classmethod
    def of(cls, symbol: str, payload: bytes) -> Template:
        ids = tuple(map(int, _ID.findall(payload)))
        return cls(symbol, _ID.sub(b"%d", payload.replace(b"%", b"%%")), ids)


class Round:
    """The same messages each time with higher ids, so that they chain for ever, preceded by snapshots.

    The books begin as they are after a round. So every round changes them in the same way, and a witness's messages are
    right in every round.
    """

    def __init__(self, symbols: int, slots: int, witness: str) -> None:
        listings = spot(symbols)
        market = Market(listings, 1)
        names = [listing.symbol for listing in listings]
        self.listed = encode_exchange_info(market.symbols(), WEIGHT)
        market.want([f"{name.lower()}@depth@100ms" for name in names])
        market.start(1_780_000_000_000_000)
        for _ in range(WARM_UP_SLOTS):
            market.advance()
        depths = (decode_depth(market.depth(n, WHOLE_DEPTH, 0.0), n, WHOLE_DEPTH) for n in names)
        began = {depth.symbol: depth for depth in depths}
        books = {name: OrderBook.from_snapshot(depth) for name, depth in began.items()}
        sent = [
            m.payload(Encoding(combined=True, microseconds=True))
            for _ in range(slots)
            for m in market.advance()
        ]
        last_ids = {name: depth.last_id for name, depth in began.items()}
        last_ids |= {event.symbol: event.last_id for event, _ in _applied(books, sent)}
        self.spans = {name: last_ids[name] - began[name].last_id for name in names}
        self.depths = {
            name: encode_depth(
                DepthSnapshot(
                    name, WHOLE_DEPTH, last_ids[name], book.bids.levels(), book.asks.levels()
                )
            )
            for name, book in books.items()
        }
        self.templates = list(_templates(books, sent, witness))

    def messages(self) -> Iterator[tuple[str, bytes]]:
        """Symbols and what is sent of them, round after round, for ever."""
        for turn in range(1, sys.maxsize):
            for symbol, text, ids in self.templates:
                shift = turn * self.spans[symbol]
                yield symbol, text % tuple([own + shift for own in ids])


def _applied(books: dict[str, OrderBook], sent: list[bytes]) -> Iterator[tuple[DepthEvent, bytes]]:
    for payload in sent:
        event = decode_event(payload)
        assert isinstance(event, DepthEvent)
        books[event.symbol].apply(event)
        yield event, payload


def _templates(books: dict[str, OrderBook], sent: list[bytes], witness: str) -> Iterator[Template]:
    """Each event, and just before it what `@depth20` says of the book as it will be then."""
    for event, payload in _applied(books, sent):
        symbol, book = event.symbol, books[event.symbol]
        if witness == DEPTH20:
            yield Template.of(symbol, combined(top_of(symbol, book, event.last_id)))
        yield Template.of(symbol, payload)


def top_of(symbol: str, book: OrderBook, last_id: int) -> TopLevels:
    """What `@depth20` says of this book."""
    return TopLevels(symbol, last_id, book.bids.levels(LEVELS), book.asks.levels(LEVELS))
