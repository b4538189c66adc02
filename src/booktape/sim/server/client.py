"""One WebSocket client of the simulated exchange: what is sent to it, and what it sends.

An exchange that waits for clients (infinite speed, or a recording) waits for one that reads slowly, and all
others wait with it; otherwise a slow client is cut off, as by the real exchange.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import MappingProxyType
from typing import Final, assert_never

from aiohttp import WSMsgType, web

from booktape.sim.faults.conditions import Delivery
from booktape.sim.faults.fault import Faults
from booktape.sim.faults.steps import (
    POLICY_VIOLATION,
    Announce,
    Cut,
    Later,
    MakeHalfOpen,
    OpenConnection,
    Send,
    SingleStep,
    Step,
)
from booktape.sim.messages import Encoding, Message
from booktape.sim.server.exchange import Exchange
from booktape.sim.server.limits import INCOMING_PER_SECOND, JITTER_S, Rate
from booktape.sim.server.pings import Pings
from booktape.sim.server.step_queue import StepQueue
from booktape.sim.server.tcp import abort, discard_incoming
from booktape.wire.encode import encode_combined, encode_server_shutdown

CLOSE_WITHIN_S: Final = 1.0
"""How long a client has to answer a close frame."""

PONG_LOOKED_FOR_S: Final = 1.0
"""How long to wait for a pong that may lie unread in our own socket, before it counts as missing."""

_REASONS: Final = MappingProxyType(
    {"messages": "Too many requests", "pong": "Pong timeout", "streams": "Too many streams"}
)
"""The reason in the close frame, by the rule that was broken."""

_SHUTDOWN_STREAM: Final = "!serverShutdown"


class Client:
    """A connection that has been accepted; `serve` runs until it has ended."""

    def __init__(
        self,
        number: int,
        socket: web.WebSocketResponse,
        request: web.Request,
        exchange: Exchange,
        faults: Faults,
    ) -> None:
        self.number = number
        self.opened_s = exchange.clock.now_s()
        self.subscribed_s = 0.0
        self.has_ended = False
        self._socket = socket
        self._request = request
        self._exchange = exchange
        self._faults = faults
        unit = request.query.get("timeUnit", "").upper()
        self._encoding = Encoding(request.path == "/stream", microseconds=unit == "MICROSECOND")
        self.queue = StepQueue()
        self._is_half_open = False
        self._sent = 0
        self._pings = Pings(number)
        # PING, PONG and SUBSCRIBE all count.
        self._rate = Rate(INCOMING_PER_SECOND, 1 - JITTER_S)
        self._timers: list[asyncio.TimerHandle] = []
        self._group = asyncio.TaskGroup()

    async def serve(self, on_text: Callable[[Client, str], Awaitable[None]]) -> None:
        """Send, ping and read until either side ends the connection."""
        try:
            async with self._group:
                sending = self._group.create_task(self.queue.perform_all(self._perform))
                pinging = self._group.create_task(self._ping())
                self.perform_now(self._faults.steps(self.number))
                await self._read(on_text)
                self._discard()
                sending.cancel()
                pinging.cancel()
        finally:
            self._discard()

    def as_open_connection(self) -> OpenConnection:
        """This connection, as faults see it when they choose."""
        settled_s = self._exchange.clock.now_s() - self.subscribed_s
        streams = self._exchange.subscribed[self.number]
        return OpenConnection(self.number, frozenset(streams), settled_s)

    def offer(self, message: Message, number_in_stream: int, now_s: float) -> bool:
        """Queue one message, or what the faults make of it. Returns whether it will be sent unchanged.

        It will not be if `enqueue` finds the client too slow, and ends the connection.
        """
        if self.has_ended:
            return False
        payload = message.payload(self._encoding)
        self._sent += 1
        if not self._faults.change_messages:
            self.enqueue(Send(payload))
            return not self.has_ended
        delivery = Delivery(
            *(self.number, self._sent, number_in_stream, message.stream, message.event, payload),
            *(now_s, self.opened_s),
        )
        steps = self._faults.apply(delivery)
        for step in steps:
            self.enqueue(step)
        is_unchanged = any(isinstance(step, Send) and step.payload is payload for step in steps)
        return is_unchanged and not self.has_ended

    def perform_now(self, steps: Iterable[Step]) -> None:
        """Do these now: an end does not wait its turn behind queued messages."""
        for step in steps:
            if self.has_ended:
                return
            if isinstance(step, Cut):
                self._group.create_task(self._perform(step))
            elif isinstance(step, MakeHalfOpen):
                self._make_half_open()
            else:
                self.enqueue(step)

    async def end(self, cut: Cut) -> None:
        """End the connection now; queued messages are lost."""
        self._discard()
        if cut.abrupt or self._is_half_open:
            abort(self._request)
            return
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._socket.close(code=cut.code, message=cut.reason.encode(), drain=False)
        except TimeoutError:
            # The client reads nothing, not even the close frame.
            abort(self._request)

    async def end_for(self, rule: str) -> None:
        """Count a broken rule and end the connection."""
        self._exchange.violations[rule] += 1
        await self.end(Cut(abrupt=False, code=POLICY_VIOLATION, reason=_REASONS[rule]))

    # ── out ─────────────────────────────────────────────────────────────────────────────────

    def enqueue(self, step: Step) -> None:
        """Queue this step, to be performed in its turn. Faults do not change it."""
        if self.has_ended:
            return
        if isinstance(step, Later):
            delay_s = self._exchange.clock.real_s(step.after_s)
            loop = asyncio.get_running_loop()
            self._timers.append(loop.call_later(delay_s, self.perform_now, (step.step,)))
        elif self.queue.is_full and not self._exchange.waits_for_clients:
            self._exchange.violations["slow"] += 1
            self._discard()
            abort(self._request)
        else:
            self.queue.put(step)

    async def _perform(self, step: SingleStep) -> None:
        if isinstance(step, Send):
            wait_s = step.not_before_s - self._exchange.clock.now_s()
            if wait_s > 0:
                await self.queue.hold(self._exchange.clock.pause(wait_s))
            await self._transmit(step.payload, WSMsgType.BINARY if step.binary else WSMsgType.TEXT)
        elif isinstance(step, Announce):
            raw = encode_server_shutdown(self._exchange.time_us() // 1_000)
            combined = encode_combined(_SHUTDOWN_STREAM, raw) if self._encoding.combined else raw
            await self._transmit(combined, WSMsgType.TEXT)
        elif isinstance(step, Cut):
            await self.end(step)
        elif isinstance(step, MakeHalfOpen):
            self._make_half_open()
        else:
            assert_never(step)

    def _make_half_open(self) -> None:
        self._is_half_open = True
        discard_incoming(self._request)

    async def _transmit(self, payload: bytes, kind: WSMsgType) -> None:
        if self.has_ended or self._is_half_open:
            return
        try:
            await self._socket.send_frame(payload, kind)
        except ConnectionResetError:
            # The client has left; `_read` sees it too, and ends the rest.
            self._discard()

    def _discard(self) -> None:
        """Send nothing more, and wake all tasks that wait for this client."""
        self.has_ended = True
        for timer in self._timers:
            timer.cancel()
        self.queue.discard()

    async def _ping(self) -> None:
        """Send pings, each with its own payload, and end the connection when a pong is missing."""
        clock, within_s = self._exchange.real_clock, self._exchange.pong_within_s
        while True:
            await clock.pause(self._exchange.venue.ping_every_s)
            if self._pings.is_overdue(clock.now_s(), within_s):
                await clock.pause(PONG_LOOKED_FOR_S)
            if self._is_half_open:
                # No ping is sent, so no pong can be missed.
                return
            if self._pings.is_overdue(clock.now_s(), within_s + PONG_LOOKED_FOR_S):
                await self.end_for("pong")
                return
            await self._transmit(self._pings.next(clock.now_s()), WSMsgType.PING)

    # ── in ──────────────────────────────────────────────────────────────────────────────────

    async def _read(self, on_text: Callable[[Client, str], Awaitable[None]]) -> None:
        async for message in self._socket:
            if self._rate.is_exceeded(self._exchange.real_clock.now_s()):
                await self.end_for("messages")
                return
            if message.type is WSMsgType.PING:
                await self._transmit(bytes(message.data), WSMsgType.PONG)
            elif message.type is WSMsgType.PONG:
                if not self._pings.accept_pong(bytes(message.data)):
                    self._exchange.violations["pong"] += 1
            elif message.type is WSMsgType.TEXT:
                await on_text(self, message.data)
