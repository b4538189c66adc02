"""The REST side of the simulated exchange: snapshots, the list of symbols, best levels, trades, the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Final, TypeAlias

import msgspec
from aiohttp import web
from msgspec.structs import replace

from booktape.errors import MalformedNumber
from booktape.sim.faults.conditions import Attempt
from booktape.sim.faults.fault import Faults
from booktape.sim.faults.outcomes import (
    BAD_PARAMETER,
    BAD_SYMBOL,
    UNAVAILABLE,
    UNREAD_PARAMETER,
    Altered,
    Cropped,
    Late,
    Old,
    Outcome,
    Reply,
    error,
)
from booktape.sim.server.exchange import Exchange
from booktape.sim.server.symbol_list import encode_symbol_list
from booktape.wire.binance import decode_depth
from booktape.wire.encode import encode_depth, encode_one_top, encode_tops, encode_trades
from booktape.wire.exchange_info import SymbolInfo
from booktape.wire.limits import DEPTH_MAX, TRADES_MAX
from booktape.wire.numbers import whole_number

_DEPTH_DEFAULT: Final = "100"
_TRADES_DEFAULT: Final = "500"
_BEST_PRICE_WEIGHT: Final = 2
"""For one symbol. The weight on Binance.US is not known for sure; that of Binance is the more careful guess."""

_TIME_UNIT_HEADER: Final = "X-MBX-TIME-UNIT"

_Answer: TypeAlias = Callable[[web.Request, Outcome | None], Awaitable[bytes]]
"""Makes the true body or, if a fault wants that, an older or a changed one. Raises _Refused."""

_Weight: TypeAlias = Callable[[Mapping[str, str]], int]
"""What a request with this query weighs."""


class _Refused(Exception):
    """The request is wrong, or cannot be answered now."""

    def __init__(self, code: int, message: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.reply = error(status, code, message)


class RestEndpoints:
    """Answers requests at once or, if the source holds them, after a later step."""

    def __init__(self, exchange: Exchange, faults: Faults) -> None:
        self._source = exchange.source
        self._pacer = exchange.pacer
        self._exchange = exchange
        self._faults = faults
        self._symbols = {info.symbol for info in exchange.source.symbols()}
        self._requests = 0

    def routes(self) -> list[web.RouteDef]:
        """The paths it serves, and what each weighs."""
        weights = self._exchange.venue.weights
        paths: dict[str, tuple[_Answer, _Weight]] = {
            "depth": (self._depth, lambda query: weights.depth_weight(_limit(query) or 1)),
            "exchangeInfo": (self._exchange_info, lambda _: weights.exchange_info),
            "ticker/bookTicker": (
                self._book_ticker,
                lambda query: _BEST_PRICE_WEIGHT if _is_of_one(query) else weights.best_prices,
            ),
            "historicalTrades": (self._historical_trades, lambda _: weights.trades),
            "time": (self._time, lambda _: weights.time),
            "ping": (self._ping, lambda _: weights.time),
        }
        return [
            web.get(f"/api/v3/{path}", partial(self._serve, answer, weight))
            for path, (answer, weight) in paths.items()
        ]

    async def _serve(
        self, answer: _Answer, weight: _Weight, request: web.Request
    ) -> web.StreamResponse:
        """The answer, or what limits and faults put in its place."""
        exchange, symbol = self._exchange, request.query.get("symbol")
        attempt = Attempt("rest", self._requests, exchange.clock.now_s(), request.path, symbol)
        self._requests += 1
        outcome = exchange.outcome(self._faults, attempt)
        refusal = await exchange.refusal(request, outcome, weight(request.query))
        if refusal is not None:
            return refusal
        try:
            true = Reply(HTTPStatus.OK, await answer(request, outcome))
        except _Refused as refused:
            true = refused.reply
        if isinstance(outcome, Late):
            await exchange.clock.pause(outcome.seconds)
        elif isinstance(outcome, Old | Cropped) and symbol in self._symbols and attempt.is_for_book:
            # The client got no snapshot, or no good one: it will ask again.
            self._pacer.expect_requests({symbol})
        if not isinstance(outcome, Cropped):
            return exchange.respond(true)
        if outcome.cut:
            return await self._cut_short(request, true)
        return exchange.respond(replace(true, body=true.body[: len(true.body) // 2]))

    async def _cut_short(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Half the body with a Content-Length for all of it, then the end of the connection."""
        length = {"Content-Length": str(len(reply.body)), "Content-Type": reply.content_type}
        half = web.StreamResponse(status=reply.status, headers=self._exchange.headers() | length)
        await half.prepare(request)
        await half.write(reply.body[: len(reply.body) // 2])
        if request.transport:
            request.transport.close()
        return half

    # ── paths ───────────────────────────────────────────────────────────────────────────────

    async def _depth(self, request: web.Request, outcome: Outcome | None) -> bytes:
        symbol, limit = request.query.get("symbol", ""), _limit(request.query)
        if limit is None:
            raise _Refused(BAD_PARAMETER, "Illegal 'limit'.")
        if symbol in self._symbols:
            self._pacer.on_request(symbol)
        self._check_listed(symbol)
        # One level more, because one may be left out.
        more = isinstance(outcome, Altered)
        body = await self._book(symbol, limit + more, outcome if isinstance(outcome, Old) else None)
        if isinstance(outcome, Altered):
            body = encode_depth(outcome.alter(decode_depth(body, symbol, limit)))
        return body

    async def _book(self, symbol: str, limit: int, old: Old | None) -> bytes:
        """The body, as soon as there is a book: a recording may not have reached the symbol's first book yet."""
        while True:
            body = self._source.depth(symbol, limit, self._pacer.fraction(), old)
            if body is not None:
                return body
            if self._pacer.has_ended or not self._source.holds(symbol):
                raise _no_book()
            await self._pacer.next_step()

    async def _exchange_info(self, request: web.Request, _: Outcome | None) -> bytes:
        query, exchange = request.query, self._exchange
        symbols, known = self._asked_for(query), {"symbol", "symbols", "permissions"}
        if exchange.venue.hides_permissions:
            known |= {"showPermissionSets", "symbolStatus"}
        if unread := query.keys() - known:
            raise _Refused(UNREAD_PARAMETER, f"Not all sent parameters were read: {min(unread)}.")
        return encode_symbol_list(
            symbols,
            exchange.limits.per_minute,
            exchange.time_us(),
            permission_sets=query.get("showPermissionSets", "true") != "false",
        )

    async def _book_ticker(self, request: web.Request, _: Outcome | None) -> bytes:
        tops = []
        for info in self._asked_for(request.query):
            # The first book of a symbol without subscribers takes a while to make.
            await asyncio.sleep(0)
            if top := self._source.top(info.symbol, self._pacer.fraction()):
                tops.append(top)
        if not _is_of_one(request.query):
            return encode_tops(tops)
        if not tops:
            raise _no_book()
        return encode_one_top(tops[0])

    async def _historical_trades(self, request: web.Request, _: Outcome | None) -> bytes:
        symbol, query = request.query.get("symbol", ""), request.query
        limit = _limit(query, _TRADES_DEFAULT, TRADES_MAX)
        try:
            from_id = whole_number(query["fromId"]) if "fromId" in query else None
        except MalformedNumber:
            raise _Refused(BAD_PARAMETER, "Illegal 'fromId'.") from None
        if limit is None:
            raise _Refused(BAD_PARAMETER, "Illegal 'limit'.")
        self._check_listed(symbol)
        trades = self._source.trades(symbol)
        # With an id, the trades from it on, as far as they are kept; without one, the newest trades.
        wanted = [trade for trade in trades if from_id is None or trade.trade_id >= from_id]
        chosen = wanted[-limit:] if from_id is None else wanted[:limit]
        return encode_trades(chosen, microseconds=_in_us(request))

    async def _time(self, request: web.Request, _: Outcome | None) -> bytes:
        time_us = self._exchange.time_us()
        return msgspec.json.encode({"serverTime": time_us if _in_us(request) else time_us // 1_000})

    async def _ping(self, _request: web.Request, _: Outcome | None) -> bytes:
        return b"{}"

    def _asked_for(self, query: Mapping[str, str]) -> list[SymbolInfo]:
        """The symbols that `symbol` or `symbols` names, or else all."""
        listed = self._exchange.listed()
        names = [query["symbol"]] if "symbol" in query else list(listed)
        if "symbols" in query:
            try:
                names = msgspec.json.decode(query["symbols"], type=list[str])
            except msgspec.DecodeError:
                raise _Refused(BAD_PARAMETER, "Illegal 'symbols'.") from None
        self._check_listed(*names)
        return [listed[name] for name in names]

    def _check_listed(self, *symbols: str) -> None:
        if not self._exchange.listed().keys() >= set(symbols):
            raise _Refused(BAD_SYMBOL, "Invalid symbol.")


def _no_book() -> _Refused:
    return _Refused(UNAVAILABLE, "No book now.", HTTPStatus.SERVICE_UNAVAILABLE)


def _is_of_one(query: Mapping[str, str]) -> bool:
    """Whether a single symbol is asked for by name rather than as a list."""
    return "symbol" in query and "symbols" not in query


def _in_us(request: web.Request) -> bool:
    return request.headers.get(_TIME_UNIT_HEADER, "").upper() == "MICROSECOND"


def _limit(
    query: Mapping[str, str], default: str = _DEPTH_DEFAULT, most: int = DEPTH_MAX
) -> int | None:
    """How many levels a side, or trades, are asked for; None if the value makes no sense."""
    try:
        return min(whole_number(query.get("limit") or default), most) or None
    except MalformedNumber:
        return None
