"""The listing of the recorded symbols, looked up regularly in the exchange's list.

A halted symbol sends nothing, which is not an outage; a symbol that is no longer listed has ended. If all symbols
are recorded, the pulse shows new ones within half a minute: its answer names every symbol (net/pulse.py). Without a
pulse, new symbols show when the whole list is next looked up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import structlog

from booktape.core.tape_records import DELISTED, TRADING, SymbolListing
from booktape.net.context import wait_at_most
from booktape.net.rest_client import NAMED_MAX, RestClient
from booktape.wire.best_prices import BestPrices
from booktape.wire.exchange_info import ExchangeInfo, SymbolInfo

NAMED_LIST_EVERY_S: Final = 120.0
WHOLE_LIST_EVERY_S: Final = 3_600.0
LIST_SPACING_S: Final = 60.0
"""Named symbols are looked up often, the whole list (many megabytes) rarely. `recheck_listing` brings either look-up
forward, but two are never closer than LIST_SPACING_S."""

NAME_TRIES: Final = 5
"""How often a name from the pulse is looked up, once per pulse, until it trades: the list may lag behind. After that
the name has to wait for prices, or until the whole list is next looked up."""

log = structlog.get_logger()


class ListingState(NamedTuple):
    """What the tape says about a symbol's listing; empty strings where it says nothing."""

    status: str
    tick_size: str
    lot_size: str


class SymbolStatusPoller:
    """Puts a `SymbolListing` into the queue for each symbol whose listing differs from `on_tape()`.

    Before that, `on_list` receives every answer, whether a whole list or a part. With `new_ones` the whole list is
    looked up, and new names from the pulse are looked up at once.
    """

    def __init__(
        self,
        rest: RestClient,
        on_tape: Callable[[], Mapping[str, ListingState]],
        on_list: Callable[[ExchangeInfo], None],
        *,
        new_ones: bool,
    ) -> None:
        self._context = rest.context
        self._rest = rest
        self._on_tape = on_tape
        self._on_list = on_list
        self._all = new_ones
        self._missed: set[str] = set()
        self._listed: dict[str, SymbolInfo] = {}
        self._written: dict[str, tuple[ListingState, ListingState]] = {}
        self._new = _NewNames()

    async def run(self, first: ExchangeInfo | None) -> None:
        """Begin with the list that was looked up at the start, and continue until cancelled.

        A list of None, at the start or later, means that the exchange returned none. It may return one next time.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_up_regularly(first))
            group.create_task(self._look_up_new_ones())

    def on_pulse_names(self, prices: BestPrices) -> None:
        """Compare the names of a pulse with the list."""
        if self._listed:  # without a list, every name would be a new one
            self._new.add_from(prices, self._listed)

    async def _look_up_regularly(self, info: ExchangeInfo | None) -> None:
        while True:
            if info is not None:
                self._new.retry_unlisted()
                self._mark_missing(info)
                await self._update(info)
            await self._context.clock.pause(LIST_SPACING_S)
            await self._write_changes()  # symbols added in the meantime are on the tape by now
            whole = self._all or len(self._on_tape()) > NAMED_MAX
            if not self._missed:
                every_s = WHOLE_LIST_EVERY_S if whole and info else NAMED_LIST_EVERY_S
                most_s = random.uniform(0.5, 1) * every_s  # noqa: S311
                await wait_at_most(self._rest.recheck_listing, most_s)
            self._rest.recheck_listing.clear()
            before, info = info, await self._rest.look_up(self._not_delisted(), whole=whole)
            if info is None and before is not None:
                log.warning("the exchange does not list its symbols now")

    async def _look_up_new_ones(self) -> None:
        while True:
            names = await self._new.next_names()
            if names and (info := await self._rest.look_up(names)):
                self._new.remove_found(names, info)
                part = {name: info.symbols[name] for name in names if name in info.symbols}
                await self._update(ExchangeInfo(part, info.weight_per_minute))
            # At each pulse, even without a name: symbols that the last pulse added are on the tape by now.
            await self._write_changes()

    def _not_delisted(self) -> tuple[str, ...]:
        states = self._on_tape().items()
        return tuple(symbol for symbol, state in states if state.status != DELISTED)

    def _mark_missing(self, info: ExchangeInfo) -> None:
        """A missing symbol counts as delisted if it is missing from the next list too."""
        missed = set(self._not_delisted()) - info.symbols.keys()
        gone, self._missed = missed & self._missed, missed - self._missed
        for symbol in gone:
            self._listed[symbol] = SymbolInfo(symbol, DELISTED)

    async def _update(self, info: ExchangeInfo) -> None:
        self._listed.update(info.symbols)
        self._on_list(info)
        await self._write_changes()

    async def _write_changes(self) -> None:
        for symbol, before in self._on_tape().items():
            now = _state(self._listed[symbol], before) if symbol in self._listed else before
            # The last change may still be waiting in the queue.
            if now != before and self._written.get(symbol) != (before, now):
                self._written[symbol] = before, now
                await self._context.queue.put(
                    SymbolListing(self._context.clock.now_ns(), symbol, *now)
                )


def _state(info: SymbolInfo, before: ListingState) -> ListingState:
    """What the tape should say about it. A delisted symbol keeps its steps."""
    if info.status == DELISTED:
        return before._replace(status=info.status)
    return ListingState(info.status, *info.steps())


class _NewNames:
    """The names from pulses that have to be looked up.

    They are the names that no list has had, and the names that were not trading by the list but have prices now.
    """

    def __init__(self) -> None:
        self._tries_left: dict[str, int] = {}
        self._given_up: set[str] = set()
        self._quoted: frozenset[str] = frozenset()
        self._pulse = asyncio.Event()

    def add_from(self, prices: BestPrices, listed: Mapping[str, SymbolInfo]) -> None:
        """Add the names of a pulse that have to be looked up."""
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
        """Wait for a pulse. Returns the names to look up, newest first, at most NAMED_MAX."""
        await self._pulse.wait()
        self._pulse.clear()
        newest_first = sorted(self._tries_left.items(), key=lambda entry: -entry[1])
        return tuple(name for name, _ in newest_first[:NAMED_MAX])

    def remove_found(self, names: tuple[str, ...], info: ExchangeInfo) -> None:
        """Count one look-up of these names; remove those that trade, and those without tries left."""
        for name in names:
            self._tries_left[name] -= 1
            found = info.symbols.get(name)
            trades = found is not None and found.status == TRADING
            if trades or not self._tries_left[name]:
                del self._tries_left[name]
                if found is None:
                    self._given_up.add(name)

    def retry_unlisted(self) -> None:
        """The whole list was looked up: names that it does not have may be looked up again."""
        self._given_up.clear()
