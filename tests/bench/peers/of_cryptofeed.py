"""cryptofeed's Binance feed and its order book, which is written in C."""

from __future__ import annotations

from typing import Any

from cryptofeed.defines import L2_BOOK
from cryptofeed.exchanges.binance import Binance
from cryptofeed.symbols import Symbols

from bench.peers.peer import SYMBOL, Peer, finish, next_message

_PAIR = "BTC-USDT"


class _Rest:
    """Answers the one request of the feed."""

    def __init__(self, snapshot: bytes) -> None:
        self._snapshot = snapshot.decode()

    async def read(self, _url: str, **_how: object) -> str:
        return self._snapshot


class Cryptofeed(Peer):
    package = "cryptofeed"
    includes = (
        "`Binance.message_handler` (its own JSON parser, `Decimal`) with its check of ids, and "
        "no callback; a snapshot is `to_list` of both sides of its book, which is written in C: "
        "pairs of `Decimal`, the fastest form that it offers."
    )
    combined = True

    def __init__(self, snapshot: bytes) -> None:
        Symbols.set(Binance.id, {_PAIR: SYMBOL}, {})
        self._feed = Binance(symbols=[_PAIR], channels=[L2_BOOK])
        self._feed.http_conn = _Rest(snapshot)
        finish(self._feed._snapshot(SYMBOL))
        self._book = self._feed._l2_book[_PAIR].book
        running = self._serve()
        running.send(None)
        self._take = running.send

    async def _serve(self) -> None:
        handle = self._feed.message_handler
        while True:
            await handle(await next_message(), None, 0.0)

    def apply(self, message: str) -> None:
        self._take(message)

    def levels(self) -> tuple[Any, Any]:
        return self._book.bids.to_list(), self._book.asks.to_list()
