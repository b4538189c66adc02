"""What the exchange's list says of the symbols that are recorded, looked up now and then.

A symbol that is halted sends nothing, and is no outage; one that is not listed any more has ended.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from booktape.core.frames import DELISTED, Listed
from booktape.net.link import Link
from booktape.net.rest import Rest
from booktape.wire.exchange_info import ExchangeInfo

FEW: Final = 100
LOOK_EVERY_S: Final = 120.0
LOOK_AT_ALL_EVERY_S: Final = 3_600.0
SPACING_S: Final = 60.0
"""A few named symbols are looked up often, the whole list (many megabytes) seldom; either sooner
when there is doubt, but never sooner than the latter."""


class Statuses:
    """Puts a `Listed` into the inbox for each symbol whose status is not what `known()` says.

    `look` sees every list before that; with `new_ones` those are whole.
    """

    def __init__(
        self,
        link: Link,
        rest: Rest,
        known: Callable[[], Mapping[str, str]],
        look: Callable[[ExchangeInfo], None],
        *,
        new_ones: bool,
    ) -> None:
        self._link = link
        self._rest = rest
        self._known = known
        self._look = look
        self._all = new_ones
        self._missed: set[str] = set()

    async def run(self, first: ExchangeInfo) -> None:
        """Begin with what was looked up at the start, and go on until cancelled."""
        info: ExchangeInfo | None = first
        while info is not None:
            await self._compare(info)
            await self._link.clock.pause(SPACING_S)
            few = self._few()
            if not self._missed:
                every_s = LOOK_EVERY_S if few else LOOK_AT_ALL_EVERY_S
                await self._until_doubt(random.uniform(0.5, 1) * every_s)  # noqa: S311
            self._rest.doubt.clear()
            info = await self._rest.exchange_info(few)
            if info is None and few:
                # One that is not listed spoils the answer for all: the whole list tells which.
                info = await self._rest.exchange_info()

    def _few(self) -> tuple[str, ...]:
        """The symbols to ask for by name; none, to ask for all."""
        known = self._known()
        if self._all or len(known) > FEW:
            return ()
        return tuple(symbol for symbol, status in known.items() if status != DELISTED)

    async def _until_doubt(self, most_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._rest.doubt.wait()

    async def _compare(self, info: ExchangeInfo) -> None:
        """A symbol that is missing counts as delisted when the next look misses it, too."""
        self._look(info)
        known = self._known()
        there = {symbol for symbol, status in known.items() if status != DELISTED}
        missed = there - info.symbols.keys()
        gone, self._missed = missed & self._missed, missed - self._missed
        for symbol, before in known.items():
            listed = info.symbols.get(symbol)
            status = listed.status if listed else DELISTED if symbol in gone else before
            if status != before:
                now_ns = self._link.clock.now_ns()
                await self._link.inbox.put(Listed(now_ns, symbol, status))
