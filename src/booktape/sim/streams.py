"""The WebSocket side of the built-in exchange: who is connected, and what is sent to whom."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from booktape.sim.client import CLOSE_WITHIN_S, Client, Manners
from booktape.sim.conditions import Attempt
from booktape.sim.player import Player
from booktape.sim.rest import reset
from booktape.sim.source import Message, Source
from booktape.sim.subscription import answer
from booktape.wire.limits import STREAMS_PER_CONNECTION

CONNECTIONS_PER_5_MINUTES: Final = 300
_FIVE_MINUTES_S: Final = 300


class Streams:
    """Accepts clients, keeps their subscriptions, and offers them each message."""

    def __init__(self, source: Source, player: Player, manners: Manners) -> None:
        self.clients: list[Client] = []
        self.accepted = 0
        self._player = player
        self._manners = manners
        self._symbols = {info.symbol.lower(): info.symbol for info in source.symbols()}
        self._published: Counter[str] = Counter()
        self._attempts = 0
        self._recent: deque[float] = deque(maxlen=CONNECTIONS_PER_5_MINUTES)
        self._opened_s = time.monotonic()

    def routes(self) -> list[web.RouteDef]:
        """The paths it serves."""
        return [
            web.get("/stream", self._combined),
            web.get("/ws", self._raw),
            web.get("/ws/{streams:.+}", self._raw),
        ]

    async def publish(self, messages: Iterable[Message]) -> None:
        """Offer each message to whoever subscribed to its stream, waiting for slow clients."""
        for message in messages:
            stream = message.stream
            self._published[stream] += 1
            receivers = [client for client in self.clients if stream in client.streams]
            sent = [await client.offer(message, self._published[stream]) for client in receivers]
            if receivers and not any(sent):
                self._player.owe(self._symbols_of([stream]))

    async def drained(self) -> None:
        """Return when every client has been handed all that was published."""
        for client in list(self.clients):
            await client.drained()

    async def close(self, *, abrupt: bool) -> None:
        """End every connection."""
        await asyncio.gather(*(client.end(abrupt=abrupt) for client in self.clients))

    # ── connections ─────────────────────────────────────────────────────────────────────────

    async def _combined(self, request: web.Request) -> web.StreamResponse:
        return await self._accept(request, request.query.get("streams", ""), combined=True)

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        return await self._accept(request, request.match_info.get("streams", ""), combined=False)

    async def _accept(
        self, request: web.Request, names: str, *, combined: bool
    ) -> web.StreamResponse:
        now_s = time.monotonic() - self._opened_s
        attempt = Attempt("ws", self._attempts, now_s, request.path)
        self._attempts += 1
        if self._comes_too_often(now_s) or self._manners.faults.refuses(attempt):
            return reset(request)
        socket = web.WebSocketResponse(timeout=CLOSE_WITHIN_S, autoping=False, compress=False)
        await socket.prepare(request)
        client = Client(self.accepted, socket, request, self._manners, combined=combined)
        self.accepted += 1
        self.clients.append(client)
        try:
            await self._subscribe(client, {name for name in names.split("/") if name})
            await client.serve(self._on_text)
        finally:
            self.clients.remove(client)
            self._count_listeners()
        return socket

    def _comes_too_often(self, now_s: float) -> bool:
        """Whether this attempt breaks the limit of 300 in 5 minutes for one address."""
        full = len(self._recent) == CONNECTIONS_PER_5_MINUTES
        too_often = full and now_s - self._recent[0] < _FIVE_MINUTES_S
        if too_often:
            self._manners.violations["connections"] += 1
        self._recent.append(now_s)
        return too_often

    async def _on_text(self, client: Client, text: str) -> None:
        streams, reply = answer(text, client.streams)
        # Before the subscription: the reply comes before the first event.
        await client.reply(reply)
        await self._subscribe(client, streams)

    async def _subscribe(self, client: Client, streams: set[str]) -> None:
        if len(streams) > STREAMS_PER_CONNECTION:
            await client.violated("streams")
            return
        others = (other.streams for other in self.clients if other is not client)
        new = streams.difference(client.streams, *others)
        client.streams = streams
        self._count_listeners()
        self._player.owe(self._symbols_of(new))

    def _count_listeners(self) -> None:
        self._player.listen(sum(bool(client.streams) for client in self.clients))

    def _symbols_of(self, streams: Iterable[str]) -> set[str]:
        """The symbols whose depth is among these streams."""
        names = (stream.partition("@") for stream in streams)
        return {
            self._symbols[name]
            for name, _, kind in names
            if name in self._symbols and kind.startswith("depth@")
        }
