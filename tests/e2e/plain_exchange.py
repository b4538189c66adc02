"""An exchange that shares no code with booktape: aiohttp, json and a dict of texts for each side.

It speaks just enough of Binance's protocol, in its own way: timestamps in milliseconds, another
order of fields, no exchangeInfo filters. It keeps its whole book at every update id.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from types import TracebackType
from typing import Self, TypeAlias

from aiohttp import web

Texts: TypeAlias = dict[str, str]
Change: TypeAlias = tuple[str, str, str]


class PlainExchange:
    """One symbol, an event every few milliseconds, snapshots in the middle of events."""

    def __init__(self, symbol: str, seed: int) -> None:
        self.symbol = symbol
        self.snapshots = 0
        self._random = random.Random(seed)
        self._sides: dict[str, Texts] = {"b": {}, "a": {}}
        self.id = 1_000
        self.books: dict[int, tuple[Texts, Texts]] = {}
        self._published = self.id
        self._clients: list[web.WebSocketResponse] = []
        for _ in range(80):
            self._change()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/api/v3/exchangeInfo", self._info)
        app.router.add_get("/api/v3/depth", self._depth)
        app.router.add_get("/stream", self._stream)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = "{}:{}".format(*self._runner.addresses[0][:2])
        self._trading = asyncio.create_task(self._trade())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._trading.cancel()
        await asyncio.wait({self._trading})
        await self._runner.cleanup()

    def truth(self, _: str, update_id: int) -> tuple[list[tuple[float, float]], ...]:
        """Both sides at an id, best first."""
        bids, asks = self.books[update_id]
        numbers = [[(float(p), float(q)) for p, q in side.items()] for side in (bids, asks)]
        return sorted(numbers[0], reverse=True), sorted(numbers[1])

    def _change(self) -> Change:
        side = self._random.choice("ba")
        away = self._random.randint(1, 400)
        price = f"{(100_00 - away if side == 'b' else 100_00 + away) / 100:.8f}"
        size = self._random.choice(["0.00000000", f"{self._random.randint(1, 9**9) / 1e8:.8f}"])
        if size == "0.00000000":
            self._sides[side].pop(price, None)
        else:
            self._sides[side][price] = size
        self.id += 1
        self.books[self.id] = dict(self._sides["b"]), dict(self._sides["a"])
        return side, price, size

    async def _trade(self) -> None:
        while True:
            first = self.id + 1
            changes: list[Change] = []
            for _ in range(self._random.randint(1, 6)):
                # A snapshot requested meanwhile falls in the middle of this event.
                changes.append(self._change())
                await asyncio.sleep(0.001)
            sides = {
                side: list({p: q for s, p, q in changes if s == side}.items()) for side in "ab"
            }
            data = {"s": self.symbol, "u": self.id, "U": first, "E": time.time_ns() // 10**6}
            message = {"data": {**data, **sides, "e": "depthUpdate"}, "stream": "whatever"}
            for client in self._clients:
                if not client.closed:
                    await client.send_str(json.dumps(message))

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response({"symbols": [{"symbol": self.symbol, "status": "TRADING"}]})

    async def _depth(self, request: web.Request) -> web.Response:
        assert request.query["symbol"] == self.symbol
        self.snapshots += 1
        bids, asks = self.books[self.id]
        return web.json_response(
            {
                "bids": sorted(bids.items(), key=lambda level: -float(level[0])),
                "asks": sorted(asks.items(), key=lambda level: float(level[0])),
                "lastUpdateId": self.id,
            }
        )

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        assert f"{self.symbol.lower()}@depth@100ms" in request.query["streams"].split("/")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._clients.append(socket)
        async for _ in socket:
            pass
        return socket
