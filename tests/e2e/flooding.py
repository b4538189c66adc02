"""An exchange that floods: a server on loopback that speaks HTTP and WebSocket byte by byte.

These tests send what a library would refuse to send.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

Pieces: TypeAlias = Iterator[bytes | asyncio.Event]
"""Bytes to send, in order; an event is waited for."""
Flood: TypeAlias = Callable[[], Pieces]

LISTED: Final = b'{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","filters":[]}]}'
DEPTH: Final = b'{"lastUpdateId":100,"bids":[["1.0","1.0"]],"asks":[["2.0","1.0"]]}'

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CONTINUES, _FINAL = 0x1, 0x0, 0x80


def answer(body: bytes, head: bytes = b"200 OK") -> Flood:
    """An honest answer."""
    return lambda: iter([b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (head, len(body)), body])


def nothing() -> Pieces:
    """No answer at all."""
    return iter(())


def gzip_bomb(status: bytes = b"200 OK") -> Flood:
    """Gigabytes of zeros in some megabytes of gzip."""
    member = gzip.compress(bytes(64 << 20))

    def pieces() -> Pieces:
        head = b"HTTP/1.1 %b\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        yield head % (status, 100 * len(member))
        for _ in range(100):
            yield member

    return pieces


def endless_body(status: bytes = b"200 OK") -> Flood:
    """A body that declares no length and never ends."""

    def pieces() -> Pieces:
        yield b"HTTP/1.1 %b\r\nTransfer-Encoding: chunked\r\n\r\n" % status
        piece = b"x" * (1 << 20)
        while True:
            yield b"%x\r\n%b\r\n" % (len(piece), piece)

    return pieces


def announced(length: int) -> Flood:
    """A message that declares its length and then arrives."""

    def pieces() -> Pieces:
        yield struct.pack(">BBQ", _FINAL | _TEXT, 127, length)
        while True:
            yield bytes(1 << 20)

    return pieces


def endless_fragments() -> Pieces:
    """One message that never ends, in fragments of 64 kB."""
    yield struct.pack(">BBQ", _TEXT, 127, 65_536) + bytes(65_536)
    while True:
        yield struct.pack(">BBQ", _CONTINUES, 127, 65_536) + bytes(65_536)


def messages(payloads: Callable[[], Iterator[bytes]]) -> Flood:
    """These messages, as fast as they are read."""

    def pieces() -> Pieces:
        for payload in payloads():
            yield struct.pack(">BBQ", _FINAL | _TEXT, 127, len(payload)) + payload

    return pieces


def events(levels: int, hole_after: int = 10**9) -> Iterator[bytes]:
    """Events of BTCUSDT in order, with `levels` levels each; one id is missing after `hole_after`."""
    side = ",".join(f'["{price}","1"]' for price in range(1, levels + 1))
    for number in range(1_000_000):
        at = number + 101 + (number >= hole_after)
        data = (
            f'{{"e":"depthUpdate","E":{1_780_861_677_414 + number},"s":"BTCUSDT","U":{at},"u":{at},'
        )
        yield f'{{"stream":"btcusdt@depth@100ms","data":{data}"b":[{side}],"a":[]}}}}'.encode()


def growing(levels: int) -> Iterator[bytes]:
    """Events of BTCUSDT in order, each with `levels` new levels."""
    for number in range(1_000_000):
        at, first = number + 101, 1 + number * levels
        side = ",".join(f'["{price}","1"]' for price in range(first, first + levels))
        data = (
            f'{{"e":"depthUpdate","E":{1_780_861_677_414 + number},"s":"BTCUSDT","U":{at},"u":{at},'
        )
        yield f'{{"stream":"btcusdt@depth@100ms","data":{data}"b":[],"a":[{side}]}}}}'.encode()


class FloodingExchange:
    """Answers requests by their path, and each WebSocket with `stream`."""

    def __init__(self, stream: Flood, depth: Flood, listed: Flood) -> None:
        self.address = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stream = stream
        self._answers = {b"exchangeInfo": listed, b"depth": depth}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FloodingExchange]:
        """On a free port of loopback."""
        server = await asyncio.start_server(self._welcome, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the recorder closed the connection
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" in head.lower():
                writer.write(_handshake(head))
                await self._send(writer, self._stream())
                await reader.read()
                return
            path = head.split(b"?")[0].split(b" ")[1].rpartition(b"/")[2]
            flood = self._answers.get(path, answer(b"", b"404 Not Found"))
            await self._send(writer, flood())

    async def _send(self, writer: asyncio.StreamWriter, pieces: Pieces) -> None:
        for piece in pieces:
            if isinstance(piece, asyncio.Event):
                await piece.wait()
                continue
            writer.write(piece)
            await writer.drain()


def _handshake(head: bytes) -> bytes:
    lines = (line.partition(b": ") for line in head.split(b"\r\n"))
    key = next(value for name, _, value in lines if name.lower() == b"sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )
