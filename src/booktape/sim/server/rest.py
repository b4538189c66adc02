"""The REST side of the simulated exchange: snapshots, the list of symbols, and the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

import msgspec
from aiohttp import web

from booktape.core.tape_records import DELISTED
from booktape.errors import MalformedNumber
from booktape.sim.faults.conditions import Attempt
from booktape.sim.faults.outcomes import (
    BAD_PARAMETER,
    BAD_SYMBOL,
    UNAVAILABLE,
    UNREAD_PARAMETER,
    Altered,
    Banned,
    Cropped,
    Hang,
    Late,
    Old,
    Outcome,
    Reply,
    Reset,
    error,
)
from booktape.sim.server.context import ServerContext
from booktape.sim.server.pacing import Pacer
from booktape.sim.server.sockets import cut_short, reset, response
from booktape.sim.server.symbol_list import encode_symbol_list
from booktape.sim.source import Source
from booktape.wire.binance import decode_depth
from booktape.wire.encode import encode_depth, encode_one_top, encode_tops, encode_trades
from booktape.wire.exchange_info import SymbolInfo
from booktape.wire.limits import DEPTH_MAX, TRADES_MAX, USED_WEIGHT_HEADER
from booktape.wire.numbers import whole_number

_DEPTH_DEFAULT: Final = "100"
_TRADES_DEFAULT: Final = "500"
_TIME_UNIT_HEADER: Final = "X-MBX-TIME-UNIT"

_Answer: TypeAlias = Callable[[web.Request, Outcome | None], Awaitable[Reply]]
"""Makes the true answer; a fault may want an older one, or one that is changed."""

_Weight: TypeAlias = Callable[[Mapping[str, str]], int]
"""What a request with this query weighs."""

_NO_BOOK: Final = error(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, "No book now.")


class _Held(NamedTuple):
    symbol: str
    limit: int
    body: asyncio.Future[bytes | None]


class RestEndpoints:
    """Answers requests at once, or, where the source holds them, after a later step."""

    def __init__(self, source: Source, pacer: Pacer, context: ServerContext) -> None:
        self._source = source
        self._pacer = pacer
        self._context = context
        self._symbols = {info.symbol for info in source.symbols()}
        self._held: list[_Held] = []
        self._requests = 0
        self._ended = False

    def routes(self) -> list[web.RouteDef]:
        """The paths it serves, and what each weighs."""
        tariff = self._context.tariff
        return [
            self._route(
                "depth", self._depth, lambda query: tariff.depth_weight(_limit(query) or 1)
            ),
            self._route("exchangeInfo", self._exchange_info, lambda _: tariff.exchange_info),
            self._route(
                "ticker/bookTicker",
                self._book_ticker,
                lambda query: tariff.best_price if _is_of_one(query) else tariff.best_prices,
            ),
            self._route("historicalTrades", self._historical_trades, lambda _: tariff.trades),
            self._route("time", self._time, lambda _: tariff.time),
            self._route("ping", self._ping, lambda _: tariff.time),
        ]

    def _route(self, path: str, answer: _Answer, weight: _Weight) -> web.RouteDef:
        return web.get(f"/api/v3/{path}", partial(self._serve, answer, weight))

    def answer_held(self, *, ended: bool = False) -> None:
        """Answer the requests whose book has become known; called after every step.

        Once the source has `ended` no book will: those that still wait get a 503.
        """
        self._ended |= ended
        for held in list(self._held):
            body = self._source.depth(held.symbol, held.limit, 0)
            if body is not None or not self._waits(held.symbol):
                self._held.remove(held)
                self._pacer.add_held(-1)
                if not held.body.done():
                    held.body.set_result(body)

    # ── paths ───────────────────────────────────────────────────────────────────────────────

    async def _depth(self, request: web.Request, outcome: Outcome | None) -> Reply:
        symbol, limit = request.query.get("symbol", ""), _limit(request.query)
        if limit is None:
            return _bad(BAD_PARAMETER, "Illegal 'limit'.")
        if symbol in self._symbols:
            self._pacer.on_request(symbol)
        if symbol not in self.listed():
            return _bad(BAD_SYMBOL, "Invalid symbol.")
        # With one level more, since one may be left out.
        more = isinstance(outcome, Altered)
        body = await self._book(symbol, limit + more, outcome if isinstance(outcome, Old) else None)
        if body is None:
            return _NO_BOOK
        if isinstance(outcome, Altered):
            body = encode_depth(outcome.alter(decode_depth(body, symbol, limit)))
        return Reply(HTTPStatus.OK, body)

    async def _exchange_info(self, request: web.Request, _: Outcome | None) -> Reply:
        symbols, query = self._asked_for(request.query), request.query
        if isinstance(symbols, Reply):
            return symbols
        if unread := query.keys() - self._context.tariff.list_options - {"symbol", "symbols"}:
            return _bad(UNREAD_PARAMETER, f"Not all sent parameters were read: {min(unread)}.")
        body = encode_symbol_list(
            symbols,
            self._context.limits.per_minute,
            self._context.time_us(),
            permission_sets=query.get("showPermissionSets", "true") != "false",
        )
        return Reply(HTTPStatus.OK, body)

    async def _book_ticker(self, request: web.Request, _: Outcome | None) -> Reply:
        symbols, tops = self._asked_for(request.query), []
        if isinstance(symbols, Reply):
            return symbols
        for info in symbols:
            # The first book of a symbol without subscribers takes a while to make.
            await asyncio.sleep(0)
            if top := self._source.top(info.symbol, self._pacer.fraction()):
                tops.append(top)
        if _is_of_one(request.query):
            return Reply(HTTPStatus.OK, encode_one_top(tops[0])) if tops else _NO_BOOK
        return Reply(HTTPStatus.OK, encode_tops(tops))

    async def _historical_trades(self, request: web.Request, _: Outcome | None) -> Reply:
        symbol, query = request.query.get("symbol", ""), request.query
        limit = _limit(query, _TRADES_DEFAULT, TRADES_MAX)
        try:
            from_id = whole_number(query["fromId"]) if "fromId" in query else None
        except MalformedNumber:
            return _bad(BAD_PARAMETER, "Illegal 'fromId'.")
        if limit is None:
            return _bad(BAD_PARAMETER, "Illegal 'limit'.")
        if symbol not in self.listed():
            return _bad(BAD_SYMBOL, "Invalid symbol.")
        trades = self._source.trades(symbol, from_id, limit)
        return Reply(HTTPStatus.OK, encode_trades(trades, microseconds=_in_us(request)))

    async def _time(self, request: web.Request, _: Outcome | None) -> Reply:
        time_us = self._context.time_us()
        body = msgspec.json.encode({"serverTime": time_us if _in_us(request) else time_us // 1_000})
        return Reply(HTTPStatus.OK, body)

    async def _ping(self, _request: web.Request, _: Outcome | None) -> Reply:
        return Reply(HTTPStatus.OK, b"{}")

    def _asked_for(self, query: Mapping[str, str]) -> list[SymbolInfo] | Reply:
        """The symbols that `symbol` or `symbols` names, or else all; the refusal of a wrong list."""
        listed = self.listed()
        names = [query["symbol"]] if "symbol" in query else list(listed)
        if "symbols" in query:
            try:
                names = msgspec.json.decode(query["symbols"], type=list[str])
            except msgspec.DecodeError:
                return _bad(BAD_PARAMETER, "Illegal 'symbols'.")
        if any(name not in listed for name in names):
            return _bad(BAD_SYMBOL, "Invalid symbol.")
        return [listed[name] for name in names]

    def listed(self) -> dict[str, SymbolInfo]:
        """The symbols that are listed now, each with its status."""
        faults, now_s = self._context.market, self._pacer.slot_end_s
        infos = self._source.symbols()
        if faults.faults:
            infos = [faults.described(info, now_s) for info in infos]
        return {info.symbol: info for info in infos if info.status != DELISTED}

    async def _book(self, symbol: str, limit: int, old: Old | None) -> bytes | None:
        body = self._source.depth(symbol, limit, self._pacer.fraction(), old)
        if body is not None or not self._waits(symbol):
            return body
        held = _Held(symbol, limit, asyncio.get_running_loop().create_future())
        self._held.append(held)
        self._pacer.add_held(1)
        return await held.body

    def _waits(self, symbol: str) -> bool:
        return not self._ended and self._source.holds(symbol)

    # ── around every answer ─────────────────────────────────────────────────────────────────

    async def _serve(
        self, answer: _Answer, weight: _Weight, request: web.Request
    ) -> web.StreamResponse:
        """The answer, or what limits and faults put in its place."""
        context, symbol = self._context, request.query.get("symbol")
        attempt = Attempt("rest", self._requests, context.clock.now_s(), request.path, symbol)
        self._requests += 1
        outcome = context.outcome(attempt)
        if isinstance(outcome, Reset):
            return reset(request)
        reply = context.refusal(request, weight=weight(request.query))
        if reply is None and isinstance(outcome, Reply | Banned):
            reply = context.begin_silence(outcome, request)
        if reply:
            return self._respond(reply)
        if isinstance(outcome, Hang):
            return await context.half_open.hold_open(request)
        true = await answer(request, outcome)
        if isinstance(outcome, Late):
            await context.clock.pause(outcome.seconds)
        elif isinstance(outcome, Old | Cropped) and symbol in self._symbols and attempt.is_for_book:
            # The client got no snapshot, or no good one: it will ask again.
            self._pacer.expect_requests({symbol})
        if not isinstance(outcome, Cropped):
            return self._respond(true)
        if outcome.cut:
            return await cut_short(request, true, self._headers())
        return self._respond(replace(true, body=true.body[: len(true.body) // 2]))

    def _respond(self, reply: Reply) -> web.Response:
        return response(reply, self._headers())

    def _headers(self) -> dict[str, str]:
        return {USED_WEIGHT_HEADER: str(self._context.limits.used)}


def _bad(code: int, message: str) -> Reply:
    return error(HTTPStatus.BAD_REQUEST, code, message)


def _is_of_one(query: Mapping[str, str]) -> bool:
    """Whether a single symbol is asked for by name, and not as a list."""
    return "symbol" in query and "symbols" not in query


def _in_us(request: web.Request) -> bool:
    return request.headers.get(_TIME_UNIT_HEADER, "").upper() == "MICROSECOND"


def _limit(
    query: Mapping[str, str], default: str = _DEPTH_DEFAULT, most: int = DEPTH_MAX
) -> int | None:
    """How many levels a side, or trades, are asked for; None when that makes no sense."""
    try:
        return min(whole_number(query.get("limit") or default), most) or None
    except MalformedNumber:
        return None
