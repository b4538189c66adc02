"""An exchange that sends as fast as it is read: some seconds of market, over and over.

It is a separate process on bare sockets, so that it takes little of what is measured.

    cd tests; python -m bench.firehose SYMBOLS SLOTS MESSAGES WITNESS [MESSAGES_PER_S]

WITNESS is depth20 or none, as `booktape record --witness` takes it; its messages are counted, too. With a pace it sends
as the exchange does: the messages of all symbols, ten times a second. All connections are served in step, in the order
of the market. It prints its port, then two lines of JSON: when it begins to send (0 messages) and when everything has
been read (how many messages, in how many seconds), that is, when a ping sent after the last message has been answered
on every connection.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import sys
import time
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from bench.round import Round

CHUNK_BYTES: Final = 1 << 18
GRID_S: Final = 0.1
"""Recorded event times of different symbols fall into the same tenth of a second."""

QUIET_S: Final = 1.0
"""Sending begins when there has been no request for this long: by then every book is deep."""

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_SMALL, _MIDDLE = 126, 1 << 16


def _header(length: int) -> bytes:
    """RFC 6455, 5.2: a final, unmasked text frame."""
    if length < _SMALL:
        return bytes((0x81, length))
    if length < _MIDDLE:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


class Line:
    """One connection, and what waits to be sent on it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.waiting = bytearray()
        self.heard = asyncio.Event()

    async def send(self) -> None:
        """Hand it over; waits while the other side does not read."""
        self._writer.write(bytes(self.waiting))
        self.waiting.clear()
        await self._writer.drain()

    async def ping(self) -> None:
        """A client that answers has read all that came before. (It has nothing else to say.)"""
        self.heard.clear()
        self.waiting += b"\x89\x00"
        await self.send()
        await self.heard.wait()


class Firehose:
    """One port for REST and streams. Sending begins when every book is known, deep, and awaited."""

    def __init__(self, sent: Round, messages: int, pace: float = math.inf) -> None:
        self._round = sent
        self._messages = messages
        self._pace = pace
        self._asked: set[str] = set()
        self._asked_s = 0.0
        self._lines: dict[str, Line] = {}
        self._ready = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it leaves."""
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                target = urlsplit(request.split(b" ", 2)[1].decode())
                if target.path == "/stream":
                    line = self._stream(request, target.query, writer)
                    while await reader.read(CHUNK_BYTES):
                        line.heard.set()
                    return
                body = self._answer(target.path, target.query)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, path: str, query: str) -> bytes:
        if path.endswith("exchangeInfo"):
            return self._round.listed
        symbol = parse_qs(query)["symbol"][0]
        self._asked.add(symbol)
        self._asked_s = time.perf_counter()
        self._look()
        return self._round.depths[symbol]

    def _look(self) -> None:
        if len(self._asked) == len(self._lines) == len(self._round.depths):
            self._ready.set()

    def _stream(self, request: bytes, query: str, writer: asyncio.StreamWriter) -> Line:
        key = next(
            line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key.split(b": ")[1] + _MAGIC).digest())  # noqa: S324
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        streams = unquote(parse_qs(query)["streams"][0]).split("/")
        line = Line(writer)
        self._lines |= {stream.partition("@")[0].upper(): line for stream in streams}
        self._look()
        return line

    async def pour(self) -> None:
        """All messages, each on the connection of its symbol."""
        await self._ready.wait()
        while (quiet_s := time.perf_counter() - self._asked_s) < QUIET_S:
            await asyncio.sleep(QUIET_S - quiet_s)
        _say({"messages": 0, "seconds": 0.0})
        began = time.perf_counter()
        due = await self._due(began)
        for count, (symbol, text) in enumerate(self._round.messages(), 1):
            line = self._lines[symbol]
            line.waiting += _header(len(text)) + text
            if len(line.waiting) >= CHUNK_BYTES:
                await line.send()
            if count >= min(due, self._messages):
                for each in set(self._lines.values()):
                    await each.send()
                if count >= self._messages:
                    break
                due = await self._due(began)
        for each in set(self._lines.values()):
            await each.ping()
        _say({"messages": self._messages, "seconds": time.perf_counter() - began})

    async def _due(self, began: float) -> float:
        """How many messages should have been sent by the next slot."""
        if self._pace == math.inf:
            return math.inf
        slot = (time.perf_counter() - began) // GRID_S + 1
        await asyncio.sleep(began + slot * GRID_S - time.perf_counter())
        return self._pace * slot * GRID_S


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main(
    symbols: int, slots: int, messages: int, witness: str, pace: float = math.inf
) -> None:
    """Serve until killed."""
    firehose = Firehose(Round(symbols, slots, witness), messages, pace)
    server = await asyncio.start_server(firehose.serve, "127.0.0.1", 0, limit=1 << 20)
    _say(server.sockets[0].getsockname()[1])
    await asyncio.gather(firehose.pour(), server.serve_forever())


if __name__ == "__main__":
    _, symbols, slots, messages, witness, *pace = sys.argv
    asyncio.run(main(int(symbols), int(slots), int(messages), witness, *map(int, pace)))
