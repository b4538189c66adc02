"""nautilus_trader's Binance adapter and its order book, which is compiled Rust."""

from __future__ import annotations

from typing import Any

import msgspec
from nautilus_trader.adapters.binance.common.schemas.market import (
    BinanceDepth,
    BinanceOrderBookMsg,
)
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId

from bench.peers.peer import SYMBOL, Peer


class Nautilus(Peer):
    package = "nautilus_trader"
    includes = (
        "the adapter's msgspec decoder of `BinanceOrderBookMsg`, `parse_to_order_book_deltas`, and "
        "`apply_deltas` of the compiled `OrderBook`; it checks no ids. The decoding of the wrapper "
        "that comes first, and the way through the engine, are left out. A snapshot is "
        "`OrderBook.bids` and `asks`, with each level's price and size read as doubles."
    )
    combined = True
    binary = True

    def __init__(self, snapshot: bytes) -> None:
        self._instrument = InstrumentId.from_str(f"{SYMBOL}.BINANCE")
        self._decode = msgspec.json.Decoder(BinanceOrderBookMsg).decode
        self._book = OrderBook(self._instrument, BookType.L2_MBP)
        depth = msgspec.json.decode(snapshot, type=BinanceDepth)
        self._book.apply_deltas(depth.parse_to_order_book_snapshot(self._instrument, 0))

    def apply(self, message: bytes) -> None:
        data = self._decode(message).data
        self._book.apply_deltas(data.parse_to_order_book_deltas(self._instrument, 0))

    def levels(self) -> tuple[Any, Any]:
        bids, asks = self._book.bids(), self._book.asks()
        return (
            [(float(level.price), level.size()) for level in bids],
            [(float(level.price), level.size()) for level in asks],
        )
