"""One WebSocket client of the built-in exchange: what it subscribed to, and its way out.

Memory stays bounded: at most `QUEUE_MAX` messages wait for a client. A patient exchange (infinite
speed, a recording) then waits for it, and all others with it; an impatient one cuts it off, as the
real one does.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import WSMsgType, web

from booktape.sim.conditions import Delivery
from booktape.sim.faults import Faults
from booktape.sim.lies import Cut, Send, Step
from booktape.sim.source import Message

QUEUE_MAX: Final = 4_000
INCOMING_PER_SECOND: Final = 5
""" "WebSocket connections have a limit of 5 incoming messages per second."."""

CLOSE_WITHIN_S: Final = 1.0
"""So long a client has to answer a close frame."""

GOING_AWAY: Final = 1_001
POLICY_VIOLATION: Final = 1_008


@dataclass(frozen=True, slots=True)
class Manners:
    """How the exchange treats its clients. `violations` counts what they do wrong, by rule."""

    faults: Faults
    violations: Counter[str]
    ping_s: float
    pong_within_s: float
    patient: bool


class Client:
    """A connection that has been accepted; `serve` runs until it is gone."""

    def __init__(
        self,
        number: int,
        socket: web.WebSocketResponse,
        request: web.Request,
        manners: Manners,
        *,
        combined: bool,
    ) -> None:
        self.number = number
        self.streams: set[str] = set()
        self.gone = False
        self._socket = socket
        self._transport = request.transport
        self._manners = manners
        self._combined = combined
        self._microseconds = request.query.get("timeUnit", "").upper() == "MICROSECOND"
        self._queue: asyncio.Queue[Step] = asyncio.Queue(QUEUE_MAX)
        self._sent = 0
        self._pings: dict[bytes, float] = {}
        self._incoming: deque[float] = deque(maxlen=INCOMING_PER_SECOND)

    async def serve(self, on_text: Callable[[Client, str], Awaitable[None]]) -> None:
        """Send, ping and listen until one of the two sides ends it."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._write()),
                    group.create_task(self._ping()),
                    group.create_task(self._expire()),
                ]
                await self._read(on_text)
                for task in tasks:
                    task.cancel()
        finally:
            self._give_up()

    async def offer(self, message: Message, event_number: int) -> bool:
        """Queue one message, or what the faults make of it; whether any of it is on its way."""
        if self.gone:
            return False
        payload = message.payload(combined=self._combined, microseconds=self._microseconds)
        self._sent += 1
        delivery = Delivery(
            self.number, self._sent, event_number, message.stream, message.event, payload
        )
        steps = self._manners.faults.sends(delivery)
        for step in steps:
            await self._put(step)
        return any(isinstance(step, Send) for step in steps)

    async def reply(self, payload: bytes) -> None:
        """Queue an answer to the client's own message. Faults leave it alone."""
        await self._put(Send(payload))

    async def drained(self) -> None:
        """Return when all that was queued has left, or the client is gone."""
        await self._queue.join()

    async def end(self, *, abrupt: bool = False, code: int = GOING_AWAY) -> None:
        """End the connection now; what is queued is lost."""
        self._give_up()
        if not abrupt:
            try:
                async with asyncio.timeout(CLOSE_WITHIN_S):
                    await self._socket.close(code=code, drain=False)
            except TimeoutError:
                # It reads nothing, not even the goodbye.
                abrupt = True
        if abrupt and self._transport:
            self._transport.abort()

    # ── out ─────────────────────────────────────────────────────────────────────────────────

    async def _put(self, step: Step) -> None:
        if self._queue.full() and not self._manners.patient:
            self._manners.violations["slow"] += 1
            await self.end(abrupt=True)
        if not self.gone:
            await self._queue.put(step)
        if self.gone:
            # It left while this one waited for room.
            self._give_up()

    async def _write(self) -> None:
        while True:
            step = await self._queue.get()
            try:
                await self._do(step)
            finally:
                self._queue.task_done()

    async def _do(self, step: Step) -> None:
        if isinstance(step, Cut):
            await self.end(abrupt=step.abrupt)
        else:
            await self._transmit(step.payload, WSMsgType.TEXT)

    async def _transmit(self, payload: bytes, kind: WSMsgType) -> None:
        if self.gone:
            return
        try:
            await self._socket.send_frame(payload, kind)
        except ConnectionResetError:
            # The client has left; `_read` sees it too, and ends the rest.
            self._give_up()

    def _give_up(self) -> None:
        """Let go of everybody who waits for this client."""
        self.gone = True
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()

    async def _expire(self) -> None:
        """End the connection when a fault says that it has lived long enough."""
        if end := self._manners.faults.lifetime(self.number):
            seconds, cut = end
            await asyncio.sleep(seconds)
            await self.end(abrupt=cut.abrupt)

    async def _ping(self) -> None:
        """Ping with a payload of its own, and cut whoever has not answered in time."""
        count = 0
        while True:
            await asyncio.sleep(self._manners.ping_s)
            now_s = time.monotonic()
            if any(now_s - sent_s > self._manners.pong_within_s for sent_s in self._pings.values()):
                await self.violated("pong")
                return
            count += 1
            payload = b"%d-%d" % (self.number, count)
            self._pings[payload] = now_s
            await self._transmit(payload, WSMsgType.PING)

    async def violated(self, rule: str) -> None:
        """Count a broken rule and end the connection."""
        self._manners.violations[rule] += 1
        await self.end(code=POLICY_VIOLATION)

    # ── in ──────────────────────────────────────────────────────────────────────────────────

    async def _read(self, on_text: Callable[[Client, str], Awaitable[None]]) -> None:
        async for message in self._socket:
            await self._count()
            if message.type is WSMsgType.PING:
                await self._transmit(bytes(message.data), WSMsgType.PONG)
            elif message.type is WSMsgType.PONG:
                self._pong(bytes(message.data))
            elif message.type is WSMsgType.TEXT:
                await on_text(self, message.data)

    async def _count(self) -> None:
        """Every message counts: PING, PONG and SUBSCRIBE."""
        now_s = time.monotonic()
        full = len(self._incoming) == INCOMING_PER_SECOND
        if full and now_s - self._incoming[0] < 1:
            await self.violated("messages")
        self._incoming.append(now_s)

    def _pong(self, payload: bytes) -> None:
        """Unsolicited pongs without a payload are allowed; one with a wrong payload is not."""
        if self._pings.pop(payload, None) is None and payload:
            self._manners.violations["pong"] += 1
