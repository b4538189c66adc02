"""The WebSocket side of the built-in exchange: who is connected, and what is sent to whom."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable

from aiohttp import web

from booktape.sim.faults.actions import Moment
from booktape.sim.faults.conditions import Attempt
from booktape.sim.faults.replies import Banned, Hang, Outcome, Reply, Reset
from booktape.sim.messages import Message
from booktape.sim.server.client import CLOSE_WITHIN_S, Client
from booktape.sim.server.context import ServerContext
from booktape.sim.server.http import reset, response
from booktape.sim.server.pacing import Pacer
from booktape.sim.server.subscription import answer
from booktape.sim.source import Source
from booktape.wire.limits import STREAMS_PER_CONNECTION


class Streams:
    """Accepts clients, keeps their subscriptions, and offers them each message.

    `everywhere` has those of all hosts, to which it adds itself: connections are counted together.
    """

    def __init__(
        self, source: Source, player: Pacer, manners: ServerContext, everywhere: list[Streams]
    ) -> None:
        everywhere.append(self)
        self._everywhere = everywhere
        self.clients: list[Client] = []
        self.accepted = 0
        self._source = source
        self._player = player
        self._manners = manners
        self._symbols = {info.symbol.lower(): info.symbol for info in source.symbols()}
        self._published: Counter[str] = Counter()
        self._listeners: dict[str, list[Client]] = {}
        self._attempts = 0

    def routes(self) -> list[web.RouteDef]:
        """The paths it serves."""
        return [
            web.get("/stream", self._combined),
            web.get("/ws", self._raw),
            web.get("/ws/{streams:.+}", self._raw),
        ]

    async def publish(self, messages: Iterable[Message], now_s: float) -> None:
        """Offer each message to whoever subscribed to its stream, then wait for slow clients."""
        for message in messages:
            stream = message.stream
            self._published[stream] += 1
            receivers = self._listeners.get(stream, ())
            number = self._published[stream]
            sent = [client.offer(message, number, now_s) for client in receivers]
            if sent and not any(sent):
                self._player.owe(self._symbols_of([stream]))
        for client in list(self.clients):
            await client.room()

    async def drained(self) -> None:
        """Return when every client has been handed all that was published."""
        for client in list(self.clients):
            await client.drained()

    async def close(self, *, abrupt: bool) -> None:
        """End every connection."""
        await asyncio.gather(*(client.end(abrupt=abrupt) for client in self.clients))

    async def keep_timetable(self) -> None:
        """Let happen to open connections what faults have in mind, when its time comes."""
        for moment in self._manners.faults.timetable():
            await self._manners.clock.until(moment.at_s)
            self._befall(moment)

    def _befall(self, moment: Moment) -> None:
        standing = [client.standing() for client in self.clients if not client.gone]
        chosen = moment.choose(standing)
        for client in self.clients:
            if client.number in chosen:
                client.undergo(moment.steps)

    # ── connections ─────────────────────────────────────────────────────────────────────────

    async def _combined(self, request: web.Request) -> web.StreamResponse:
        return await self._meet(request, request.query.get("streams", ""), combined=True)

    async def _raw(self, request: web.Request) -> web.StreamResponse:
        return await self._meet(request, request.match_info.get("streams", ""), combined=False)

    async def _meet(
        self, request: web.Request, names: str, *, combined: bool
    ) -> web.StreamResponse:
        lie, too_often = self._lie(request), self._comes_too_often()
        if too_often or isinstance(lie, Reset):
            return reset(request)
        if isinstance(lie, Hang):
            return await self._manners.void.swallow(request)
        if refusal := self._manners.refusal(request):
            return response(refusal)
        if isinstance(lie, Reply | Banned):
            return response(self._manners.told(lie, request))
        return await self._accept(request, names, combined=combined)

    def _lie(self, request: web.Request) -> Outcome | None:
        attempt = Attempt("ws", self._attempts, self._manners.clock.now_s(), request.path)
        self._attempts += 1
        lie = self._manners.faults.outcome(attempt)
        if lie:
            # Else an exchange that is out of order at its beginning would be so for ever.
            self._manners.clock.start()
        return lie

    def _comes_too_often(self) -> bool:
        """Whether this attempt breaks the limit of 300 in 5 minutes for one address."""
        too_often = self._manners.attempts.exceeded(self._manners.client_clock.now_s())
        if too_often:
            self._manners.violations["connections"] += 1
        return too_often

    async def _accept(
        self, request: web.Request, names: str, *, combined: bool
    ) -> web.StreamResponse:
        socket = web.WebSocketResponse(timeout=CLOSE_WITHIN_S, autoping=False, compress=False)
        await socket.prepare(request)
        number = sum(streams.accepted for streams in self._everywhere)
        client = Client(number, socket, request, self._manners, combined=combined)
        self.accepted += 1
        self.clients.append(client)
        try:
            await self._subscribe(client, {name for name in names.split("/") if name})
            await client.serve(self._on_text)
        finally:
            self.clients.remove(client)
            self._count_listeners()
        return socket

    # ── subscriptions ───────────────────────────────────────────────────────────────────────

    async def _on_text(self, client: Client, text: str) -> None:
        streams, reply = answer(text, client.streams)
        # Before the subscription: the reply comes before the first event.
        client.reply(reply)
        await self._subscribe(client, streams)

    async def _subscribe(self, client: Client, streams: set[str]) -> None:
        if len(streams) > STREAMS_PER_CONNECTION:
            await client.violated("streams")
            return
        new = streams.difference(client.streams, self._streams_of_others(client))
        client.streams = streams
        client.subscribed_s = self._manners.clock.now_s()
        self._count_listeners()
        self._player.owe(self._symbols_of(new))

    def _streams_of_others(self, client: Client) -> set[str]:
        others = (other for other in self._everybody() if other is not client)
        return set().union(*(other.streams for other in others))

    def _everybody(self) -> list[Client]:
        """The clients of all hosts."""
        return [client for streams in self._everywhere for client in streams.clients]

    def _count_listeners(self) -> None:
        listeners: dict[str, list[Client]] = defaultdict(list)
        for client in self.clients:
            for stream in client.streams:
                listeners[stream].append(client)
        self._listeners = listeners
        self._source.want(set().union(*(client.streams for client in self._everybody())))
        self._player.listen(sum(bool(client.streams) for client in self._everybody()))

    def _symbols_of(self, streams: Iterable[str]) -> set[str]:
        """The symbols whose depth is among these streams."""
        names = (stream.partition("@") for stream in streams)
        return {
            self._symbols[name]
            for name, _, kind in names
            if name in self._symbols and kind.startswith("depth@")
        }
