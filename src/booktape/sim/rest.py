"""The REST side of the built-in exchange: snapshots, the list of symbols, and the limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from booktape.sim.conditions import Attempt
from booktape.sim.faults import Faults
from booktape.sim.player import Player
from booktape.sim.source import Source
from booktape.sim.weight import Weights
from booktape.wire.exchange_info import encode_exchange_info
from booktape.wire.limits import DEPTH_MAX, EXCHANGE_INFO_WEIGHT, USED_WEIGHT_HEADER, depth_weight

_DEPTH_DEFAULT: Final = 100
_PLAIN_WEIGHT: Final = 1

_UNAVAILABLE: Final = -1001
_TOO_FAST: Final = -1003
_BAD_PARAMETER: Final = -1100
_BAD_SYMBOL: Final = -1121


class _Answer(NamedTuple):
    status: int
    body: bytes
    retry_after_s: int | None = None


class _Held(NamedTuple):
    symbol: str
    limit: int
    body: asyncio.Future[bytes | None]


class Rest:
    """Answers requests at once, or, where the source holds them, after a later step."""

    def __init__(self, source: Source, player: Player, faults: Faults, weights: Weights) -> None:
        self._source = source
        self._player = player
        self._faults = faults
        self._weights = weights
        self._infos = {info.symbol: info for info in source.symbols()}
        self._held: list[_Held] = []
        self._requests = 0
        self._ended = False
        self._opened_s = time.monotonic()

    def routes(self) -> list[web.RouteDef]:
        """The paths it serves."""
        return [
            web.get("/api/v3/depth", self._depth),
            web.get("/api/v3/exchangeInfo", self._exchange_info),
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
                self._player.hold(len(self._held))
                if not held.body.done():
                    held.body.set_result(body)

    # ── paths ───────────────────────────────────────────────────────────────────────────────

    async def _depth(self, request: web.Request) -> web.Response:
        symbol = request.query.get("symbol", "")
        limit = _limit(request.query.get("limit", ""))

        async def answer() -> _Answer:
            if limit is None:
                return _error(HTTPStatus.BAD_REQUEST, _BAD_PARAMETER, "Illegal 'limit'.")
            if symbol not in self._infos:
                return _error(HTTPStatus.BAD_REQUEST, _BAD_SYMBOL, "Invalid symbol.")
            self._player.asked(symbol)
            body = await self._book(symbol, limit)
            if body is None:
                return _error(HTTPStatus.SERVICE_UNAVAILABLE, _UNAVAILABLE, "No book now.")
            return _Answer(HTTPStatus.OK, body)

        return await self._serve(request, depth_weight(limit or 1), answer)

    async def _exchange_info(self, request: web.Request) -> web.Response:
        async def answer() -> _Answer:
            infos = self._infos.values()
            return _Answer(HTTPStatus.OK, encode_exchange_info(infos, self._weights.per_minute))

        return await self._serve(request, EXCHANGE_INFO_WEIGHT, answer)

    async def _time(self, request: web.Request) -> web.Response:
        async def answer() -> _Answer:
            time_ms = self._player.time_us() // 1_000
            return _Answer(HTTPStatus.OK, msgspec.json.encode({"serverTime": time_ms}))

        return await self._serve(request, _PLAIN_WEIGHT, answer)

    async def _book(self, symbol: str, limit: int) -> bytes | None:
        body = self._source.depth(symbol, limit, self._player.fraction())
        if body is not None or not self._waits(symbol):
            return body
        held = _Held(symbol, limit, asyncio.get_running_loop().create_future())
        self._held.append(held)
        self._player.hold(len(self._held))
        return await held.body

    def _waits(self, symbol: str) -> bool:
        return not self._ended and self._source.holds(symbol)

    # ── around every answer ─────────────────────────────────────────────────────────────────

    async def _serve(
        self, request: web.Request, weight: int, answer: Callable[[], Awaitable[_Answer]]
    ) -> web.Response:
        """The answer, or what limits and faults put in its place."""
        now_s = time.monotonic() - self._opened_s
        symbol = request.query.get("symbol")
        attempt = Attempt("rest", self._requests, now_s, request.path, symbol)
        self._requests += 1
        if self._faults.refuses(attempt):
            return reset(request)
        if owed := self._weights.charge(weight, now_s):
            too_fast = _error(owed.status, _TOO_FAST, "Too much request weight used.")
            return self._respond(too_fast._replace(retry_after_s=owed.retry_after_s))
        lie = self._faults.answers(attempt)
        if lie and not lie.truncated:
            if lie.retry_after_s:
                self._weights.silence(lie.status, lie.retry_after_s, now_s)
            return self._respond(
                _error(lie.status, _UNAVAILABLE, "Told to fail.", lie.retry_after_s)
            )
        true = await answer()
        if lie and symbol in self._infos:
            # What it got is no snapshot: it will ask again.
            self._player.owe({symbol})
        return self._respond(true._replace(body=true.body[: len(true.body) // 2]) if lie else true)

    def _respond(self, answer: _Answer) -> web.Response:
        headers = {USED_WEIGHT_HEADER: str(self._weights.used)}
        if answer.retry_after_s is not None:
            headers["Retry-After"] = str(answer.retry_after_s)
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers=headers,
            content_type="application/json",
            charset="utf-8",
        )


def reset(request: web.Request) -> web.Response:
    """Reset the connection. The response is for aiohttp's handler; it never leaves."""
    if request.transport:
        request.transport.abort()
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)


def _limit(text: str) -> int | None:
    """How many levels a side are asked for; None when that makes no sense."""
    if not text:
        return _DEPTH_DEFAULT
    if not (text.isascii() and text.isdecimal() and int(text)):
        return None
    return min(int(text), DEPTH_MAX)


def _error(status: int, code: int, message: str, retry_after_s: int | None = None) -> _Answer:
    body = msgspec.json.encode({"code": code, "msg": message})
    return _Answer(status, body, retry_after_s)
