"""The pulse: proof that a quiet book is current.

A subscription can be dead while its connection answers every ping. So a book without events counts as known only as
long as something else shows that it is current. One cheap request returns the best prices of all symbols; those of
quiet books go to the queue as a record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Final

import structlog

from booktape.core.events import Urgency
from booktape.core.tape_records import Pulse
from booktape.errors import ExchangeError, HttpStatusError, MalformedFrame
from booktape.net.context import wait_at_most
from booktape.net.rest_client import BUDGET_CHECK_S, RestClient
from booktape.wire.best_prices import BestPrices, decode_best_prices
from booktape.wire.limits import URL_BYTES_MAX

FIRST_S: Final = 5.0
"""Time from the start to the first pulse: by then the first books are synced."""

PULSE_SPACING_S: Final = 5.0
"""The shortest time between two pulses, even after `hurry`."""

QUIET_NS: Final = 10**9
"""A book is quiet if it has not changed since this long before the request was sent."""

GIVES_WAY_S: Final = 10.0
"""How long snapshots of lost books go first. No longer, because without a pulse quiet books would be lost too."""

_NOT_SERVED: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST)

log = structlog.get_logger()


class PulseClient:
    """Requests the best prices every `period_s` until cancelled.

    `quiet_since` returns the books that have not changed since a moment (ns since 1970). They are requested by
    name, unless there is `on_names`: then each answer has all symbols, and `on_names` receives it.
    """

    def __init__(
        self,
        rest: RestClient,
        period_s: float,
        quiet_since: Callable[[int], Collection[str]],
        on_names: Callable[[BestPrices], None] | None,
    ) -> None:
        self._context = rest.context
        self._clock = rest.context.clock
        self._weight = rest.context.venue.weights.best_prices
        self._rest = rest
        self._period_s = period_s
        self._quiet_since = quiet_since
        self._on_names = on_names
        self._by_name = on_names is None
        self._hurried = asyncio.Event()
        self._logged_refusal = False

    def hurry(self) -> None:
        """Send the next pulse at once, or PULSE_SPACING_S after the last one."""
        self._hurried.set()

    async def run(self) -> None:
        """Request pulses until cancelled. No answer from the exchange ends it."""
        await wait_at_most(self._hurried, FIRST_S)
        while True:
            await self._wait_for_budget()
            began_s = self._clock.steady_s()
            self._hurried.clear()
            await self._request()
            left_s = began_s + self._period_s - self._clock.steady_s()
            await wait_at_most(self._hurried, left_s)
            early_s = began_s + PULSE_SPACING_S - self._clock.steady_s()
            if early_s > 0:
                await self._clock.pause(early_s)

    async def _wait_for_budget(self) -> None:
        """Wait until the budget has room; for GIVES_WAY_S, also until no lost book waits for it."""
        began_s = self._clock.steady_s()
        while True:
            wait_s = self._rest.http.wait_s(self._weight)
            gives_way = self._clock.steady_s() - began_s < GIVES_WAY_S
            if not wait_s and not (gives_way and self._rest.has_waiting(Urgency.LOST)):
                return
            await self._clock.pause(min(wait_s or BUDGET_CHECK_S, BUDGET_CHECK_S))

    async def _request(self) -> None:
        quiet = self._quiet_since(self._clock.now_ns() - QUIET_NS)
        if not (quiet or self._on_names):
            return
        http, venue = self._rest.http, self._context.venue
        path = venue.best_prices_path(tuple(sorted(quiet)) if self._by_name else ())
        # If the names are too many for one URL, all symbols are requested instead.
        whole = not self._by_name or len(path) > URL_BYTES_MAX
        number = http.begin(self._weight)
        asked_ns = self._clock.now_ns()
        try:
            body = await http.get(venue.best_prices_path() if whole else path)
            prices = await asyncio.to_thread(decode_best_prices, body, frozenset(quiet))
        except MalformedFrame as error:
            log.warning("pulse not understood", error=str(error))
        except ExchangeError as error:
            self._on_error(number, error, whole=whole)
        else:
            http.record_success(number)
            self._logged_refusal, self._by_name = False, self._on_names is None
            await self._on_answer(asked_ns, prices)
            if self._on_names:
                self._on_names(prices)

    async def _on_answer(self, asked_ns: int, prices: BestPrices) -> None:
        for why in prices.unreadable:
            log.warning("pulse not understood", error=why)
        # Books that changed while the answer was on its way may be newer than it.
        quiet = self._quiet_since(asked_ns - QUIET_NS)
        tops = {symbol: prices.tops[symbol] for symbol in quiet if symbol in prices.tops}
        if tops:
            await self._context.queue.put(Pulse(self._clock.now_ns(), asked_ns, tops))

    def _on_error(self, number: int, error: ExchangeError, *, whole: bool) -> None:
        if not (isinstance(error, HttpStatusError) and error.status in _NOT_SERVED):
            self._rest.http.back_off(number, error)
            return
        if not whole:
            # "Invalid symbol": one symbol that is no longer listed spoils the answer for all.
            self._by_name = False
            self._rest.recheck_listing.set()
            self.hurry()
        elif not self._logged_refusal:
            self._logged_refusal = True
            log.warning("no pulse from this server", error=str(error))
