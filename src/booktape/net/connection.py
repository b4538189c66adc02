"""One WebSocket, from handshake to loss.

A task that does nothing else stamps each message before anything decodes it. So the stamp says when the
message left the socket, however far behind the rest of the recorder is. Known weakness: aiohttp hands messages
over in the loop's next turn, so a stamp is late by whatever the loop was doing in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import aiohttp
import structlog
from aiohttp import (
    ClientWebSocketResponse,
    ClientWSTimeout,
    WebSocketError,
    WSCloseCode,
    WSMsgType,
    WSServerHandshakeError,
)
from yarl import URL

from booktape.core.gap_reasons import DISCONNECTED
from booktape.core.tape_records import Connected, Disconnected, StreamMessage
from booktape.errors import Oversized
from booktape.net.context import NetContext, error_text
from booktape.net.rate_limit import RateLimit
from booktape.net.request_pause import PAUSE_STATUSES
from booktape.net.session import proxy_for
from booktape.wire.limits import CLIENT_MESSAGES_PER_S, MESSAGE_BYTES_MAX, PONG_WITHIN_S

SIGN_OF_LIFE_S: Final = PONG_WITHIN_S / 2
"""After this time without a sign of life we ping; after the same time again the connection is dead."""

ANSWERED_S: Final = 10.0
"""An exchange that rarely pings has this time to answer our ping before its silence means anything."""

HANDSHAKE_S: Final = 10.0
_CLOSE_S: Final = 2.0
_SIGNS_OF_LIFE: Final = frozenset(
    {WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE}
)
_OVER: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)

# Texts arrive as bytes: `decode_text=False`.
Socket: TypeAlias = ClientWebSocketResponse[Literal[False]]

log = structlog.get_logger()


class Connection:
    """Puts the messages of `symbols` into the queue until the connection is lost.

    When a successor should be opened, which the keeper does, `replacement_wanted` is set and `replace_because` says
    why. The connection asks for one itself when it is silent. `was_for_our_behaviour`: the exchange closed it with
    code 1008, so the next attempt has to wait.

    A full queue stops the reading, and TCP then stops the exchange: nothing is dropped here.
    """

    def __init__(
        self,
        context: NetContext,
        symbols: tuple[str, ...],
        number: int,
        ws_url: str,
    ) -> None:
        self.number = number
        self.ws_url = ws_url
        self.opened_s = context.clock.steady_s()
        self.is_subscribed = False
        self.has_delivered = False
        self.ended = asyncio.Event()
        self.why = ""
        self.was_for_our_behaviour = False
        self.replacement_wanted = asyncio.Event()
        self.replace_because = ""
        self._context = context
        self._symbols = symbols
        self._alive_ns = 0
        self._messages = RateLimit(CLIENT_MESSAGES_PER_S, window_s=1.0)
        self._socket: Socket | None = None
        self._reading: asyncio.Task[str] | None = None
        self._is_closed = False

    async def run(self) -> None:
        """Run from handshake to loss; then `ended` is set and `why` says what happened."""
        try:
            self.why = await self._connect()
        except WSServerHandshakeError as error:
            # Like the answer to a request, a refused handshake may ask for a pause.
            pause = self._context.pause
            asks = error.status in PAUSE_STATUSES
            why = pause.begin(error.status, error.headers or {}) if asks else error
            self.why = error_text(why)
        except (aiohttp.ClientError, OSError) as error:
            self.why = error_text(error)
        finally:
            self.is_subscribed = False
            self.ended.set()

    def want_replacement(self, why: str) -> None:
        """Ask for a successor; if there are several reasons, the first one counts."""
        if not self.replacement_wanted.is_set():
            self.replace_because = why
            self.replacement_wanted.set()

    async def close(self) -> None:
        """Close the connection, before or after the handshake; `run` then returns."""
        self._is_closed = True
        if self._socket is not None:
            await _end(self._socket)
        if self._reading is not None:
            # A peer that keeps sending would keep `receive` busy for ever, because it waits for the peer's close.
            self._reading.cancel()

    async def _connect(self) -> str:
        url = self._context.venue.stream_url(self._symbols, self._context.suffixes, self.ws_url)
        handshake = self._context.session.ws_connect(
            URL(url, encoded=True),
            proxy=proxy_for(url),
            autoping=False,
            # The first length that is refused, whether it is announced or reached by fragments.
            max_msg_size=MESSAGE_BYTES_MAX + 1,
            decode_text=False,
            timeout=ClientWSTimeout(ws_close=_CLOSE_S),
        )
        async with asyncio.timeout(HANDSHAKE_S):
            socket = await handshake
        try:
            return "no longer needed" if self._is_closed else await self._receive_until_lost(socket)
        finally:
            await _end(socket)

    async def _receive_until_lost(self, socket: Socket) -> str:
        clock, queue = self._context.clock, self._context.queue
        self._socket = socket
        self._alive_ns = clock.now_ns()
        await queue.put(Connected(self._alive_ns, self.number, self._symbols))
        self.is_subscribed = True
        log.info("connected", connection=self.number, symbols=len(self._symbols), to=self.ws_url)
        watch = asyncio.create_task(self._end_when_silent(socket))
        self._reading = asyncio.create_task(self._read(socket))
        try:
            why = await self._reading
        except (aiohttp.ClientError, OSError, Oversized) as error:
            why = error_text(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # the recorder ends
            why = "closed by us while the exchange was still sending"
        finally:
            watch.cancel()
        await queue.put(
            Disconnected(clock.now_ns(), self.number, self._alive_ns, DISCONNECTED, why)
        )
        return why

    async def _read(self, socket: Socket) -> str:
        """Stamp messages and put them into the queue until the connection ends. Returns why. Raises Oversized."""
        clock, queue, ticks = self._context.clock, self._context.queue, self._context.ticks
        while True:
            message = await socket.receive()
            if ticks.is_due():
                # The tick goes before the messages that waited in the socket while this process was stopped.
                await ticks.put()
            now_ns = clock.now_ns()
            if message.type in _SIGNS_OF_LIFE:
                self._alive_ns = now_ns
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                self.has_delivered = True
                await queue.put(StreamMessage(now_ns, self.number, message.data))
            elif message.type is WSMsgType.PING:
                # "When you receive a ping, you must send a pong with a copy of ping's payload as
                # soon as possible."
                await self._send_within_limit(socket.pong, message.data)
            elif message.type in _OVER:
                error = message.data
                if isinstance(error, WebSocketError) and error.code == WSCloseCode.MESSAGE_TOO_BIG:
                    most = f"{MESSAGE_BYTES_MAX >> 20} MiB"
                    raise Oversized(f"a message of more than {most}: thrown away")
                self.was_for_our_behaviour = socket.close_code == WSCloseCode.POLICY_VIOLATION
                # The exchange may add a reason, such as "Too many requests".
                reason = message.type is WSMsgType.CLOSE and message.extra
                return f"closed (code {socket.close_code}{f': {reason}' if reason else ''})"

    async def _send_within_limit(
        self, send: Callable[[bytes], Awaitable[None]], payload: bytes = b""
    ) -> None:
        """Send, unless it would exceed "5 incoming messages per second", PONGs included.

        If we do not answer a ping, more pings follow; if we send one message too many, we are cut off.
        """
        now_s = self._context.clock.steady_s()
        if self._messages.wait_s(1, now_s):
            return
        self._messages.spend(1, now_s)
        try:
            await send(payload)
        except (aiohttp.ClientError, OSError) as error:
            # The reader gets to the same end after everything that arrived before it, and reports it.
            log.debug("not sent", connection=self.number, error=error_text(error))

    async def _end_when_silent(self, socket: Socket) -> None:
        """Look for signs of life: a message, a ping, an answer to our ping. Without any, end the connection.

        A successor is requested when half of the time has passed.
        """
        pause = self._context.clock.pause
        pings_often = self._context.venue.ping_every_s < SIGN_OF_LIFE_S
        seen_ns = self._alive_ns
        while True:
            await pause(SIGN_OF_LIFE_S)
            if self._alive_ns == seen_ns and not pings_often:
                await self._send_within_limit(socket.ping)
                await pause(ANSWERED_S)
            if self._alive_ns == seen_ns:
                self.want_replacement("it is silent")
                await self._send_within_limit(socket.ping)
                await pause(SIGN_OF_LIFE_S)
                if self._alive_ns == seen_ns:
                    log.warning("dead connection", connection=self.number)
                    await _end(socket)
                    return
            seen_ns = self._alive_ns


async def _end(socket: Socket) -> None:
    """Close, and wait up to _CLOSE_S for the answer.

    aiohttp would wait that long for each further message, and so for ever if the peer keeps sending.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_S):
            await socket.close()
