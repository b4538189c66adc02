"""The stream door: a connection that is always there.

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
from booktape.net.budget import WeightBudget
from booktape.net.connection import Connection
from booktape.net.link import Link
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


class Rota:
    """What all feeds of a recorder share: the limit on attempts, and numbers, from 1, never twice."""

    def __init__(
        self,
        can_relieve: Callable[[int, int], bool],
        life_s: float = CONNECTION_LIFE_S,
        sharers: int = 1,
    ) -> None:
        self.can_relieve = can_relieve
        self.life_s = life_s
        self.attempts = WeightBudget(ATTEMPTS_PER_WINDOW // sharers, ATTEMPTS_WINDOW_S)
        self.numbers = itertools.count(1)

    def span_s(self) -> float:
        """How long a connection may live: until a random moment of the last 1/24 of its life."""
        before_s = self.life_s * random.uniform(1 / 1_440, 1 / 24)  # noqa: S311 no secret
        return self.life_s - before_s


@dataclass(slots=True)
class _Post:
    """Who is on duty, whether it is to go, who follows, and why that one is to go as well."""

    current: Connection | None = None
    leaving: bool = False
    successor: Connection | None = None
    then_renew: str = ""


class Feed:
    """Keeps one connection for `symbols`, and at times two.

    `path` chooses among the venue's hosts, so that feeds of the same symbols go different ways. After a
    failure the next attempt goes to the next host: one that carries a stream twice is better than none.
    """

    def __init__(self, link: Link, symbols: tuple[str, ...], rota: Rota, path: int = 0) -> None:
        self.symbols = symbols
        self._link = link
        self._clock = link.clock
        self._rota = rota
        self._post = _Post()
        self._not_before_s = -inf
        self._path = path
        self._failures = 0  # since a connection was none
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        pauses = full_jitter(random.uniform)
        async with asyncio.TaskGroup() as self._tasks:
            await self._turn()
            while True:
                connection = self._post.successor or self._open()
                self._take_up(connection)
                await self._until_over(connection)
                lived_s = self._clock.steady_s() - connection.opened_s
                if lived_s >= (DELIVERED_S if connection.delivered else HEALTHY_S):
                    pauses = full_jitter(random.uniform)
                    self._failures = 0
                else:
                    self._failures += 1
                if self._post.successor is None:
                    await self._pause(next(pauses), connection)
                    await self._turn()

    def renew(self, number: int, why: str) -> None:
        """Replace connection `number`, if it is on duty, or as soon as it is."""
        current, successor = self._post.current, self._post.successor
        if successor is not None and successor.number == number:
            self._post.then_renew = why
        elif current is not None and current.number == number and not self._post.leaving:
            self._post.leaving = True
            log.info("replacing a connection", connection=number, why=why)
            self._tasks.create_task(self._relieve(current))

    def end(self, number: int) -> None:
        """Close connection `number`, if it is one of this feed."""
        for connection in (self._post.current, self._post.successor):
            if connection is not None and connection.number == number:
                self._tasks.create_task(connection.close())

    def renew_current(self, why: str) -> None:
        """Replace whichever connection is on duty."""
        if self._post.current is not None:
            self.renew(self._post.current.number, why)

    def _take_up(self, connection: Connection) -> None:
        why, self._post = self._post.then_renew, _Post(connection)
        if why:
            self.renew(connection.number, why)

    async def _turn(self) -> None:
        """Wait until the exchange allows another attempt."""
        while True:
            if silent_s := self._link.silence.left_s():
                jitter_s = random.uniform(0, AFTER_SILENCE_S)  # noqa: S311 no secret
                await self._clock.pause(silent_s + jitter_s)
                continue
            now_s = self._clock.steady_s()
            wait_s = max(self._rota.attempts.wait_s(1, now_s), self._not_before_s - now_s)
            if wait_s <= 0:
                return
            await self._clock.pause(wait_s)

    def _open(self) -> Connection:
        """A new connection on its way."""
        self._rota.attempts.spend(1, self._clock.steady_s())
        number = next(self._rota.numbers)
        urls = self._link.venue.ws_urls
        connection = Connection(
            self._link,
            self.symbols,
            number,
            lambda: self.renew(number, "it is silent"),
            urls[(self._path + self._failures) % len(urls)],
        )
        self._tasks.create_task(connection.run())
        return connection

    async def _until_over(self, connection: Connection) -> None:
        """Wait for its end; before the exchange ends it for its age, see to a successor."""
        retire = asyncio.create_task(self._retire(connection))
        try:
            await connection.over.wait()
        finally:
            retire.cancel()

    async def _retire(self, connection: Connection) -> None:
        # The exchange counts from the handshake, not from when it came on duty.
        lived_s = self._clock.steady_s() - connection.opened_s
        await self._clock.pause(self._rota.span_s() - lived_s)
        self.renew(connection.number, "its lifetime ends")

    async def _relieve(self, old: Connection) -> None:
        """Open a successor, wait until it carries everything, close the old one."""
        self._failures = 0  # its own host first, though the old one be on another
        for pause_s in full_jitter(random.uniform):
            await self._turn()
            if old.over.is_set():
                # It was lost while we waited: `run` opens another.
                return
            new = self._post.successor = self._open()
            while not (new.over.is_set() or old.over.is_set()):
                await self._clock.pause(OVERLAP_LOOK_S)
                waited_s = self._clock.steady_s() - new.opened_s
                relieved = new.standing and self._rota.can_relieve(old.number, new.number)
                if new.standing and (relieved or waited_s >= OVERLAP_MAX_S):
                    await old.close()
                    return
            if old.over.is_set():
                return
            self._post = _Post(old, leaving=True)
            self._failures += 1
            await self._pause(pause_s, new)

    async def _pause(self, pause_s: float, lost: Connection) -> None:
        now_s = self._clock.steady_s()
        if lost.unwelcome:
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
