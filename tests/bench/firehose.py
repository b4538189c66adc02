"""An exchange that sends as fast as it is read: a recorded minute of market, over and over.

A process of its own, on bare sockets, so that it costs little of what is measured. Each round of
the same messages carries higher ids, so they chain for ever; the levels they set repeat.

    python tests/bench/firehose.py SYMBOLS SLOTS MESSAGES

It prints its port, then two lines of JSON for every connection: when it begins to send (0 messages)
and when it has sent all (how many, in how many seconds).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import sys
import time
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from booktape.sim.market import Market
from booktape.sim.spot import spot
from booktape.wire.exchange_info import encode_exchange_info

WARM_UP_SLOTS: Final = 60
CHUNK_BYTES: Final = 1 << 18
WEIGHT: Final = 10**9
"""A budget that never binds: here it is the recorder that is measured."""

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_IDS: Final = re.compile(rb'"U":(\d+),"u":(\d+)')
_SMALL, _MIDDLE = 126, 1 << 16


class Template(NamedTuple):
    """One message, its ids taken out."""

    symbol: str
    before: bytes
    first_id: int
    last_id: int
    after: bytes


class Minute:
    """What is sent in every round, and the snapshots to begin with."""

    def __init__(self, symbols: int, slots: int) -> None:
        listings = spot(symbols)
        market = Market(listings, 1)
        names = [listing.symbol for listing in listings]
        self.listed = encode_exchange_info(market.symbols(), WEIGHT)
        market.want([f"{name.lower()}@depth@100ms" for name in names])
        market.start(1_780_000_000_000_000)
        for _ in range(WARM_UP_SLOTS):
            market.advance()
        self.depths = {name: market.depth(name, 5_000, 0.0) for name in names}
        self.began = {name: json.loads(self.depths[name])["lastUpdateId"] for name in names}
        self.templates = [
            self._template(m.payload(combined=True, microseconds=True))
            for _ in range(slots)
            for m in market.advance()
        ]
        self.spans = {t.symbol: t.last_id - self.began[t.symbol] for t in self.templates}

    def _template(self, payload: bytes) -> Template:
        found = _IDS.search(payload)
        assert found
        symbol = payload[payload.index(b'"s":"') + 5 :].partition(b'"')[0].decode()
        first, last = int(found[1]), int(found[2])
        return Template(symbol, payload[: found.start()], first, last, payload[found.end() :])

    def frames(self, symbols: set[str]) -> Iterator[bytes]:
        """WebSocket frames of these symbols, round after round, for ever."""
        chosen = [template for template in self.templates if template.symbol in symbols]
        for turn in range(sys.maxsize):
            for symbol, before, first, last, after in chosen:
                shift = turn * self.spans[symbol]
                text = b'%b"U":%d,"u":%d%b' % (before, first + shift, last + shift, after)
                yield _header(len(text)) + text


def _header(length: int) -> bytes:
    """RFC 6455, 5.2: a final, unmasked text frame."""
    if length < _SMALL:
        return bytes((0x81, length))
    if length < _MIDDLE:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


class Firehose:
    """One port for REST and streams. Sending begins when every book has been asked for."""

    def __init__(self, minute: Minute, messages: int) -> None:
        self._minute = minute
        self._messages = messages
        self._asked: set[str] = set()
        self._all_asked = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it leaves."""
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                target = urlsplit(request.split(b" ", 2)[1].decode())
                if target.path == "/stream":
                    await self._stream(request, target.query, writer)
                    await reader.read()
                    return
                body = self._answer(target.path, target.query)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, path: str, query: str) -> bytes:
        if path.endswith("exchangeInfo"):
            return self._minute.listed
        symbol = parse_qs(query)["symbol"][0]
        self._asked.add(symbol)
        if len(self._asked) == len(self._minute.depths):
            self._all_asked.set()
        return self._minute.depths[symbol]

    async def _stream(self, request: bytes, query: str, writer: asyncio.StreamWriter) -> None:
        key = next(
            line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key.split(b": ")[1] + _MAGIC).digest())  # noqa: S324
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        streams = unquote(parse_qs(query)["streams"][0]).split("/")
        symbols = {stream.partition("@")[0].upper() for stream in streams}
        await self._all_asked.wait()
        await self._pour(symbols, writer)

    async def _pour(self, symbols: set[str], writer: asyncio.StreamWriter) -> None:
        """This connection's part of all messages, by its part of the symbols' messages."""
        templates = self._minute.templates
        part = sum(template.symbol in symbols for template in templates) / len(templates)
        _say({"messages": 0, "seconds": 0.0})
        began, waiting, count = time.perf_counter(), bytearray(), 0
        for frame in self._minute.frames(symbols):
            waiting += frame
            count += 1
            if len(waiting) >= CHUNK_BYTES or count >= self._messages * part:
                writer.write(bytes(waiting))
                waiting.clear()
                await writer.drain()
            if count >= self._messages * part:
                break
        seconds = time.perf_counter() - began
        _say({"messages": count, "seconds": seconds})


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main(symbols: int, slots: int, messages: int) -> None:
    """Serve until killed."""
    firehose = Firehose(Minute(symbols, slots), messages)
    server = await asyncio.start_server(firehose.serve, "127.0.0.1", 0, limit=1 << 20)
    _say(server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
