"""The order book of ccxt.pro, in plain Python."""

from __future__ import annotations

from typing import Any, Final

import ccxt.pro
from ccxt.async_support.base.ws.client import Client, json_parser

from bench.peers.peer import SYMBOL, Peer

_UNIFIED: Final = "BTC/USDT"
_MARKET: Final = {
    "id": SYMBOL,
    "symbol": _UNIFIED,
    "base": "BTC",
    "quote": "USDT",
    "type": "spot",
    "spot": True,
}
_URL: Final = "wss://stream.invalid/ws/0"


def _unused(*_told: object) -> None:
    """A callback for what happens to connections: there is none."""


class Ccxt(Peer):
    package = "ccxt"
    includes = (
        "the socket's own parser (orjson), `binance.handle_order_book` with its check of ids, "
        "down to `handle_delta`. Plain Python. The choice of the handler is left out. A "
        "snapshot is a tuple of each level, in order: its own `copy` sorts everything in again, "
        "and takes longer."
    )

    def __init__(self, snapshot: bytes) -> None:
        self._exchange = ccxt.pro.binance()
        self._exchange.set_markets([self._exchange.safe_market_structure(_MARKET)])
        self._client = Client(_URL, _unused, _unused, _unused, _unused)
        answer = json_parser.loads(snapshot)
        self._book = self._exchange.order_book({})
        self._book.reset(
            self._exchange.parse_order_book(answer, _UNIFIED) | {"nonce": answer["lastUpdateId"]}
        )
        self._exchange.orderbooks[_UNIFIED] = self._book

    def apply(self, message: str) -> None:
        self._exchange.handle_order_book(self._client, json_parser.loads(message))

    def levels(self) -> tuple[Any, Any]:
        return list(map(tuple, self._book["bids"])), list(map(tuple, self._book["asks"]))
