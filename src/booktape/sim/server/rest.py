"""The REST side of the simulated exchange: snapshots, the list of symbols, and the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

import msgspec
from aiohttp import web

from booktape.core.checks import BookTicker
from booktape.errors import MalformedNumber
from booktape.sim.faults.conditions import Attempt
from booktape.sim.faults.market import DELISTED
from booktape.sim.faults.replies import (
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
from booktape.sim.server.http import cut_short, reset, response
from booktape.sim.server.pacing import Pacer
from booktape.sim.server.symbol_list import encode_symbol_list
from booktape.sim.source import Source
from booktape.wire.binance import decode_depth
from booktape.wire.encode import encode_depth, encode_one_top, encode_tops
from booktape.wire.exchange_info import SymbolInfo
from booktape.wire.limits import DEPTH_MAX, USED_WEIGHT_HEADER
from booktape.wire.numbers import whole_number

_DEPTH_DEFAULT: Final = 100
_TIME_UNIT_HEADER: Final = "X-MBX-TIME-UNIT"

_Answer: TypeAlias = Callable[[Outcome | None], Awaitable[Reply]]
"""The true answer; a fault may want an older one, or one that is changed."""


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
        self._infos = {info.symbol: info for info in source.symbols()}
        self._held: list[_Held] = []
        self._requests = 0
        self._ended = False

    def routes(self) -> list[web.RouteDef]:
        """The paths it serves."""
        return [
            web.get("/api/v3/depth", self._depth),
            web.get("/api/v3/exchangeInfo", self._exchange_info),
            web.get("/api/v3/ticker/bookTicker", self._book_ticker),
            web.get("/api/v3/time", self._time),
        ]

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

    async def _depth(self, request: web.Request) -> web.StreamResponse:
        symbol = request.query.get("symbol", "")
        limit = _limit(request.query.get("limit", ""))

        async def answer(outcome: Outcome | None) -> Reply:
            if limit is None:
                return error(HTTPStatus.BAD_REQUEST, BAD_PARAMETER, "Illegal 'limit'.")
            if symbol in self._infos:
                self._pacer.on_request(symbol)
            if symbol not in self.listed():
                return error(HTTPStatus.BAD_REQUEST, BAD_SYMBOL, "Invalid symbol.")
            # With one level more, since one may be left out.
            more = isinstance(outcome, Altered)
            old = outcome if isinstance(outcome, Old) else None
            body = await self._book(symbol, limit + more, old)
            if body is None:
                return error(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, "No book now.")
            if isinstance(outcome, Altered):
                body = encode_depth(outcome.alter(decode_depth(body, symbol, limit)))
            return Reply(HTTPStatus.OK, body)

        weight = self._context.tariff.depth_weight(limit or 1)
        return await self._serve(request, weight, answer)

    async def _exchange_info(self, request: web.Request) -> web.StreamResponse:
        tariff = self._context.tariff

        async def answer(_: Outcome | None) -> Reply:
            listed = self.listed()
            try:
                names = _names(request.query)
            except msgspec.DecodeError:
                return error(HTTPStatus.BAD_REQUEST, BAD_PARAMETER, "Illegal 'symbols'.")
            if names is None:
                names = list(listed)
            if any(name not in listed for name in names):
                return error(HTTPStatus.BAD_REQUEST, BAD_SYMBOL, "Invalid symbol.")
            unread = request.query.keys() - tariff.list_options - {"symbol", "symbols"}
            if unread:
                sentence = f"Not all sent parameters were read: {min(unread)}."
                return error(HTTPStatus.BAD_REQUEST, UNREAD_PARAMETER, sentence)
            body = encode_symbol_list(
                (listed[name] for name in names),
                self._context.limits.per_minute,
                self._context.time_us(),
                permission_sets=request.query.get("showPermissionSets", "true") != "false",
            )
            return Reply(HTTPStatus.OK, body)

        return await self._serve(request, tariff.exchange_info, answer)

    async def _book_ticker(self, request: web.Request) -> web.StreamResponse:
        one = "symbol" in request.query and "symbols" not in request.query

        async def answer(_: Outcome | None) -> Reply:
            listed = self.listed()
            try:
                names = _names(request.query)
            except msgspec.DecodeError:
                return error(HTTPStatus.BAD_REQUEST, BAD_PARAMETER, "Illegal 'symbols'.")
            if any(name not in listed for name in names or ()):
                return error(HTTPStatus.BAD_REQUEST, BAD_SYMBOL, "Invalid symbol.")
            tops: list[BookTicker] = []
            for name in list(listed) if names is None else names:
                # The first book of a symbol without subscribers takes a while to make.
                await asyncio.sleep(0)
                if top := self._source.top(name, self._pacer.fraction()):
                    tops.append(top)
            if not one:
                return Reply(HTTPStatus.OK, encode_tops(tops))
            if not tops:
                return error(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, "No book now.")
            return Reply(HTTPStatus.OK, encode_one_top(tops[0]))

        tariff = self._context.tariff
        return await self._serve(request, tariff.best_price if one else tariff.best_prices, answer)

    async def _time(self, request: web.Request) -> web.StreamResponse:
        unit = request.headers.get(_TIME_UNIT_HEADER, "").upper()

        async def answer(_: Outcome | None) -> Reply:
            time_us = self._context.time_us()
            time = time_us if unit == "MICROSECOND" else time_us // 1_000
            return Reply(HTTPStatus.OK, msgspec.json.encode({"serverTime": time}))

        return await self._serve(request, self._context.tariff.time, answer)

    def listed(self) -> dict[str, SymbolInfo]:
        """The symbols that are listed now, each with its status."""
        faults, now_s = self._context.market, self._pacer.slot_end_s
        if not faults.faults:
            return self._infos
        statuses = {symbol: faults.status(symbol, now_s) for symbol in self._infos}
        return {
            symbol: faults.described(replace(self._infos[symbol], status=status), now_s)
            for symbol, status in statuses.items()
            if status != DELISTED
        }

    async def _book(self, symbol: str, limit: int, old: Old | None) -> bytes | None:
        if old:
            return self._source.old_depth(symbol, limit, old)
        body = self._source.depth(symbol, limit, self._pacer.fraction())
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
        self, request: web.Request, weight: int, answer: _Answer
    ) -> web.StreamResponse:
        """The answer, or what limits and faults put in its place."""
        context, symbol = self._context, request.query.get("symbol")
        attempt = Attempt("rest", self._requests, context.clock.now_s(), request.path, symbol)
        self._requests += 1
        outcome = context.outcome(attempt)
        if isinstance(outcome, Reset):
            return reset(request)
        reply = context.refusal(request, weight=weight)
        if reply is None and isinstance(outcome, Reply | Banned):
            reply = context.begin_silence(outcome, request)
        if reply:
            return self._respond(reply)
        if isinstance(outcome, Hang):
            return await context.half_open.hold_open(request)
        true = await answer(outcome)
        if isinstance(outcome, Late):
            await context.clock.pause(outcome.seconds)
        elif isinstance(outcome, Old | Cropped) and symbol in self._infos:
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


def _names(query: Mapping[str, str]) -> list[str] | None:
    """The symbols asked for; None for all. Raises msgspec.DecodeError for no list of names."""
    if "symbols" in query:
        return msgspec.json.decode(query["symbols"], type=list[str])
    return [query["symbol"]] if "symbol" in query else None


def _limit(text: str) -> int | None:
    """How many levels a side are asked for; None when that makes no sense."""
    if not text:
        return _DEPTH_DEFAULT
    try:
        return min(whole_number(text), DEPTH_MAX) or None
    except MalformedNumber:
        return None
