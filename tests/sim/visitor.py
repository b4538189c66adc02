"""A client of the built-in exchange with no knowledge of booktape: it asks, listens and remembers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, TypeAlias
from urllib.parse import quote

import aiohttp

from booktape.sim.server.server import SimServer
from support.truth import TrueBook

Levels: TypeAlias = dict[Decimal, Decimal]


class Visitor:
    """One WebSocket connection, everything that came on it, and how it ended."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[bytes] = []
        self.arrived_s: list[float] = []
        self.binaries: list[bytes] = []
        self.pings: list[bytes] = []
        self.ended = False
        self._news = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.messages.append(message.data.encode())
                    self.arrived_s.append(asyncio.get_running_loop().time())
                elif message.type is aiohttp.WSMsgType.BINARY:
                    self.binaries.append(message.data)
                elif message.type is aiohttp.WSMsgType.PING:
                    self.pings.append(bytes(message.data))
                self._news.set()
        finally:
            self.ended = True
            self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def count(self, messages: int) -> list[dict[str, Any]]:
        """The first `messages` messages, decoded, once they are there."""
        await self.until(lambda: len(self.messages) >= messages or self.ended)
        return [json.loads(message) for message in self.messages[:messages]]

    async def events(self, last_id: int) -> list[tuple[int, int]]:
        """First and last id of all depth events, once the one that ends with this id is there."""
        mark = b'"u":%d,' % last_id
        await self.until(lambda: self.ended or any(mark in message for message in self.messages))
        return ids(self.messages)

    async def end(self) -> None:
        """Return when the connection has ended."""
        await self.until(lambda: self.ended)

    async def pinged(self, times: int) -> None:
        """Return when that number of pings has come."""
        await self.until(lambda: len(self.pings) >= times)

    async def holding(self, mark: bytes) -> bytes:
        """The first message that contains this text."""
        await self.until(lambda: any(mark in message for message in self.messages))
        return next(message for message in self.messages if mark in message)

    async def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request on the connection; its reply, which has the request's id."""
        await self.socket.send_str(json.dumps(request))
        replies: list[dict[str, Any]] = []

        def replied() -> bool:
            replies[:] = [m for m in map(json.loads, self.messages) if "id" in m]
            return any(reply["id"] == request["id"] for reply in replies)

        await self.until(replied)
        return replies[-1]


def ids(messages: list[bytes]) -> list[tuple[int, int]]:
    """First and last id of the depth events among raw or wrapped messages, garbage left out."""
    found = []
    for message in messages:
        if message.startswith((b'{"stream":', b'{"e":"depthUpdate","E":')) and message[-1:] == b"}":
            event = json.loads(message)
            event = event.get("data", event)
            if event["e"] == "depthUpdate":
                found.append((event["U"], event["u"]))
    return found


class Visit:
    """A visitor's access to REST and WebSocket of one server."""

    def __init__(self, server: SimServer, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http
        self.visitors: list[Visitor] = []

    @staticmethod
    def now_s() -> float:
        """The time by which messages arrive."""
        return asyncio.get_running_loop().time()

    async def get(self, path: str) -> tuple[int, Any, bytes]:
        async with self.http.get(f"{self.server.rest_url}/api/v3/{path}") as answer:
            return answer.status, answer.headers, await answer.read()

    async def depth(self, symbol: str, limit: int = 5000) -> bytes:
        status, _, body = await self.get(f"depth?symbol={quote(symbol)}&limit={limit}")
        assert status == 200, body
        return body

    async def listen(self, *streams: str, autoping: bool = True, unit: str = "") -> Visitor:
        names = "/".join(quote(stream) for stream in streams)
        return await self.connect(f"/stream?streams={names}{unit}", autoping=autoping)

    async def connect(self, path: str, *, autoping: bool = True) -> Visitor:
        url = self.server.ws_url + path
        # The server does not wait long for a client that does not answer a close frame.
        patience = aiohttp.ClientWSTimeout(ws_close=0.5)
        socket = await self.http.ws_connect(
            url, autoping=autoping, max_msg_size=0, timeout=patience
        )
        self.visitors.append(Visitor(socket))
        return self.visitors[-1]


@asynccontextmanager
async def visit(server: SimServer) -> AsyncIterator[Visit]:
    """Open the server, visit it, and leave nothing behind."""
    async with server, aiohttp.ClientSession() as http:
        visit = Visit(server, http)
        yield visit
        for visitor in visit.visitors:
            await visitor.socket.close()
            await visitor.reading


@asynccontextmanager
async def never_reads(server: SimServer, streams: str) -> AsyncIterator[None]:
    """A client that subscribes and then never reads; its receive buffer is as small as possible."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, ("127.0.0.1", server.port))
    request = (
        f"GET /stream?streams={streams} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await loop.sock_sendall(plain, request.encode())
    assert await loop.sock_recv(plain, 12) == b"HTTP/1.1 101"
    try:
        yield
    finally:
        plain.close()


def texts(book: TrueBook) -> tuple[Levels, Levels]:
    """The truth as decimals."""
    bids, asks = (
        {Decimal(price): Decimal(size) for price, size in side}
        for side in (book.bid_texts, book.ask_texts)
    )
    return bids, asks


class Naive:
    """The simplest possible book: the exchange's procedure over dicts of decimals."""

    def __init__(self, snapshot: bytes) -> None:
        body = json.loads(snapshot)
        self.id: int = body["lastUpdateId"]
        self.bids, self.asks = dict(decimals(body["bids"])), dict(decimals(body["asks"]))
        assert list(self.bids) == sorted(self.bids, reverse=True)
        assert list(self.asks) == sorted(self.asks)

    def apply(self, message: dict[str, Any]) -> bool:
        """Apply one raw or wrapped event, if it is new; it must chain."""
        event = message.get("data", message)
        if event["u"] <= self.id:
            return False
        assert event["U"] <= self.id + 1
        for side, levels in ((self.bids, event["b"]), (self.asks, event["a"])):
            for price, size in decimals(levels):
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)
        self.id = event["u"]
        return True


def decimals(levels: list[list[str]]) -> list[tuple[Decimal, Decimal]]:
    """Levels as the exchange wrote them, as exact numbers."""
    return [(Decimal(price), Decimal(size)) for price, size in levels]
