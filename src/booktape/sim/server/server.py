"""The simulated exchange: Binance's protocol on one loopback port, over a market or a recording.

    async with SimServer(Market(seed=7)) as server:
        ...  # server.rest_url, server.ws_url

Without faults unless `faults` has some. Events, witnesses, snapshots and best levels are encoded by
`booktape.wire`, so this exchange and the recorder cannot drift apart; other answers (the list of
symbols, the time, errors, replies to SUBSCRIBE) are spelled in this package.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from booktape.errors import UsageError
from booktape.sim.faults.base import Faults, MarketFault
from booktape.sim.faults.market import MarketFaults
from booktape.sim.messages import Message
from booktape.sim.server.context import ServerContext
from booktape.sim.server.limits import RequestLimits
from booktape.sim.server.pacing import ExchangeClock, Pacer
from booktape.sim.server.rest import RestEndpoints
from booktape.sim.server.streams import Streams
from booktape.sim.source import Source
from booktape.wire.endpoints import VENUES, Venue
from booktape.wire.limits import PONG_WITHIN_S

HOST: Final = "127.0.0.1"
_SHUTDOWN_S: Final = 1.0
_LINE_BYTES_MAX: Final = 64 * 1_024
"""aiohttp's default of 8 kB would refuse request lines that the exchange takes."""


class Host:
    """One address of the exchange: its REST and its WebSocket side, on a port of its own.

    `port` 0 takes a free one; `all_streams` has those of all hosts.
    """

    def __init__(self, context: ServerContext, port: int, all_streams: list[Streams]) -> None:
        self.port = port
        self.streams = Streams(context, all_streams)
        self._rest = RestEndpoints(context)

    async def open(self) -> None:
        """Raises UsageError when the port cannot be had."""
        app = web.Application()
        app.add_routes([*self._rest.routes(), *self.streams.routes()])
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
        await self.streams.close(abrupt=False)
        await self._runner.cleanup()


@dataclass(eq=False)
class SimServer:
    """An exchange while its `async with` lasts.

    `port` 0 takes a free one. `speed` 1 is real time, `math.inf` as fast as clients read (see
    `pacing`). The source starts at the first subscription, or at once with `start_at_once`; the
    exchange's clock then shows `start_us` (default: now). `finished` is set when the source has
    ended and all of it has been handed to the clients; connections stay open.
    `venue` has an exchange's numbers, of which `weight_per_minute` and `ping_s` can be given separately.
    `violations` counts, by rule, what clients did wrong (see `context`).
    With `second` the same market has a second host, on a port of its own, with these faults; the
    market's own faults are `faults`' alone. Limits and silences are a client's with both of them.
    Faults of a market that it cannot have raise UsageError.
    """

    source: Source
    _: KW_ONLY
    faults: Faults = field(default_factory=Faults)
    second: Faults | None = None
    port: int = 0
    second_port: int = 0
    speed: float = 1.0
    start_us: int | None = None
    start_at_once: bool = False
    venue: Venue = VENUES["binance"]
    weight_per_minute: int | None = None
    ping_s: float | None = None
    pong_within_s: float = PONG_WITHIN_S
    patience_s: float = 5.0

    def __post_init__(self) -> None:
        """Make everything that needs no event loop."""
        others = self.second.faults if self.second else ()
        answers = (fault for fault in others if not isinstance(fault, MarketFault))
        market = MarketFaults.of(*self.faults.faults, *answers)
        # Before anything else: it may list symbols.
        self.source.apply_faults(market)
        self.finished = asyncio.Event()
        self.violations: Counter[str] = Counter()
        self._clock = ExchangeClock(self.speed)
        pacer = Pacer(self.source, self._clock, self.speed, self.patience_s, self.start_us)
        per_minute = self.weight_per_minute or self.venue.weights.per_minute
        self._context = ServerContext(
            source=self.source,
            pacer=pacer,
            faults=self.faults,
            market=market,
            clock=self._clock,
            venue=self.venue,
            ping_s=self.ping_s or self.venue.ping_every_s,
            pong_within_s=self.pong_within_s,
            waits_for_clients=self.source.patient or math.isinf(self.speed),
            limits=RequestLimits(per_minute, self.violations),
            violations=self.violations,
        )
        streams: list[Streams] = []
        self._hosts = [Host(self._context, self.port, streams)]
        if self.second is not None:
            context = replace(self._context, faults=self.second)
            self._hosts.append(Host(context, self.second_port, streams))

    async def __aenter__(self) -> Self:
        """Open the port, or both. Raises UsageError when one cannot be opened."""
        async with AsyncExitStack() as opened:
            for host in self._hosts:
                await host.open()
                opened.push_async_callback(host.close)
            opened.pop_all()
        self.port, self.second_port = self._hosts[0].port, self._hosts[-1].port
        self._context.real_clock.start()
        timetables = (host.streams.keep_timetable() for host in self._hosts)
        self._tasks = [asyncio.create_task(work) for work in (self._play(), *timetables)]
        if self.start_at_once:
            self._clock.start()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close connections and ports. Raises an error of the source."""
        self._context.closing.set()
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
        """Of the second host; of the only one, where there is one."""
        return f"http://{HOST}:{self.second_port}"

    @property
    def second_ws_url(self) -> str:
        """Likewise."""
        return f"ws://{HOST}:{self.second_port}"

    @property
    def symbols(self) -> list[str]:
        """The symbols that are listed now."""
        return list(self._context.listed())

    @property
    def connections(self) -> int:
        """How many WebSocket connections were accepted so far."""
        return sum(host.streams.accepted for host in self._hosts)

    async def _play(self) -> None:
        try:
            await self._context.pacer.run(self._publish)
            for host in self._hosts:
                for client in list(host.streams.clients):
                    await client.queue.drained()
        finally:
            # Also after an error, which `async with` raises at its end.
            self.finished.set()

    async def _publish(self, messages: Sequence[Message]) -> None:
        for host in self._hosts:
            await host.streams.publish(messages)
