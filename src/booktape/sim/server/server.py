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
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from types import TracebackType
from typing import Self

from booktape.errors import UsageError
from booktape.sim.faults.base import Faults
from booktape.sim.faults.market import MarketFaults
from booktape.sim.server.context import ServerContext
from booktape.sim.server.half_open import HalfOpenSockets
from booktape.sim.server.host import Host
from booktape.sim.server.limits import TARIFFS, RequestLimits, Tariff
from booktape.sim.server.pacing import ExchangeClock, Pacer
from booktape.sim.server.streams import Streams
from booktape.sim.source import Source
from booktape.wire.limits import PONG_WITHIN_S


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
        self._clock = ExchangeClock(self.speed)
        self._pacer = Pacer(self.source, self._clock, self.speed, self.patience_s)
        self.violations: Counter[str] = Counter()
        per_minute = self.weight_per_minute or self.tariff.per_minute
        self._context = ServerContext(
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
        streams: list[Streams] = []
        source, pacer, context = self.source, self._pacer, self._context
        self._first = Host(source, pacer, context, self.port, streams)
        self._hosts = [self._first]
        if self.second is not None:
            others = replace(context, faults=self.second, half_open=HalfOpenSockets())
            self._hosts.append(Host(source, pacer, others, self.second_port, streams))

    def _of_both_hosts(self) -> MarketFaults:
        """Raises UsageError for a fault of the market that only the second host has."""
        first = self.faults.market
        if self.second is None:
            return first
        second = self.second.market
        for fault in second.faults:
            if fault not in first.faults:
                raise UsageError(f"{type(fault).__name__} happens to the market, not to one host.")
        return replace(first, memory_events=max(first.memory_events, second.memory_events))

    async def __aenter__(self) -> Self:
        """Open the port, or both. Raises UsageError when one cannot be opened."""
        opened: list[Host] = []
        try:
            for host in self._hosts:
                await host.open()
                opened.append(host)
        except UsageError:
            for host in opened:
                await host.close()
            raise
        self.port, self.second_port = self._first.port, self._hosts[-1].port
        self._context.client_clock.start()
        self._tasks = [
            asyncio.create_task(self._play(), name="sim player"),
            *(
                asyncio.create_task(host.streams.keep_timetable(), name="sim timetable")
                for host in self._hosts
            ),
        ]
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
        return self._first.rest_url

    @property
    def ws_url(self) -> str:
        """The address before `/stream` and `/ws`."""
        return self._first.ws_url

    @property
    def second_rest_url(self) -> str:
        """Of the second host; of the only one, where there is one."""
        return self._hosts[-1].rest_url

    @property
    def second_ws_url(self) -> str:
        """Likewise."""
        return self._hosts[-1].ws_url

    @property
    def symbols(self) -> list[str]:
        """The symbols that are listed now."""
        return list(self._first.rest.listed())

    @property
    def connections(self) -> int:
        """How many WebSocket connections were accepted so far."""
        return sum(host.streams.accepted for host in self._hosts)

    @property
    def open_connections(self) -> int:
        """How many WebSocket connections are open."""
        return sum(len(host.streams.clients) for host in self._hosts)

    async def close_connections(self, *, abrupt: bool = False) -> None:
        """End every WebSocket connection now, with a close frame or abruptly."""
        for host in self._hosts:
            await host.streams.close(abrupt=abrupt)

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

    async def _step(self) -> None:
        """One step of the source, sent by every host."""
        messages = self.source.advance()
        for host in self._hosts:
            await host.publish(messages, self._pacer.now_s)
