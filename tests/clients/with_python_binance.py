"""python-binance follows a book: `clients.with_python_binance REST_URL WS_URL BASE QUOTE`, and prints it now and then.

It is pointed at another exchange by its own constants, `AsyncClient.API_URL` and
`BinanceSocketManager.STREAM_URL`. Its `DepthCacheManager` takes a first event that begins before the
snapshot's end for a lost one; it asks for a newer snapshot, and then applies the old event to that, so
its book is wrong. That is its own fault, on the real exchange too; the script starts over until that does not happen.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from binance import AsyncClient, BinanceSocketManager, DepthCacheManager

from clients.sample import print_sometimes


async def follow(rest_url: str, ws_url: str, base: str, quote: str) -> None:
    AsyncClient.API_URL = f"{rest_url}/api"
    BinanceSocketManager.STREAM_URL = f"{ws_url}/"
    while True:
        client = await Counting.create()
        manager = DepthCacheManager(client, base + quote, limit=5000, ws_interval=100)
        async with manager:
            while client.snapshots == 1:
                cache = await manager.recv()
                if client.snapshots == 1:
                    print_sometimes(manager._last_update_id, cache.get_bids(), cache.get_asks())
        await client.close_connection()


class Counting(AsyncClient):  # type: ignore[misc]
    snapshots = 0

    async def get_order_book(self, **params: Any) -> Any:
        self.snapshots += 1
        return await super().get_order_book(**params)


asyncio.run(follow(*sys.argv[1:]))
