"""The simulated exchange: Binance's protocol on one loopback port, over a market or a recording.

    async with SimServer(Market(seed=7)) as server:
        ...  # server.rest_url, server.ws_url

There are no faults unless `faults` has some. Events, witnesses, snapshots and best levels are encoded by
`booktape.wire`, so this exchange and the recorder cannot drift apart; other answers (the list of
symbols, the time, errors, replies to SUBSCRIBE) are encoded in this package.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final, Self

from aiohttp import web

from booktape.errors import UsageError
from booktape.sim.faults.fault import Faults
from booktape.sim.messages import Message
from booktape.sim.server.exchange import Exchange
from booktape.sim.server.rest import RestEndpoints
from booktape.sim.server.streams import Streams

HOST: Final = "127.0.0.1"
_SHUTDOWN_S: Final = 1.0
_LINE_BYTES_MAX: Final = 64 * 1_024
"""aiohttp's default of 8 kB would refuse request lines that the exchange accepts."""


class Host:
    """One address of the exchange: its REST and its WebSocket side, on a port of its own; 0 takes a free one."""

    def __init__(self, exchange: Exchange, faults: Faults, port: int) -> None:
        self.port = port
        self.streams = Streams(exchange, faults)
        app = web.Application()
        app.add_routes([*RestEndpoints(exchange, faults).routes(), *self.streams.routes()])
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_S,
            max_line_size=_LINE_BYTES_MAX,
            max_field_size=_LINE_BYTES_MAX,
        )

    async def open(self) -> None:
        """Open the port. Raises UsageError if that fails."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise UsageError(f"Port {self.port} cannot be opened: {error.strerror}.") from error
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Close the connections and the port."""
        await self.streams.close(abrupt=False)
        await self._runner.cleanup()


class SimServer(Exchange):
    """An exchange while its `async with` lasts. Its options are those of `Exchange`.

    A port of 0 takes a free one. `finished` is set when the source has ended and all of it has been
    handed to the clients; connections stay open.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.finished = asyncio.Event()
        self._hosts = [Host(self, self.faults, self.port)]
        if self.second is not None:
            self._hosts.append(Host(self, self.second, self.second_port))

    async def __aenter__(self) -> Self:
        """Open the port, or both ports. Raises UsageError if one cannot be opened."""
        async with AsyncExitStack() as opened:
            for host in self._hosts:
                await host.open()
                opened.push_async_callback(host.close)
            opened.pop_all()
        self.port, self.second_port = self._hosts[0].port, self._hosts[-1].port
        self.real_clock.start()
        timetables = (host.streams.keep_timetable() for host in self._hosts)
        self._tasks = [asyncio.create_task(work) for work in (self._play(), *timetables)]
        if self.start_at_once:
            self.clock.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close connections and ports. Raises the source's error, if there was one."""
        self.closing.set()
        for task in self._tasks:
            task.cancel()
        for host in self._hosts:
            await host.close()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    @property
    def rest_url(self) -> str:
        """The address before `/api/v3/…`."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        """The address before `/stream` and `/ws`."""
        return f"ws://{HOST}:{self.port}"

    @property
    def second_rest_url(self) -> str:
        """The second host's address before `/api/v3/…`; that of the only host if there is no second."""
        return f"http://{HOST}:{self.second_port}"

    @property
    def second_ws_url(self) -> str:
        """Likewise."""
        return f"ws://{HOST}:{self.second_port}"

    @property
    def symbols(self) -> list[str]:
        """The symbols that are listed now."""
        return list(self.listed())

    async def _play(self) -> None:
        try:
            await self.pacer.run(self._publish)
            for host in self._hosts:
                for client in list(host.streams.clients):
                    await client.queue.wait_until_done()
        finally:
            # Also after an error, which `async with` raises at its end.
            self.finished.set()

    async def _publish(self, messages: Sequence[Message]) -> None:
        for host in self._hosts:
            await host.streams.publish(messages)
