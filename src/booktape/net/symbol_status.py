"""What the exchange's list says of the symbols that are recorded, looked up now and then.

A symbol that is halted sends nothing, and is no outage; one that is not listed any more has ended. Where
everything is recorded, the pulse tells of new symbols within half a minute: its answer names every one
that there is (net/pulse.py). Without a pulse the next look at the whole list does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import structlog

from booktape.core.tape_records import DELISTED, TRADING, SymbolListing
from booktape.net.context import NetContext
from booktape.net.rest_client import NAMED_MAX, RestClient
from booktape.wire.best_prices import BestPrices
from booktape.wire.exchange_info import ExchangeInfo, SymbolInfo

NAMED_LIST_EVERY_S: Final = 120.0
WHOLE_LIST_EVERY_S: Final = 3_600.0
LIST_SPACING_S: Final = 60.0
"""A few named symbols are looked up often, the whole list (many megabytes) seldom; either sooner
when there is doubt, but never sooner than the latter."""

NAME_TRIES: Final = 5
"""How often a name that the pulse brought is looked up, at one pulse each, until it trades: the list may
be behind. After that it has to wait for prices, or for the next look at the whole list."""

log = structlog.get_logger()


class ListingState(NamedTuple):
    """What is written down of a symbol; empty texts where nothing is."""

    status: str
    tick_size: str
    lot_size: str


class SymbolStatusPoller:
    """Puts a `SymbolListing` into the queue for each symbol of which the list says other than `known()`.

    `look` sees every answer before that, whole lists and parts of them; with `new_ones` the lists that are
    looked at now and then are whole, and what the pulse names is looked up as soon as it does.
    """

    def __init__(
        self,
        context: NetContext,
        rest: RestClient,
        known: Callable[[], Mapping[str, ListingState]],
        look: Callable[[ExchangeInfo], None],
        *,
        new_ones: bool,
    ) -> None:
        self._context = context
        self._rest = rest
        self._known = known
        self._on_list = look
        self._all = new_ones
        self._missed: set[str] = set()
        self._listed: dict[str, SymbolInfo] = {}
        self._written: dict[str, tuple[ListingState, ListingState]] = {}
        self._new = _NewNames()

    async def run(self, first: ExchangeInfo | None) -> None:
        """Begin with what was looked up at the start, and go on until cancelled.

        None, at the start or later: the exchange did not say. It may do so at the next look.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(first))
            group.create_task(self._look_up_new_ones())

    def on_pulse_names(self, prices: BestPrices) -> None:
        """The pulse has brought the best prices of every symbol that there is."""
        if self._listed:  # before that, every name would be a new one
            self._new.seen(prices, self._listed)

    async def _watch(self, info: ExchangeInfo | None) -> None:
        while True:
            if info is not None:
                self._new.whole_list()
                self._mark_missing(info)
                await self._update(info)
            await self._context.clock.pause(LIST_SPACING_S)
            await self._write_changes()  # what was joined meanwhile is known by now
            whole = self._all or len(self._known()) > NAMED_MAX
            if not self._missed:
                every_s = WHOLE_LIST_EVERY_S if whole and info else NAMED_LIST_EVERY_S
                await self._until_doubt(random.uniform(0.5, 1) * every_s)  # noqa: S311
            self._rest.recheck_listing.clear()
            before, info = info, await self._rest.look_up(self._not_delisted(), whole=whole)
            if info is None and before is not None:
                log.warning("the exchange does not list its symbols now")

    async def _look_up_new_ones(self) -> None:
        while True:
            names = await self._new.next_names()
            if names and (info := await self._rest.look_up(names)):
                self._new.answered(names, info)
                part = {name: info.symbols[name] for name in names if name in info.symbols}
                await self._update(ExchangeInfo(part, info.weight_per_minute))
            # At each pulse, even without a name: what the one before brought is known by now.
            await self._write_changes()

    def _not_delisted(self) -> tuple[str, ...]:
        known = self._known().items()
        return tuple(symbol for symbol, said in known if said.status != DELISTED)

    async def _until_doubt(self, most_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._rest.recheck_listing.wait()

    def _mark_missing(self, info: ExchangeInfo) -> None:
        """A symbol that is missing counts as delisted when the next look misses it, too."""
        missed = set(self._not_delisted()) - info.symbols.keys()
        gone, self._missed = missed & self._missed, missed - self._missed
        for symbol in gone:
            self._listed[symbol] = SymbolInfo(symbol, DELISTED)

    async def _update(self, info: ExchangeInfo) -> None:
        self._listed.update(info.symbols)
        self._on_list(info)
        await self._write_changes()

    async def _write_changes(self) -> None:
        for symbol, before in self._known().items():
            now = _said(self._listed[symbol], before) if symbol in self._listed else before
            # What was written before may wait in the queue still.
            if now != before and self._written.get(symbol) != (before, now):
                self._written[symbol] = before, now
                await self._context.queue.put(
                    SymbolListing(self._context.clock.now_ns(), symbol, *now)
                )


def _said(info: SymbolInfo, before: ListingState) -> ListingState:
    """What is to be written down. One that is not listed any more keeps its steps."""
    if info.status == DELISTED:
        return before._replace(status=info.status)
    return ListingState(info.status, *info.steps())


class _NewNames:
    """Which names that pulses bring are to be looked up.

    Those that no list had, and those that did not trade by the list and have got prices now.
    """

    def __init__(self) -> None:
        self._tries_left: dict[str, int] = {}
        self._given_up: set[str] = set()
        self._quoted: frozenset[str] = frozenset()
        self._pulse = asyncio.Event()

    def seen(self, prices: BestPrices, listed: Mapping[str, SymbolInfo]) -> None:
        """Every name of a pulse's answer."""
        opened = {
            name
            for name in prices.quoted - self._quoted
            if name in listed and listed[name].status != TRADING
        }
        self._quoted = prices.quoted
        unknown = prices.names - listed.keys() - self._given_up
        for name in opened | unknown:
            self._tries_left.setdefault(name, NAME_TRIES)
        self._pulse.set()

    async def next_names(self) -> tuple[str, ...]:
        """Waits for a pulse; then those to look up, the newest first, as many as may be named at once."""
        await self._pulse.wait()
        self._pulse.clear()
        newest_first = sorted(self._tries_left.items(), key=lambda entry: -entry[1])
        return tuple(name for name, _ in newest_first[:NAMED_MAX])

    def answered(self, names: tuple[str, ...], info: ExchangeInfo) -> None:
        """These were looked up. What trades is no question any more."""
        for name in names:
            self._tries_left[name] -= 1
            found = info.symbols.get(name)
            trades = found is not None and found.status == TRADING
            if trades or not self._tries_left[name]:
                del self._tries_left[name]
                if found is None:
                    self._given_up.add(name)

    def whole_list(self) -> None:
        """The whole list was looked at: what it does not name may be asked for again."""
        self._given_up.clear()
