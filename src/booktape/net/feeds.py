"""All connections of a recorder: symbols split over them, as many times as asked for."""

from __future__ import annotations

import asyncio
from typing import Final

from booktape import descriptors
from booktape.net.context import NetContext
from booktape.net.feed import Feed, FeedLimits
from booktape.net.http import AT_ONCE

_DAY_S: Final = 86_400.0


def check_descriptors(context: NetContext, symbols: tuple[str, ...], connections: int) -> None:
    """Whether this process may open the sockets that these symbols need. Raises TooFewDescriptors.

    Each connection needs two, since the next one is opened before it is closed.
    """
    streams = 2 * connections * len(context.venue.split(symbols, context.suffixes))
    what = f"{len(symbols):,} symbols on --connections {connections}"
    descriptors.require(descriptors.OWN + streams + AT_ONCE, what)


class FeedSet:
    """`connections` feeds for each group of symbols that fits on one connection.

    Where the venue has two hosts, they are spread over both: two paths, of which one may break.
    """

    def __init__(
        self,
        context: NetContext,
        symbols: tuple[str, ...],
        connections: int,
        limits: FeedLimits,
        rollover_at_s: float | None = None,
    ) -> None:
        self._context = context
        self._symbols = symbols
        self._connections = connections
        self._limits = limits
        self._rollover_at_s = rollover_at_s
        self._feeds: list[Feed] = []
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        """Keep them all, until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            self.add(self._symbols)
            if self._rollover_at_s is not None:
                self._tasks.create_task(self._replace_daily(self._rollover_at_s))

    def add(self, symbols: tuple[str, ...]) -> None:
        """Carry these, too, on connections of their own.

        Known weakness: symbols that were listed one by one keep a connection each until a restart.
        """
        for group in self._context.venue.split(symbols, self._context.suffixes):
            for path in range(self._connections):
                feed = Feed(self._context, group, self._limits, path)
                self._feeds.append(feed)
                self._tasks.create_task(feed.run())

    def replace(self, connection: int, why: str) -> None:
        """Replace one connection, before it is closed."""
        for feed in self._feeds:
            feed.replace(connection, why)

    def end(self, connection: int) -> None:
        """Close one connection now; another follows, as after any that is lost."""
        for feed in self._feeds:
            feed.end(connection)

    async def _replace_daily(self, at_s: float) -> None:
        """Replace all of them once a day, at this second of the day (UTC)."""
        while True:
            now_s = self._context.clock.now_ns() / 1e9 % _DAY_S
            await self._context.clock.pause((at_s - now_s) % _DAY_S or _DAY_S)
            for feed in self._feeds:
                feed.replace_current("it is the time of day for it")
