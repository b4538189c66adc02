"""python-binance's DepthCache, behind its manager."""

from __future__ import annotations

from typing import Any

import orjson
from binance.ws.depthcache import DepthCacheManager
from binance.ws.reconnecting_websocket import ReconnectingWebsocket

from bench.peers.peer import SYMBOL, Peer, finish, next_message


class _Rest:
    """Answers the one request of the manager."""

    def __init__(self, snapshot: bytes) -> None:
        self._snapshot = snapshot

    async def get_order_book(self, **_asked: object) -> Any:
        return orjson.loads(self._snapshot)


class PythonBinance(Peer):
    package = "python-binance"
    includes = (
        "`ReconnectingWebsocket.json_loads` (orjson, which it uses when it is installed), "
        "`DepthCacheManager._process_depth_message` with its check of ids; a snapshot is "
        "`DepthCache.get_bids` and `get_asks`, which also turn prices from texts into floats. "
        "Plain Python. Its queue and its logging, which formats every message, are left out."
    )

    def __init__(self, snapshot: bytes) -> None:
        self._loads = ReconnectingWebsocket("").json_loads
        # It is given the loop and the sockets it would otherwise make; neither is used.
        self._manager = DepthCacheManager(_Rest(snapshot), SYMBOL, loop=object(), bm=object())
        finish(self._manager._init_cache())
        self._cache = self._manager.get_depth_cache()
        running = self._serve()
        running.send(None)
        self._take = running.send

    async def _serve(self) -> None:
        loads, process = self._loads, self._manager._process_depth_message
        while True:
            await process(loads(await next_message()))

    def apply(self, message: str) -> None:
        self._take(message)

    def levels(self) -> tuple[Any, Any]:
        return self._cache.get_bids(), self._cache.get_asks()
