"""The WebSocket side of the simulated exchange: its clients, and which messages each gets."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from aiohttp import web
from msgspec import Struct

from booktape.core.events import DepthEvent
from booktape.sim.faults.conditions import Attempt
from booktape.sim.faults.fault import Faults
from booktape.sim.faults.outcomes import Reset
from booktape.sim.faults.steps import Cut, Send
from booktape.sim.faults.undetectable import MessageChanger
from booktape.sim.messages import Message, second_message, stream_name
from booktape.sim.server.client import CLOSE_WITHIN_S, Client
from booktape.sim.server.exchange import Exchange
from booktape.wire.limits import STREAMS_PER_CONNECTION

_INVALID_REQUEST: Final = 2


class Streams:
    """Accepts the clients of one host, keeps their subscriptions, and offers them each message."""

    def __init__(self, exchange: Exchange, faults: Faults) -> None:
        self.clients: list[Client] = []
        self._exchange = exchange
        self._faults = faults
        self._changer = MessageChanger(faults.faults)
        self._symbols = {info.symbol.lower(): info.symbol for info in exchange.source.symbols()}
        self._published: Counter[str] = Counter()
        self._listeners: dict[str, list[Client]] = {}
        self._attempts = 0
        self._second = 0
        self._seconds: dict[str, list[DepthEvent]] = {}

    def routes(self) -> list[web.RouteDef]:
        """The paths it serves."""
        paths = "/stream", "/ws", "/ws/{streams:.+}"
        return [web.get(path, self._connect) for path in paths]

    async def publish(self, messages: Sequence[Message]) -> None:
        """Offer what faults leave of each message to its subscribers, then wait for slow clients."""
        now_s = self._exchange.pacer.now_s
        for message in self._with_seconds(self._changer.changed(messages, now_s), now_s):
            stream = message.stream
            self._published[stream] += 1
            receivers = self._listeners.get(stream, ())
            number = self._published[stream]
            sent = [client.offer(message, number, now_s) for client in receivers]
            if sent and not any(sent):
                self._exchange.pacer.expect_requests(self._symbols_of([stream]))
        if self._exchange.waits_for_clients:
            for client in list(self.clients):
                await client.queue.wait_for_room()

    def _with_seconds(self, messages: Iterable[Message], now_s: float) -> Iterable[Message]:
        """These messages; in a new second, the last second's events come first, joined for the stream `@depth`."""
        found: list[Message] = []
        if int(now_s) != self._second:
            self._second = int(now_s)
            found += map(second_message, self._seconds.values())
            self._seconds.clear()
        for message in messages:
            found.append(message)
            event = message.event
            if event is None or stream_name(event.symbol, "depth") not in self._listeners:
                continue
            before = self._seconds.setdefault(event.symbol, [])
            if before and event.first_id != before[-1].last_id + 1:
                # Joined across a lost event, they would hide the loss.
                found.append(second_message(before))
                before.clear()
            before.append(event)
        return found

    async def close(self, *, abrupt: bool) -> None:
        """End every connection."""
        await asyncio.gather(*(client.end(Cut(abrupt)) for client in self.clients))

    async def keep_timetable(self) -> None:
        """Carry out the faults' timetable on open connections, each moment when its time comes."""
        for moment in self._faults.timetable():
            await self._exchange.clock.until(moment.at_s)
            open_now = [one.as_open_connection() for one in self.clients if not one.has_ended]
            chosen = moment.choose(open_now)
            for client in self.clients:
                if client.number in chosen:
                    client.perform_now(moment.steps)

    # ── connections ─────────────────────────────────────────────────────────────────────────

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        exchange = self._exchange
        attempt = Attempt("ws", self._attempts, exchange.clock.now_s(), request.path)
        self._attempts += 1
        outcome = exchange.outcome(self._faults, attempt)
        if exchange.attempts.is_exceeded(exchange.real_clock.now_s()):
            exchange.violations["connections"] += 1
            outcome = Reset()
        refusal = await exchange.refusal(request, outcome)
        return await self._accept(request) if refusal is None else refusal

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        values = request.query if request.path == "/stream" else request.match_info
        names = values.get("streams", "").split("/")
        socket = web.WebSocketResponse(timeout=CLOSE_WITHIN_S, autoping=False, compress=False)
        await socket.prepare(request)
        exchange = self._exchange
        client = Client(exchange.connections, socket, request, exchange, self._faults)
        exchange.connections += 1
        exchange.subscribed[client.number] = set()
        self.clients.append(client)
        try:
            await self._subscribe(client, set(filter(None, names)))
            await client.serve(self._on_text)
        finally:
            self.clients.remove(client)
            del exchange.subscribed[client.number]
            self._count_listeners()
        return socket

    # ── subscriptions ───────────────────────────────────────────────────────────────────────

    async def _on_text(self, client: Client, text: str) -> None:
        streams, reply = _answer_request(text, self._exchange.subscribed[client.number])
        # Before the subscription: the reply comes before the first event.
        client.enqueue(Send(reply))
        await self._subscribe(client, streams)

    async def _subscribe(self, client: Client, streams: set[str]) -> None:
        if len(streams) > STREAMS_PER_CONNECTION:
            await client.end_for("streams")
            return
        new = streams.difference(*self._exchange.subscribed.values())
        self._exchange.subscribed[client.number] = streams
        client.subscribed_s = self._exchange.clock.now_s()
        self._count_listeners()
        self._exchange.pacer.expect_requests(self._symbols_of(new))

    def _count_listeners(self) -> None:
        self._listeners = defaultdict(list)
        for client in self.clients:
            for stream in self._exchange.subscribed[client.number]:
                self._listeners[stream].append(client)
        wanted = [streams for streams in self._exchange.subscribed.values() if streams]
        self._exchange.source.want(set().union(*wanted))
        self._exchange.pacer.set_listeners(len(wanted))

    def _symbols_of(self, streams: Iterable[str]) -> set[str]:
        """The symbols whose depth is among these streams."""
        names = (stream.partition("@") for stream in streams)
        return {
            self._symbols[name]
            for name, _, kind in names
            if name in self._symbols and kind.partition("@")[0] == "depth"
        }


class _Request(Struct):
    method: Literal["SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS"]
    id: int | str | None = None
    params: list[str] = []


def _answer_request(text: str, streams: set[str]) -> tuple[set[str], bytes]:
    """The streams that the client wants after this message, and the reply to it."""
    try:
        request = msgspec.json.decode(text, type=_Request)
    except msgspec.DecodeError as error:
        refusal = {"code": _INVALID_REQUEST, "msg": f"Invalid request: {error}"}
        return streams, msgspec.json.encode({"error": refusal, "id": None})
    if request.method == "SUBSCRIBE":
        streams = streams.union(request.params)
    elif request.method == "UNSUBSCRIBE":
        streams = streams.difference(request.params)
    result = sorted(streams) if request.method == "LIST_SUBSCRIPTIONS" else None
    return streams, msgspec.json.encode({"result": result, "id": request.id})
