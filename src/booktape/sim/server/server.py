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
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from booktape.errors import UsageError
from booktape.sim.faults.base import Faults, MarketFault
from booktape.sim.faults.market import MarketFaults
from booktape.sim.faults.undetectable import MessageChanger
from booktape.sim.server.context import ServerContext
from booktape.sim.server.limits import TARIFFS, RequestLimits, Tariff
from booktape.sim.server.pacing import ExchangeClock, Pacer
from booktape.sim.server.rest import RestEndpoints
from booktape.sim.server.sockets import HalfOpenSockets
from booktape.sim.server.streams import Streams
from booktape.sim.source import Source
from booktape.wire.limits import PONG_WITHIN_S

HOST: Final = "127.0.0.1"
_SHUTDOWN_S: Final = 1.0
_LINE_BYTES_MAX: Final = 64 * 1_024
"""aiohttp's default of 8 kB would refuse request lines that the exchange takes."""


class Host:
    """One address of the exchange: its REST and its WebSocket side, on a port of its own.

    `port` 0 takes a free one; `all_streams` has those of all hosts.
    """

    def __init__(
        self,
        source: Source,
        pacer: Pacer,
        context: ServerContext,
        port: int,
        all_streams: list[Streams],
    ) -> None:
        self.port = port
        self.rest = RestEndpoints(source, pacer, context)
        self.streams = Streams(source, pacer, context, all_streams)
        self.changer = MessageChanger(context.faults.faults)
        self._half_open = context.half_open

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
        self._half_open.close()
        await self._runner.cleanup()


@dataclass(eq=False)
class SimServer:
    """An exchange while its `async with` lasts.

    `port` 0 takes a free one. `speed` 1 is real time, `math.inf` as fast as clients read (see
    `pacing`). The source starts at the first subscription, or at once with `start_at_once`; the
    exchange's clock then shows `start_us` (default: now). `finished` is set when the source has
    ended and all of it has been handed to the clients; connections stay open.
    `tariff` has a venue's numbers, of which `weight_per_minute` and `ping_s` can be given separately.
    `violations` counts, by rule, what clients did wrong: weight, retry-after, firewall, pong,
    messages, streams, connections, slow. The limits, Retry-After and pings run by the clients' clock, which
    is `client_speed` times faster than real time: more than 1 for clients whose clock is, too.
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
    client_speed: float = 1.0
    start_us: int | None = None
    start_at_once: bool = False
    tariff: Tariff = TARIFFS["binance"]
    weight_per_minute: int | None = None
    ban_s: float = 120.0
    ping_s: float | None = None
    pong_within_s: float = PONG_WITHIN_S
    patience_s: float = 5.0

    def __post_init__(self) -> None:
        """Make everything that needs no event loop."""
        self._market_faults = self._of_both_hosts()
        # Before anything else: it may list symbols.
        self.source.apply_faults(self._market_faults)
        self.finished = asyncio.Event()
        self.violations: Counter[str] = Counter()
        self._clock = ExchangeClock(self.speed)
        self._pacer = Pacer(self.source, self._clock, self.speed, self.patience_s)
        per_minute = self.weight_per_minute or self.tariff.per_minute
        context = ServerContext(
            faults=self.faults,
            market=self._market_faults,
            clock=self._clock,
            client_clock=ExchangeClock(self.client_speed),
            time_us=self._time_us,
            steady_time_us=self._steady_time_us,
            tariff=self.tariff,
            ping_s=self.ping_s or self.tariff.ping_s,
            pong_within_s=self.pong_within_s,
            waits_for_clients=self.source.patient or math.isinf(self.speed),
            limits=RequestLimits(per_minute, self.ban_s, self.violations),
            violations=self.violations,
        )
        self._client_clock = context.client_clock
        streams: list[Streams] = []
        self._hosts = [Host(self.source, self._pacer, context, self.port, streams)]
        if self.second is not None:
            context = replace(context, faults=self.second, half_open=HalfOpenSockets())
            second = Host(self.source, self._pacer, context, self.second_port, streams)
            self._hosts.append(second)

    def _of_both_hosts(self) -> MarketFaults:
        """Raises UsageError for a fault of the market that only the second host has."""
        others = self.second.faults if self.second else ()
        for fault in others:
            if isinstance(fault, MarketFault) and fault not in self.faults.faults:
                raise UsageError(f"{type(fault).__name__} happens to the market, not to one host.")
        answers = (fault for fault in others if not isinstance(fault, MarketFault))
        return MarketFaults.of(*self.faults.faults, *answers)

    async def __aenter__(self) -> Self:
        """Open the port, or both. Raises UsageError when one cannot be opened."""
        async with AsyncExitStack() as opened:
            for host in self._hosts:
                await host.open()
                opened.push_async_callback(host.close)
            opened.pop_all()
        self.port, self.second_port = self._hosts[0].port, self._hosts[-1].port
        self._client_clock.start()
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
        return list(self._hosts[0].rest.listed())

    @property
    def connections(self) -> int:
        """How many WebSocket connections were accepted so far."""
        return sum(host.streams.accepted for host in self._hosts)

    async def _play(self) -> None:
        try:
            await self._pacer.run(self._now_us, self._step)
            self._answer_held_at_the_end()
            for host in self._hosts:
                await host.streams.drained()
        finally:
            # Also after an error, which `async with` raises at its end: no task waits for ever.
            self._answer_held_at_the_end()
            self.finished.set()

    async def _step(self) -> None:
        """One step of the source, sent by every host."""
        messages, now_s = self.source.advance(), self._pacer.now_s
        for host in self._hosts:
            # A client that waits for a book gets it before the events after it.
            host.rest.answer_held()
            await host.streams.publish(host.changer.changed(messages, now_s), now_s)

    def _answer_held_at_the_end(self) -> None:
        for host in self._hosts:
            host.rest.answer_held(ended=True)

    def _now_us(self) -> int:
        return time.time_ns() // 1_000 if self.start_us is None else self.start_us

    def _time_us(self) -> int:
        """The exchange's time of day."""
        return self._steady_time_us() + self._market_faults.clock_step_us(self._pacer.now_s)

    def _steady_time_us(self) -> int:
        running_us = self._pacer.time_us()
        return self._now_us() if running_us is None else running_us
