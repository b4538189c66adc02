"""The built-in exchange: Binance's protocol on one loopback port, over a market or a recording.

    async with SimServer(Market(seed=7)) as server:
        ...  # server.rest_url, server.ws_url

Honest unless `faults` says otherwise. Events, witnesses, snapshots and best levels are encoded by
`booktape.wire`, so this exchange and the recorder cannot drift apart; other answers (the list of
symbols, the time, errors, replies to SUBSCRIBE) are spelled in this package.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from booktape.errors import UsageError
from booktape.sim.clock import Clock
from booktape.sim.faults import Faults
from booktape.sim.forgeries import Forger
from booktape.sim.manners import Manners
from booktape.sim.player import Player
from booktape.sim.rest import Rest
from booktape.sim.source import Source
from booktape.sim.streams import Streams
from booktape.sim.weight import TARIFFS, Tariff, Weights
from booktape.wire.limits import PONG_WITHIN_S

HOST: Final = "127.0.0.1"
_SHUTDOWN_S: Final = 1.0
_LINE_BYTES_MAX: Final = 64 * 1_024
"""aiohttp's default of 8 kB would refuse request lines that the exchange takes."""


@dataclass(eq=False)
class SimServer:
    """An exchange while its `async with` lasts.

    `port` 0 takes a free one. `speed` 1 is real time, `math.inf` as fast as clients take it (see
    `player`). The source starts at the first subscription, or at once with `start_at_once`; the
    exchange's clock then shows `start_us` (default: now). `finished` is set when the source has
    ended and all of it has been handed to the clients; connections stay open.
    `tariff` has a venue's numbers, of which `weight_per_minute` and `ping_s` can be told apart.
    `violations` counts, by rule, what clients did wrong: weight, retry-after, firewall, pong,
    messages, streams, connections, slow. The limits, Retry-After and pings run by the clients' clock, which
    is `client_speed` times faster than life: more than 1 for clients whose clock is, too.
    Faults of a market that it cannot have raise UsageError.
    """

    source: Source
    _: KW_ONLY
    faults: Faults = field(default_factory=Faults)
    port: int = 0
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
        """Put together all that needs no event loop."""
        # First of all: it may list symbols.
        self.source.obey(self.faults.incidents)
        self._forger = Forger(self.faults.lies)
        self.finished = asyncio.Event()
        self._clock = Clock(self.speed)
        self._player = Player(self.source, self._clock, self.speed, self.patience_s)
        self.violations: Counter[str] = Counter()
        per_minute = self.weight_per_minute or self.tariff.per_minute
        self._manners = Manners(
            faults=self.faults,
            clock=self._clock,
            client_clock=Clock(self.client_speed),
            time_us=self._time_us,
            steady_time_us=self._steady_time_us,
            tariff=self.tariff,
            ping_s=self.ping_s or self.tariff.ping_s,
            pong_within_s=self.pong_within_s,
            patient=self.source.patient or math.isinf(self.speed),
            weights=Weights(per_minute, self.ban_s, self.violations),
            violations=self.violations,
        )
        self._rest = Rest(self.source, self._player, self._manners)
        self._streams = Streams(self.source, self._player, self._manners)

    async def __aenter__(self) -> Self:
        """Open the port. Raises UsageError when it cannot be had."""
        app = web.Application()
        app.add_routes([*self._rest.routes(), *self._streams.routes()])
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
        self._manners.client_clock.start()
        self._tasks = [
            asyncio.create_task(self._play(), name="sim player"),
            asyncio.create_task(self._streams.keep_timetable(), name="sim timetable"),
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
        """Say goodbye to the clients and close the port. Raises what went wrong in playing."""
        for task in self._tasks:
            task.cancel()
        self._rest.answer_held(ended=True)
        await self.close_connections()
        self._manners.void.close()
        await self._runner.cleanup()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    @property
    def rest_url(self) -> str:
        """What stands before `/api/v3/…`."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        """What stands before `/stream` and `/ws`."""
        return f"ws://{HOST}:{self.port}"

    @property
    def symbols(self) -> list[str]:
        """What is listed now."""
        return list(self._rest.listed())

    @property
    def connections(self) -> int:
        """How many WebSocket connections were accepted so far."""
        return self._streams.accepted

    @property
    def open_connections(self) -> int:
        """How many of them are open."""
        return len(self._streams.clients)

    async def close_connections(self, *, abrupt: bool = False) -> None:
        """End every WebSocket connection now, with a close frame or abruptly."""
        await self._streams.close(abrupt=abrupt)

    async def _play(self) -> None:
        try:
            await self._player.run(self._now_us, self._step)
            self._rest.answer_held(ended=True)
            await self._streams.drained()
        finally:
            # Also after an error, which `async with` raises at its end: nobody waits in vain.
            self._rest.answer_held(ended=True)
            self.finished.set()

    def _now_us(self) -> int:
        return time.time_ns() // 1_000 if self.start_us is None else self.start_us

    def _time_us(self) -> int:
        """The time of day that the exchange would tell."""
        return self._steady_time_us() + self.faults.incidents.clock_step_us(self._player.now_s)

    def _steady_time_us(self) -> int:
        running_us = self._player.time_us()
        return self._now_us() if running_us is None else running_us

    async def _step(self) -> None:
        """One step of the source: whoever waits for a book has it before the events after it."""
        messages = self._forger.forged(self.source.advance(), self._player.now_s)
        self._rest.answer_held()
        await self._streams.publish(messages, self._player.now_s)
