"""The stream door: keeps one connection's worth of streams coming, for ever.

Each frame is stamped by a task that does nothing else, before anything looks into it: however far
behind the rest is, the stamp says when the frame left the socket. Known weakness: aiohttp hands
frames over on the loop's next turn, so a stamp is late by what the loop was doing meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import aiohttp
import structlog
from aiohttp import ClientTimeout, ClientWebSocketResponse, ClientWSTimeout, WSMsgType
from yarl import URL

from booktape.core.frames import DISCONNECTED, Connected, Disconnected, StreamFrame
from booktape.net.backoff import full_jitter
from booktape.net.link import Link, reason
from booktape.wire.limits import PONG_WITHIN_S

HEALTHY_S: Final = 60.0
"""A connection that lived so long was a success: the next failure starts with short pauses."""

LOOK_EVERY_S: Final = PONG_WITHIN_S / 2
"""After so long without a sign of life we ping; after as long again the connection is dead."""

_CLOSE_S: Final = 5.0
_CONNECT: Final = ClientTimeout(total=None, sock_connect=10, sock_read=10)
_SIGNS_OF_LIFE: Final = frozenset(
    {WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE}
)
_OVER: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)

# Texts arrive as bytes: `decode_text=False`.
Socket: TypeAlias = ClientWebSocketResponse[Literal[False]]

log = structlog.get_logger()


class Feed:
    """One connection, replaced whenever it is lost. `numbers` makes each connection's own number.

    A full `inbox` stops the reading, and TCP then stops the exchange: nothing is dropped here.
    """

    def __init__(self, link: Link, symbols: tuple[str, ...], numbers: Iterator[int]) -> None:
        self.symbols = symbols
        self.number = 0
        self._link = link
        self._clock = link.clock
        self._inbox = link.inbox
        self._url = link.venue.stream_url(symbols)
        self._numbers = numbers
        self._alive_ns = 0
        self._socket: Socket | None = None

    async def run(self) -> None:
        """Connect, read, and connect again, until cancelled."""
        pauses = full_jitter(random.uniform)
        while True:
            began_s = self._clock.steady_s()
            why = await self._connection()
            if self._clock.steady_s() - began_s >= HEALTHY_S:
                pauses = full_jitter(random.uniform)
            pause_s = next(pauses)
            log.warning(
                "no connection",
                tried=self._url[:100],
                error=why,
                again_in_s=round(pause_s, 1),
                symbols=len(self.symbols),
            )
            await self._clock.pause(pause_s)

    async def replace(self, number: int) -> None:
        """Give up connection `number`, if it is still the one in use; `run` opens another."""
        if self._socket is not None and self.number == number:
            await self._socket.close()

    async def _connection(self) -> str:
        """One connection, from handshake to loss. Returns why it ended."""
        try:
            async with self._link.session.ws_connect(
                URL(self._url, encoded=True),
                autoping=False,
                max_msg_size=0,
                decode_text=False,
                timeout=ClientWSTimeout(ws_close=_CLOSE_S),
            ) as socket:
                return await self._carry(socket)
        except (aiohttp.ClientError, OSError) as error:
            return reason(error)

    async def _carry(self, socket: Socket) -> str:
        self._socket = socket
        self.number = next(self._numbers)
        self._alive_ns = self._clock.now_ns()
        await self._inbox.put(Connected(self._alive_ns, self.number, self.symbols))
        log.info("connected", connection=self.number, symbols=len(self.symbols))
        watch = asyncio.create_task(self._watch(socket))
        try:
            why = await self._read(socket)
        except (aiohttp.ClientError, OSError) as error:
            why = reason(error)
        finally:
            watch.cancel()
            self._socket = None
        now_ns = self._clock.now_ns()
        await self._inbox.put(Disconnected(now_ns, self.number, self._alive_ns, DISCONNECTED, why))
        return why

    async def _read(self, socket: Socket) -> str:
        """Stamp frames into the inbox until the connection is over."""
        while True:
            message = await socket.receive()
            now_ns = self._clock.now_ns()
            if message.type in _SIGNS_OF_LIFE:
                self._alive_ns = now_ns
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                frame = StreamFrame(now_ns, self.number, message.data)
                await self._inbox.put(frame)
            elif message.type is WSMsgType.PING:
                # "When you receive a ping, you must send a pong with a copy of ping's payload as
                # soon as possible."
                await socket.pong(message.data)
            elif message.type in _OVER:
                return f"closed by the server (code {socket.close_code})"

    async def _watch(self, socket: Socket) -> None:
        """End a connection that shows no sign of life: no frame, no ping, no answer to ours."""
        seen_ns = self._alive_ns
        while True:
            await self._clock.pause(LOOK_EVERY_S)
            if self._alive_ns == seen_ns:
                await self._ping(socket)
                await self._clock.pause(LOOK_EVERY_S)
                if self._alive_ns == seen_ns:
                    log.warning("silent connection", connection=self.number)
                    await socket.close()
                    return
            seen_ns = self._alive_ns

    async def _ping(self, socket: Socket) -> None:
        try:
            await socket.ping()
        except (aiohttp.ClientError, OSError) as error:
            # The reader meets the same end, and says so.
            log.debug("ping failed", connection=self.number, error=reason(error))
