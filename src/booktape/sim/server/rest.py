"""The REST side of the built-in exchange: snapshots, the list of symbols, and the limits."""

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
"""The true answer; a lie may want an older one, or one that is changed."""


class _Held(NamedTuple):
    symbol: str
    limit: int
    body: asyncio.Future[bytes | None]


class RestEndpoints:
    """Answers requests at once, or, where the source holds them, after a later step."""

    def __init__(self, source: Source, player: Pacer, manners: ServerContext) -> None:
        self._source = source
        self._player = player
        self._manners = manners
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
                self._player.hold(-1)
                if not held.body.done():
                    held.body.set_result(body)

    # ── paths ───────────────────────────────────────────────────────────────────────────────

    async def _depth(self, request: web.Request) -> web.StreamResponse:
        symbol = request.query.get("symbol", "")
        limit = _limit(request.query.get("limit", ""))

        async def answer(lie: Outcome | None) -> Reply:
            if limit is None:
                return error(HTTPStatus.BAD_REQUEST, BAD_PARAMETER, "Illegal 'limit'.")
            if symbol in self._infos:
                self._player.asked(symbol)
            if symbol not in self.listed():
                return error(HTTPStatus.BAD_REQUEST, BAD_SYMBOL, "Invalid symbol.")
            # With one level to spare, since one may be left out.
            spare = isinstance(lie, Altered)
            body = await self._book(symbol, limit + spare, lie if isinstance(lie, Old) else None)
            if body is None:
                return error(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, "No book now.")
            if isinstance(lie, Altered):
                body = encode_depth(lie.alter(decode_depth(body, symbol, limit)))
            return Reply(HTTPStatus.OK, body)

        weight = self._manners.tariff.depth_weight(limit or 1)
        return await self._serve(request, weight, answer)

    async def _exchange_info(self, request: web.Request) -> web.StreamResponse:
        tariff = self._manners.tariff

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
                self._manners.weights.per_minute,
                self._manners.time_us(),
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
                # A first book of a symbol that nobody follows takes a while to make.
                await asyncio.sleep(0)
                if top := self._source.top(name, self._player.fraction()):
                    tops.append(top)
            if not one:
                return Reply(HTTPStatus.OK, encode_tops(tops))
            if not tops:
                return error(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, "No book now.")
            return Reply(HTTPStatus.OK, encode_one_top(tops[0]))

        tariff = self._manners.tariff
        return await self._serve(request, tariff.best_price if one else tariff.best_prices, answer)

    async def _time(self, request: web.Request) -> web.StreamResponse:
        unit = request.headers.get(_TIME_UNIT_HEADER, "").upper()

        async def answer(_: Outcome | None) -> Reply:
            time_us = self._manners.time_us()
            time = time_us if unit == "MICROSECOND" else time_us // 1_000
            return Reply(HTTPStatus.OK, msgspec.json.encode({"serverTime": time}))

        return await self._serve(request, self._manners.tariff.time, answer)

    def listed(self) -> dict[str, SymbolInfo]:
        """The symbols that are there now, each with its status."""
        incidents, now_s = self._manners.market, self._player.slot_end_s
        if not incidents.faults:
            return self._infos
        told = {symbol: incidents.status(symbol, now_s) for symbol in self._infos}
        return {
            symbol: incidents.described(replace(self._infos[symbol], status=status), now_s)
            for symbol, status in told.items()
            if status != DELISTED
        }

    async def _book(self, symbol: str, limit: int, old: Old | None) -> bytes | None:
        if old:
            return self._source.old_depth(symbol, limit, old)
        body = self._source.depth(symbol, limit, self._player.fraction())
        if body is not None or not self._waits(symbol):
            return body
        held = _Held(symbol, limit, asyncio.get_running_loop().create_future())
        self._held.append(held)
        self._player.hold(1)
        return await held.body

    def _waits(self, symbol: str) -> bool:
        return not self._ended and self._source.holds(symbol)

    # ── around every answer ─────────────────────────────────────────────────────────────────

    async def _serve(
        self, request: web.Request, weight: int, answer: _Answer
    ) -> web.StreamResponse:
        """The answer, or what limits and faults put in its place."""
        lie = self._lie(request)
        if isinstance(lie, Reset):
            return reset(request)
        if refusal := self._manners.refusal(request, weight=weight):
            return self._respond(refusal)
        if isinstance(lie, Reply | Banned):
            return self._respond(self._manners.told(lie, request))
        return await self._say(request, lie, answer)

    async def _say(
        self, request: web.Request, lie: Outcome | None, answer: _Answer
    ) -> web.StreamResponse:
        """The answer, or the lie."""
        if isinstance(lie, Hang):
            return await self._manners.void.swallow(request)
        true = await answer(lie)
        if isinstance(lie, Late):
            await self._manners.clock.pause(lie.seconds)
            return self._respond(true)
        symbol = request.query.get("symbol")
        if lie and not isinstance(lie, Altered) and symbol in self._infos:
            # What it got is no snapshot, or no good one: it will ask again.
            self._player.owe({symbol})
        if isinstance(lie, Cropped) and lie.cut:
            return await cut_short(request, true, self._headers())
        half = len(true.body) // 2
        return self._respond(
            replace(true, body=true.body[:half]) if lie == Cropped(cut=False) else true
        )

    def _lie(self, request: web.Request) -> Outcome | None:
        symbol, now_s = request.query.get("symbol"), self._manners.clock.now_s()
        attempt = Attempt("rest", self._requests, now_s, request.path, symbol)
        self._requests += 1
        lie = self._manners.faults.outcome(attempt)
        if lie:
            # Else an exchange that is out of order at its beginning would be so for ever.
            self._manners.clock.start()
        return lie

    def _respond(self, reply: Reply) -> web.Response:
        return response(reply, self._headers())

    def _headers(self) -> dict[str, str]:
        return {USED_WEIGHT_HEADER: str(self._manners.weights.used)}


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
