"""unicorn-binance-local-depth-cache, compiled by Cython."""

from __future__ import annotations

from typing import Any

import orjson
from unicorn_binance_local_depth_cache.manager import BinanceLocalDepthCacheManager

from bench.peers.peer import SYMBOL, Peer

_MARKET = SYMBOL.lower()


class Unicorn(Peer):
    package = "unicorn-binance-local-depth-cache"
    includes = (
        "`orjson.loads` as its socket calls it, "
        "`BinanceLocalDepthCacheManager._apply_updates`; a snapshot is `get_bids` and `get_asks`, "
        "which also turn prices from texts into floats. Compiled by Cython. It keeps 1,000 "
        "levels a side, and is given as many. Its loop around that, which searches the text of "
        "every message for errors and checks ids, is left out."
    )
    combined = True
    depth = 1_000

    def __init__(self, snapshot: bytes) -> None:
        # Made without its constructor, which starts a thread and connections.
        self._manager = BinanceLocalDepthCacheManager.__new__(BinanceLocalDepthCacheManager)
        self._manager.depth_caches = {}
        self._manager.threading_lock_ask = {}
        self._manager.threading_lock_bid = {}
        self._manager.default_refresh_interval = None
        self._manager.stop_request = False
        self._manager._add_depthcache(_MARKET)
        answer = orjson.loads(snapshot)
        bids, asks = (answer[side][: self.depth] for side in ("bids", "asks"))
        self._manager._apply_updates(asks, bids, _MARKET)
        self._manager.depth_caches[_MARKET]["is_synchronized"] = True

    def apply(self, message: str) -> None:
        data = orjson.loads(message)["data"]
        self._manager._apply_updates(data["a"], data["b"], _MARKET)

    def levels(self) -> tuple[Any, Any]:
        return self._manager.get_bids(_MARKET), self._manager.get_asks(_MARKET)
