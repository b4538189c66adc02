"""One WebSocket client of the built-in exchange: what it subscribed to, and its way out.

A patient exchange (infinite speed, a recording) waits for a client that reads slowly, and all
others with it; an impatient one cuts it off, as the real one does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import MappingProxyType
from typing import Final

from aiohttp import WSMsgType, web

from booktape.sim.faults.actions import (
    GOING_AWAY,
    POLICY_VIOLATION,
    Announce,
    Cut,
    Later,
    Mute,
    OpenConnection,
    Send,
    Step,
)
from booktape.sim.faults.conditions import Delivery
from booktape.sim.messages import Encoding, Message
from booktape.sim.server.context import Pings, ServerContext, message_rate
from booktape.sim.server.http import abort
from booktape.sim.server.send_queue import SendQueue
from booktape.sim.server.websocket import flows, frame, write
from booktape.wire.encode import encode_combined, encode_server_shutdown

CLOSE_WITHIN_S: Final = 1.0
"""So long a client has to answer a close frame."""

PONG_LOOKED_FOR_S: Final = 1.0
"""A pong may lie unread in our own socket: so long we look for it before it is called missing."""

_REASONS: Final = MappingProxyType(
    {"messages": "Too many requests", "pong": "Pong timeout", "streams": "Too many streams"}
)
"""What a close frame says of the rule that was broken."""

_SHUTDOWN_STREAM: Final = "!serverShutdown"


class Client:
    """A connection that has been accepted; `serve` runs until it is gone."""

    def __init__(
        self,
        number: int,
        socket: web.WebSocketResponse,
        request: web.Request,
        manners: ServerContext,
        *,
        combined: bool,
    ) -> None:
        self.number = number
        self.streams: set[str] = set()
        self.opened_s = manners.clock.now_s()
        self.subscribed_s = 0.0
        self.gone = False
        self._socket = socket
        self._request = request
        self._manners = manners
        in_microseconds = request.query.get("timeUnit", "").upper() == "MICROSECOND"
        self._encoding = Encoding(combined=combined, microseconds=in_microseconds)
        self._outbox = SendQueue(manners.clock)
        self._muted = False
        self._sent = 0
        self._pings = Pings(number)
        self._rate = message_rate()
        self._timers: list[asyncio.TimerHandle] = []
        self._group: asyncio.TaskGroup | None = None

    async def serve(self, on_text: Callable[[Client, str], Awaitable[None]]) -> None:
        """Send, ping and listen until one of the two sides ends it."""
        try:
            async with asyncio.TaskGroup() as self._group:
                tasks = [
                    self._group.create_task(self._outbox.deliver(self._do_all)),
                    self._group.create_task(self._ping()),
                ]
                self.undergo(self._manners.faults.steps_for(self.number))
                await self._read(on_text)
                self._give_up()
                for task in tasks:
                    task.cancel()
        finally:
            self._give_up()
            self._manners.void.leave(self._request)

    def standing(self) -> OpenConnection:
        """As faults see it."""
        settled_s = self._manners.clock.now_s() - self.subscribed_s
        return OpenConnection(self.number, frozenset(self.streams), settled_s)

    def offer(self, message: Message, event_number: int, now_s: float) -> bool:
        """Queue one message, or what the faults make of it; whether it is on its way."""
        if self.gone:
            return False
        payload = message.payload(self._encoding)
        self._sent += 1
        if not self._manners.faults.change_messages:
            self._put(Send(payload))
            return True
        delivery = Delivery(
            *(self.number, self._sent, event_number, message.stream, message.event, payload),
            *(now_s, self.opened_s),
        )
        steps = self._manners.faults.apply(delivery)
        for step in steps:
            self._put(step)
        return any(isinstance(step, Send) and step.payload is payload for step in steps)

    async def room(self) -> None:
        """Return when the next message may be offered; at once unless the exchange is patient."""
        if self._manners.patient:
            await self._outbox.room()

    def reply(self, payload: bytes) -> None:
        """Queue an answer to the client's own message. Faults leave it alone."""
        self._put(Send(payload))

    def undergo(self, steps: Iterable[Step]) -> None:
        """Do these now: an end does not wait for its turn behind what is queued."""
        for step in steps:
            if self.gone or self._group is None:
                return
            if isinstance(step, Cut):
                self._group.create_task(self._do(step))
            elif isinstance(step, Mute):
                self._mute()
            else:
                self._put(step)

    async def drained(self) -> None:
        """Return when all that was queued has left, or the client is gone."""
        await self._outbox.drained()

    async def end(self, *, abrupt: bool = False, code: int = GOING_AWAY, reason: str = "") -> None:
        """End the connection now; what is queued is lost."""
        self._give_up()
        if not (abrupt or self._muted):
            try:
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    await self._socket.close(code=code, message=reason.encode(), drain=False)
            except TimeoutError:
                # It reads nothing, not even the goodbye.
                abrupt = True
        if abrupt or self._muted:
            abort(self._request)

    async def violated(self, rule: str) -> None:
        """Count a broken rule and end the connection."""
        self._manners.violations[rule] += 1
        await self.end(code=POLICY_VIOLATION, reason=_REASONS.get(rule, ""))

    # ── out ─────────────────────────────────────────────────────────────────────────────────

    def _put(self, step: Step) -> None:
        if self.gone:
            return
        if isinstance(step, Later):
            delay_s = self._manners.clock.real_s(step.after_s)
            loop = asyncio.get_running_loop()
            self._timers.append(loop.call_later(delay_s, self.undergo, (step.step,)))
        elif self._outbox.overdrawn and not self._manners.patient:
            self._manners.violations["slow"] += 1
            self._give_up()
            abort(self._request)
        else:
            self._outbox.put(step)

    async def _do_all(self, steps: list[Step]) -> None:
        """All in order; messages whose time has come leave together, as far as nothing is stuck."""
        ready = bytearray()
        for step in steps:
            if isinstance(step, Send) and self._may_go_at_once(step):
                ready += frame(step.payload, binary=step.binary)
                continue
            self._write(ready)
            ready.clear()
            await self._do(step)
        self._write(ready)

    def _may_go_at_once(self, step: Send) -> bool:
        """Else it has to wait: for its time, or (which aiohttp sees to) for the client's reading."""
        due = not step.not_before_s or step.not_before_s <= self._manners.clock.now_s()
        return due and flows(self._request)

    def _write(self, frames: bytearray) -> None:
        if frames and not (self.gone or self._muted):
            write(self._request, bytes(frames))

    async def _do(self, step: Step) -> None:
        if isinstance(step, Send):
            await self._outbox.hold_back(step.not_before_s)
            kind = WSMsgType.BINARY if step.binary else WSMsgType.TEXT
            await self._transmit(step.payload, kind)
        elif isinstance(step, Announce):
            await self._transmit(self._announcement(), WSMsgType.TEXT)
        elif isinstance(step, Cut):
            await self.end(abrupt=step.abrupt, code=step.code, reason=step.reason)
        elif isinstance(step, Mute):
            self._mute()

    async def _transmit(self, payload: bytes, kind: WSMsgType) -> None:
        if self.gone or self._muted:
            return
        try:
            await self._socket.send_frame(payload, kind)
        except ConnectionResetError:
            # The client has left; `_read` sees it too, and ends the rest.
            self._give_up()

    def _announcement(self) -> bytes:
        raw = encode_server_shutdown(self._manners.time_us() // 1_000)
        return encode_combined(_SHUTDOWN_STREAM, raw) if self._encoding.combined else raw

    def _mute(self) -> None:
        self._muted = True
        self._manners.void.take(self._request)

    def _give_up(self) -> None:
        """Let go of everybody who waits for this client."""
        self.gone = True
        for timer in self._timers:
            timer.cancel()
        self._outbox.close()

    async def _ping(self) -> None:
        """Ping with a payload of its own, and cut whoever has not answered in time."""
        clock, within_s = self._manners.client_clock, self._manners.pong_within_s
        while True:
            await clock.pause(self._manners.ping_s)
            if self._pings.overdue(clock.now_s(), within_s):
                await clock.pause(PONG_LOOKED_FOR_S)
            if self._muted:
                # No ping leaves it, so no pong can be missed.
                return
            if self._pings.overdue(clock.now_s(), within_s + PONG_LOOKED_FOR_S):
                await self.violated("pong")
                return
            await self._transmit(self._pings.next(clock.now_s()), WSMsgType.PING)

    # ── in ──────────────────────────────────────────────────────────────────────────────────

    async def _read(self, on_text: Callable[[Client, str], Awaitable[None]]) -> None:
        async for message in self._socket:
            # Every message counts: PING, PONG and SUBSCRIBE.
            if self._rate.exceeded(self._manners.client_clock.now_s()):
                await self.violated("messages")
                return
            if message.type is WSMsgType.PING:
                await self._transmit(bytes(message.data), WSMsgType.PONG)
            elif message.type is WSMsgType.PONG:
                self._pong(bytes(message.data))
            elif message.type is WSMsgType.TEXT:
                await on_text(self, message.data)

    def _pong(self, payload: bytes) -> None:
        if not self._pings.answered(payload):
            self._manners.violations["pong"] += 1
