"""The stream http: a connection that is always there.

A lost connection is followed by another, for ever. One that will be lost (its lifetime ends, its
server goes down, it is silent, it delivered garbage) is followed *before* it is closed: make before
break. The two overlap until the new one carries everything the old one does.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

import structlog

from booktape.net.backoff import full_jitter
from booktape.net.connection import Connection
from booktape.net.context import NetContext
from booktape.net.rate_limit import RateLimit
from booktape.wire.limits import ATTEMPTS_PER_WINDOW, ATTEMPTS_WINDOW_S, CONNECTION_LIFE_S

HEALTHY_S: Final = 60.0
DELIVERED_S: Final = 1.0
"""A connection that lived so long (the latter: and delivered) was no failure: the pauses start
short again. One that is accepted and cut at once is, or we would come back at it like a hammer."""

UNWELCOME_S: Final = 60.0
"""So long nothing follows a connection that was closed for our behaviour (1008). The exchange names no
time; its limits are counted by the minute."""

AFTER_SILENCE_S: Final = 5.0
"""When a silence is over the feeds come back one by one within this time: should the first be told
again, the others hear of it."""

OVERLAP_LOOK_S: Final = 1.0
OVERLAP_MAX_S: Final = 60.0
"""How often, and how long at most, a new connection is looked at before the old one is closed."""

log = structlog.get_logger()


class FeedLimits:
    """What all feeds of a recorder share: the limit on attempts, and numbers, from 1, never twice."""

    def __init__(
        self,
        can_relieve: Callable[[int, int], bool],
        life_s: float = CONNECTION_LIFE_S,
        sharers: int = 1,
    ) -> None:
        self.covers = can_relieve
        self.longest_life_s = life_s
        self.attempts = RateLimit(ATTEMPTS_PER_WINDOW // sharers, ATTEMPTS_WINDOW_S)
        self.numbers = itertools.count(1)

    def lifetime_s(self) -> float:
        """How long a connection may live: until a random moment of the last 1/24 of its life."""
        before_s = self.longest_life_s * random.uniform(1 / 1_440, 1 / 24)  # noqa: S311 no secret
        return self.longest_life_s - before_s


@dataclass(slots=True)
class _Slot:
    """Who is on duty, whether it is to go, who follows, and why that one is to go as well."""

    current: Connection | None = None
    is_replaced: bool = False
    successor: Connection | None = None
    replace_next_because: str = ""


class Feed:
    """Keeps one connection for `symbols`, and at times two.

    `path` chooses among the venue's hosts, so that feeds of the same symbols go different ways. After a
    failure the next attempt goes to the next host: one that carries a stream twice is better than none.
    """

    def __init__(
        self, context: NetContext, symbols: tuple[str, ...], limits: FeedLimits, path: int = 0
    ) -> None:
        self.symbols = symbols
        self._context = context
        self._clock = context.clock
        self._limits = limits
        self._slot = _Slot()
        self._not_before_s = -inf
        self._path = path
        self._failures = 0  # since a connection was none
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        pauses = full_jitter(random.uniform)
        async with asyncio.TaskGroup() as self._tasks:
            await self._wait_for_attempt()
            while True:
                connection = self._slot.successor or self._open()
                self._occupy_slot(connection)
                await self._until_over(connection)
                lived_s = self._clock.steady_s() - connection.opened_s
                if lived_s >= (DELIVERED_S if connection.has_delivered else HEALTHY_S):
                    pauses = full_jitter(random.uniform)
                    self._failures = 0
                else:
                    self._failures += 1
                if self._slot.successor is None:
                    await self._pause(next(pauses), connection)
                    await self._wait_for_attempt()

    def replace(self, number: int, why: str) -> None:
        """Replace connection `number`, if it is on duty, or as soon as it is."""
        current, successor = self._slot.current, self._slot.successor
        if successor is not None and successor.number == number:
            self._slot.replace_next_because = why
        elif current is not None and current.number == number and not self._slot.is_replaced:
            self._slot.is_replaced = True
            log.info("replacing connection", connection=number, why=why)
            self._tasks.create_task(self._replace(current))

    def end(self, number: int) -> None:
        """Close connection `number`, if it is one of this feed."""
        for connection in (self._slot.current, self._slot.successor):
            if connection is not None and connection.number == number:
                self._tasks.create_task(connection.close())

    def replace_current(self, why: str) -> None:
        """Replace whichever connection is on duty."""
        if self._slot.current is not None:
            self.replace(self._slot.current.number, why)

    def _occupy_slot(self, connection: Connection) -> None:
        why, self._slot = self._slot.replace_next_because, _Slot(connection)
        if why:
            self.replace(connection.number, why)

    async def _wait_for_attempt(self) -> None:
        """Wait until the exchange allows another attempt."""
        while True:
            if silent_s := self._context.pause.left_s():
                jitter_s = random.uniform(0, AFTER_SILENCE_S)  # noqa: S311 no secret
                await self._clock.pause(silent_s + jitter_s)
                continue
            now_s = self._clock.steady_s()
            wait_s = max(self._limits.attempts.wait_s(1, now_s), self._not_before_s - now_s)
            if wait_s <= 0:
                return
            await self._clock.pause(wait_s)

    def _open(self) -> Connection:
        """A new connection on its way."""
        self._limits.attempts.spend(1, self._clock.steady_s())
        number = next(self._limits.numbers)
        urls = self._context.venue.ws_urls
        connection = Connection(
            self._context,
            self.symbols,
            number,
            lambda: self.replace(number, "it is silent"),
            urls[(self._path + self._failures) % len(urls)],
        )
        self._tasks.create_task(connection.run())
        return connection

    async def _until_over(self, connection: Connection) -> None:
        """Wait for its end; before the exchange ends it for its age, see to a successor."""
        retire = asyncio.create_task(self._replace_at_end_of_life(connection))
        try:
            await connection.ended.wait()
        finally:
            retire.cancel()

    async def _replace_at_end_of_life(self, connection: Connection) -> None:
        # The exchange counts from the handshake, not from when it came on duty.
        lived_s = self._clock.steady_s() - connection.opened_s
        await self._clock.pause(self._limits.lifetime_s() - lived_s)
        self.replace(connection.number, "its lifetime ends")

    async def _replace(self, old: Connection) -> None:
        """Open a successor, wait until it carries everything, close the old one."""
        self._failures = 0  # its own host first, though the old one be on another
        for pause_s in full_jitter(random.uniform):
            await self._wait_for_attempt()
            if old.ended.is_set():
                # It was lost while we waited: `run` opens another.
                return
            new = self._slot.successor = self._open()
            while not (new.ended.is_set() or old.ended.is_set()):
                await self._clock.pause(OVERLAP_LOOK_S)
                waited_s = self._clock.steady_s() - new.opened_s
                relieved = new.is_subscribed and self._limits.covers(old.number, new.number)
                if new.is_subscribed and (relieved or waited_s >= OVERLAP_MAX_S):
                    await old.close()
                    return
            if old.ended.is_set():
                return
            self._slot = _Slot(old, is_replaced=True)
            self._failures += 1
            await self._pause(pause_s, new)

    async def _pause(self, pause_s: float, lost: Connection) -> None:
        now_s = self._clock.steady_s()
        if lost.was_for_our_behaviour:
            self._not_before_s = now_s + pause_s + UNWELCOME_S
        pause_s = max(pause_s, self._not_before_s - now_s)
        log.warning(
            "no connection",
            tried=lost.ws_url,
            error=lost.why,
            again_in_s=round(pause_s, 1),
            symbols=len(self.symbols),
        )
        await self._clock.pause(pause_s)
