"""Keepers: each keeps its symbols connected, for ever.

A lost connection is followed by another. A connection that is about to be lost (its lifetime ends, its server
shuts down, it is silent, it delivered a malformed frame) gets its successor *before* it is closed: make before
break. The two overlap until the successor has delivered everything that the old connection has delivered.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any, Final

import structlog

from booktape.net.backoff import full_jitter
from booktape.net.connection import Connection
from booktape.net.context import NetContext
from booktape.net.http import CONCURRENCY_MAX
from booktape.net.rate_limit import RateLimit
from booktape.processes import descriptors
from booktape.processes.terminal import counted
from booktape.wire.limits import ATTEMPTS_PER_WINDOW, ATTEMPTS_WINDOW_S, CONNECTION_LIFE_S

HEALTHY_S: Final = 60.0
DELIVERED_S: Final = 1.0
"""A connection that lived HEALTHY_S, or delivered data and lived DELIVERED_S, resets the backoff. A connection
that is accepted and cut at once does not, or we would try again without a pause."""

POLICY_PAUSE_S: Final = 60.0
"""Extra pause after the exchange closed a connection for our behaviour (1008). It does not say how long to wait;
its limits are counted by the minute."""

AFTER_PAUSE_SPREAD_S: Final = 5.0
"""After a pause that the exchange asked for, connections are opened one by one within this time: if the first one
is told to wait again, the others wait too."""

OVERLAP_CHECK_S: Final = 1.0
OVERLAP_MAX_S: Final = 60.0
"""How often the successor is compared with the old connection, and after how long the old one is closed anyway."""

_DAY_S: Final = 86_400.0

log = structlog.get_logger()


def check_descriptors(context: NetContext, symbols: tuple[str, ...], connections: int) -> None:
    """Raise TooFewDescriptors unless this process may open the sockets that these symbols need.

    Each connection needs two, because its successor is opened before it is closed.
    """
    streams = 2 * connections * len(context.venue.split(symbols, context.suffixes))
    what = f"{counted(len(symbols), 'symbol')} on --connections {connections}"
    descriptors.require(descriptors.OWN + streams + CONCURRENCY_MAX, what)


class ConnectionLimits:
    """What all keepers of a recorder share: the limit on attempts, and connection numbers, from 1, each used once.

    `covers(old, new)` says whether connection `new` has delivered everything that `old` has delivered.
    """

    def __init__(
        self,
        covers: Callable[[int, int], bool],
        longest_life_s: float = CONNECTION_LIFE_S,
        sharers: int = 1,
    ) -> None:
        self.covers = covers
        self.longest_life_s = longest_life_s
        self.attempts = RateLimit(ATTEMPTS_PER_WINDOW // sharers, ATTEMPTS_WINDOW_S)
        self.numbers = itertools.count(1)

    def lifetime_s(self) -> float:
        """How long a connection may live: until a random moment in the last 1/24 of the longest life."""
        before_s = self.longest_life_s * random.uniform(1 / 1_440, 1 / 24)  # noqa: S311 no secret
        return self.longest_life_s - before_s


class ConnectionKeeper:
    """Keeps one connection for `symbols`; during a replacement, two.

    `path` chooses among the venue's hosts, so that keepers of the same symbols use different hosts. After a failure
    the next attempt goes to the next host: the same stream twice from one host is better than no stream.
    """

    def __init__(
        self, context: NetContext, symbols: tuple[str, ...], limits: ConnectionLimits, path: int = 0
    ) -> None:
        self._symbols = symbols
        self._context = context
        self._clock = context.clock
        self._limits = limits
        self._path = path
        self._connections: tuple[Connection, ...] = ()  # the current one, and its successor
        self._failures = 0  # in a row
        self._not_before_s = -inf
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        """Connect, and reconnect, until cancelled."""
        pauses = full_jitter(random.uniform)
        async with self._tasks:
            await self._wait_for_attempt()
            current = self._open()
            while True:
                # The exchange counts the lifetime from the handshake, not from the end of the predecessor.
                left_s = self._limits.lifetime_s() - self._age_s(current)
                ended, wanted = current.ended, current.replacement_wanted
                await _first_of(ended.wait(), wanted.wait(), self._clock.pause(left_s))
                successor = None
                if not ended.is_set():
                    current.want_replacement("its lifetime ends")
                    successor = await self._replace(current)
                if self._age_s(current) >= (DELIVERED_S if current.has_delivered else HEALTHY_S):
                    pauses = full_jitter(random.uniform)
                    self._failures = 0
                else:
                    self._failures += 1
                if successor is None:
                    await self._pause(next(pauses), current)
                    await self._wait_for_attempt()
                    successor = self._open()
                current = successor

    def replace(self, number: int | None, why: str) -> None:
        """Replace connection `number`, if it is this keeper's. None: its current one, if there is one."""
        for connection in self._connections[:1] if number is None else self._connections:
            if number in {None, connection.number}:
                connection.want_replacement(why)

    def end(self, number: int) -> None:
        """Close connection `number`, if it is this keeper's."""
        for connection in self._connections:
            if connection.number == number:
                self._tasks.create_task(connection.close())

    async def _replace(self, current: Connection) -> Connection | None:
        """Open a successor, wait until it covers the current connection, then close the current connection.

        Returns the successor; None if the current connection was lost before there was one.
        """
        log.info("replacing connection", connection=current.number, why=current.replace_because)
        self._failures = 0  # its own host first, even if the current connection is on another
        ended = current.ended
        for pause_s in full_jitter(random.uniform):
            await _first_of(ended.wait(), self._wait_for_attempt())
            if ended.is_set():
                break
            successor = self._open(current)
            while not (ended.is_set() or successor.ended.is_set()):
                look = self._clock.pause(OVERLAP_CHECK_S)
                await _first_of(ended.wait(), successor.ended.wait(), look)
                covers = self._limits.covers(current.number, successor.number)
                too_long = self._age_s(successor) >= OVERLAP_MAX_S
                if successor.is_subscribed and (covers or too_long):
                    await current.close()
                    await ended.wait()
            if ended.is_set():
                return successor
            self._failures += 1
            await _first_of(ended.wait(), self._pause(pause_s, successor))
        return None

    async def _wait_for_attempt(self) -> None:
        """Wait until the exchange allows another attempt."""
        while True:
            if asked_for_s := self._context.pause.left_s():
                spread_s = random.uniform(0, AFTER_PAUSE_SPREAD_S)  # noqa: S311 no secret
                await self._clock.pause(asked_for_s + spread_s)
                continue
            now_s = self._clock.steady_s()
            wait_s = max(self._limits.attempts.wait_s(1, now_s), self._not_before_s - now_s)
            if wait_s <= 0:
                return
            await self._clock.pause(wait_s)

    def _open(self, *others: Connection) -> Connection:
        """Open a new connection, beside `others`."""
        self._limits.attempts.spend(1, self._clock.steady_s())
        urls = self._context.venue.ws_urls
        url = urls[(self._path + self._failures) % len(urls)]
        connection = Connection(self._context, self._symbols, next(self._limits.numbers), url)
        self._connections = *others, connection
        self._tasks.create_task(connection.run())
        return connection

    async def _pause(self, pause_s: float, lost: Connection) -> None:
        now_s = self._clock.steady_s()
        if lost.was_for_our_behaviour:
            self._not_before_s = now_s + pause_s + POLICY_PAUSE_S
        pause_s = max(pause_s, self._not_before_s - now_s)
        log.warning(
            "no connection",
            tried=lost.ws_url,
            error=lost.why,
            again_in_s=round(pause_s, 1),
            symbols=len(self._symbols),
        )
        await self._clock.pause(pause_s)

    def _age_s(self, connection: Connection) -> float:
        return self._clock.steady_s() - connection.opened_s


class ConnectionKeepers:
    """All keepers of a recorder: `connections` of them for each group of symbols that fits on one connection.

    If the venue has two hosts, the keepers are spread over both, so that one of the two paths may break.
    """

    def __init__(
        self,
        context: NetContext,
        symbols: tuple[str, ...],
        connections: int,
        limits: ConnectionLimits,
        rollover_at_s: float | None = None,
    ) -> None:
        self._context = context
        self._symbols = symbols
        self._per_group = connections
        self._limits = limits
        self._rollover_at_s = rollover_at_s
        self._keepers: list[ConnectionKeeper] = []
        self._tasks = asyncio.TaskGroup()

    async def run(self) -> None:
        """Run all keepers until cancelled."""
        async with self._tasks:
            self.add(self._symbols)
            if self._rollover_at_s is not None:
                self._tasks.create_task(self._replace_daily(self._rollover_at_s))

    def add(self, symbols: tuple[str, ...]) -> None:
        """Add keepers for more symbols.

        Known weakness: symbols that were listed one by one each keep a connection of their own until a restart.
        """
        for group in self._context.venue.split(symbols, self._context.suffixes):
            for path in range(self._per_group):
                keeper = ConnectionKeeper(self._context, group, self._limits, path)
                self._keepers.append(keeper)
                self._tasks.create_task(keeper.run())

    def replace(self, connection: int, why: str) -> None:
        """Replace one connection: its successor is opened before it is closed."""
        for keeper in self._keepers:
            keeper.replace(connection, why)

    def end(self, connection: int) -> None:
        """Close one connection now; another is opened, as after any loss."""
        for keeper in self._keepers:
            keeper.end(connection)

    async def _replace_daily(self, at_s: float) -> None:
        """Replace all connections once a day, `at_s` seconds after midnight (UTC)."""
        while True:
            now_s = self._context.clock.now_ns() / 1e9 % _DAY_S
            await self._context.clock.pause((at_s - now_s) % _DAY_S or _DAY_S)
            for keeper in self._keepers:
                keeper.replace(None, "the daily --rollover-at")


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until the first of them is done, and cancel the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
