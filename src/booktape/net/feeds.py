"""All connections of a recorder: symbols split over them, as many times as asked for."""

from __future__ import annotations

import asyncio
from typing import Final

from booktape.net.feed import Feed, Rota
from booktape.net.link import Link

_DAY_S: Final = 86_400.0


class Feeds:
    """`connections` feeds for each group of symbols that fits on one connection."""

    def __init__(
        self,
        link: Link,
        symbols: tuple[str, ...],
        connections: int,
        rota: Rota,
        rollover_at_s: float | None = None,
    ) -> None:
        self._link = link
        self._rollover_at_s = rollover_at_s
        self._feeds = [
            Feed(link, group, rota)
            for group in link.venue.split(symbols)
            for _ in range(connections)
        ]

    async def run(self) -> None:
        """Keep them all, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for feed in self._feeds:
                tasks.create_task(feed.run())
            if self._rollover_at_s is not None:
                tasks.create_task(self._roll_over(self._rollover_at_s))

    def renew(self, connection: int, why: str) -> None:
        """Replace one connection, before it is closed."""
        for feed in self._feeds:
            feed.renew(connection, why)

    async def _roll_over(self, at_s: float) -> None:
        """Replace all of them once a day, at this second of the day (UTC)."""
        while True:
            now_s = self._link.clock.now_ns() / 1e9 % _DAY_S
            await self._link.clock.pause((at_s - now_s) % _DAY_S or _DAY_S)
            for feed in self._feeds:
                feed.renew_current("it is the time of day for it")
