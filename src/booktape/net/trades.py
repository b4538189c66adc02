"""Requests for trades that no connection delivered, after everything that a book needs."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

import structlog

from booktape.core.events import Urgency
from booktape.core.tape_records import TradesAnswer
from booktape.core.trades import FetchTrades
from booktape.errors import ExchangeError, HttpStatusError, RateLimited
from booktape.net.rate_limit import RateLimit
from booktape.net.rest_client import BUDGET_CHECK_S, RestClient
from booktape.wire.limits import TRADES_BYTES_MAX
from booktape.wire.server_time import MICROSECONDS

SHARE: Final = 10
"""All of these requests together take a tenth of the budget: 24 a minute at Binance, each of 1,000 trades."""

REFUSED_S: Final = 900.0
"""How long a symbol is not requested after an answer that no repeat would change (HTTP 4xx)."""

log = structlog.get_logger()


class TradeClient:
    """Sends one request at a time. A symbol that is requested again while it waits keeps its place.

    A request is sent when no snapshot is waiting except for audits, half of the budget is free, and this client has not
    used its SHARE in the last minute. A failed request is dropped: the reconstruction repeats it at the next tick, as
    long as the trades are missing.

    Known weakness: if all books are lost at once, the weight that this client has used is not available for them. Then
    the last tenth of the snapshots that fit into a minute may come up to a minute later.
    """

    def __init__(self, rest: RestClient) -> None:
        self._context = rest.context
        self._clock = rest.context.clock
        self._rest = rest
        self._weight = rest.context.venue.weights.trades
        self._share = RateLimit(0)
        self._waiting: dict[str, FetchTrades] = {}
        self._under_way: str | None = None
        self._refused_until_s: dict[str, float] = {}
        self._ready = asyncio.Event()

    def request(self, request: FetchTrades) -> None:
        """Request these trades when it is their turn."""
        symbol = request.symbol
        refused_s = self._refused_until_s.get(symbol, 0.0)
        if symbol != self._under_way and self._clock.steady_s() >= refused_s:
            self._waiting[symbol] = request
            self._ready.set()

    async def run(self) -> None:
        """Serve requests until cancelled."""
        while True:
            await self._ready.wait()
            await self._wait_for_turn()
            symbol = next(iter(self._waiting))
            self._under_way = symbol
            await self._fetch(self._waiting.pop(symbol))
            self._under_way = None
            if not self._waiting:
                self._ready.clear()

    async def _wait_for_turn(self) -> None:
        http = self._rest.http
        while True:
            # The exchange's limit may have become known in the meantime.
            self._share.limit = max(self._weight, http.budget.limit // SHARE)
            now_s = self._clock.steady_s()
            wait_s = max(
                http.wait_s(self._weight + http.budget.limit // 2),
                self._share.wait_s(self._weight, now_s),
            )
            if not wait_s and not self._rest.has_waiting(Urgency.DEEPER):
                self._share.spend(self._weight, now_s)
                return
            await self._clock.pause(min(wait_s or BUDGET_CHECK_S, BUDGET_CHECK_S))

    async def _fetch(self, request: FetchTrades) -> None:
        symbol, http = request.symbol, self._rest.http
        number = http.begin(self._weight)
        path = self._context.venue.trades_path(symbol, request.from_id)
        try:
            body = await http.get(path, MICROSECONDS, TRADES_BYTES_MAX)
        except ExchangeError as error:
            if _is_final(error):
                self._refused_until_s[symbol] = self._clock.steady_s() + REFUSED_S
                log.warning("missing trades are unavailable", symbol=symbol, error=str(error))
            else:
                http.back_off(number, error, symbol=symbol)
        else:
            http.record_success(number)
            answer = TradesAnswer(self._clock.now_ns(), symbol, request.from_id, body)
            await self._context.queue.put(answer)


def _is_final(error: ExchangeError) -> bool:
    """Whether no repeat would change this answer: HTTP 4xx, unless it asks for a pause."""
    if isinstance(error, RateLimited) or not isinstance(error, HttpStatusError):
        return False
    return error.status < HTTPStatus.INTERNAL_SERVER_ERROR
