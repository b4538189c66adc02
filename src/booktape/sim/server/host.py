"""One address of the exchange: its REST and its WebSocket side, on a port of its own.

An exchange can have two: the same market, the same ids, the same limits for a client's address, and
faults of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from booktape.errors import UsageError
from booktape.sim.faults.undetectable import MessageChanger
from booktape.sim.messages import Message
from booktape.sim.server.context import ServerContext
from booktape.sim.server.pacing import Pacer
from booktape.sim.server.rest import RestEndpoints
from booktape.sim.server.streams import Streams
from booktape.sim.source import Source

HOST: Final = "127.0.0.1"
_SHUTDOWN_S: Final = 1.0
_LINE_BYTES_MAX: Final = 64 * 1_024
"""aiohttp's default of 8 kB would refuse request lines that the exchange takes."""


class Host:
    """Serves one address. `port` 0 takes a free one; `streams` has those of all hosts."""

    def __init__(
        self,
        source: Source,
        pacer: Pacer,
        context: ServerContext,
        port: int,
        streams: list[Streams],
    ) -> None:
        self.port = port
        self.rest = RestEndpoints(source, pacer, context)
        self.streams = Streams(source, pacer, context, streams)
        self._context = context
        self._changer = MessageChanger(context.faults.faults)

    @property
    def rest_url(self) -> str:
        """The address before `/api/v3/…`."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        """The address before `/stream` and `/ws`."""
        return f"ws://{HOST}:{self.port}"

    async def open(self) -> None:
        """Raises UsageError when the port cannot be had."""
        app = web.Application()
        app.add_routes([*self.rest.routes(), *self.streams.routes()])
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_S,
            max_line_size=_LINE_BYTES_MAX,
            max_field_size=_LINE_BYTES_MAX,
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise UsageError(f"Port {self.port} cannot be opened: {error.strerror}.") from error
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Close the connections and the port."""
        self.rest.answer_held(ended=True)
        await self.streams.close(abrupt=False)
        self._context.half_open.close()
        await self._runner.cleanup()

    async def publish(self, messages: Sequence[Message], now_s: float) -> None:
        """Send one step of the source: a client that waits for a book gets it before the events after it."""
        sent = self._changer.changed(messages, now_s)
        self.rest.answer_held()
        await self.streams.publish(sent, now_s)
