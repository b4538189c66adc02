"""The REST door: snapshots and the list of symbols, within the weight that the exchange allows."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

import aiohttp
import structlog
from aiohttp import ClientTimeout
from yarl import URL

from booktape.core.events import FetchSnapshot
from booktape.core.frames import RestFrame
from booktape.errors import ExchangeError, MalformedFrame, Refused, TooFast, Unreachable
from booktape.net.backoff import full_jitter
from booktape.net.budget import WeightBudget
from booktape.net.link import Link, reason
from booktape.wire.exchange_info import ExchangeInfo, decode_exchange_info
from booktape.wire.limits import (
    EXCHANGE_INFO_WEIGHT,
    USED_WEIGHT_HEADER,
    WEIGHT_PER_MINUTE,
    depth_weight,
)

WORKERS: Final = 4
"""Snapshots that may be under way at once: each takes up to a second, mostly of waiting."""

_TIMEOUT: Final = ClientTimeout(total=30, sock_connect=10)
_SILENCE_S: Final = {429: 60.0, 418: 120.0}  # where the answer itself has no Retry-After

log = structlog.get_logger()


class Rest:
    """Asks, at the pace the exchange allows, until it is answered.

    `fetch` is a request as a value being carried out: the answer is put into `inbox` as a frame.
    Known weakness: requests are served in the order of asking; there are no priorities yet.
    """

    def __init__(self, link: Link, depth: int) -> None:
        self.budget = WeightBudget(WEIGHT_PER_MINUTE)
        self.requests = 0
        self._link = link
        self._clock = link.clock
        self._depth = depth
        self._asked: set[str] = set()
        self._queue: asyncio.Queue[FetchSnapshot] = asyncio.Queue()
        self._gate = asyncio.Lock()

    async def exchange_info(self) -> ExchangeInfo | None:
        """What the exchange lists; None when this server does not say (404). Tries for ever."""
        for pause_s in full_jitter(random.uniform):
            try:
                body = await self._get(self._link.venue.exchange_info_url(), EXCHANGE_INFO_WEIGHT)
                info = decode_exchange_info(body)
            except Refused as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    return None
                await self._complain(error, pause_s)
            except (ExchangeError, MalformedFrame) as error:
                await self._complain(error, pause_s)
            else:
                self.budget.per_minute = info.weight_per_minute
                return info
        raise AssertionError("the pauses never end")

    def fetch(self, request: FetchSnapshot) -> None:
        """Ask for a snapshot. A symbol that is already being asked for is not asked for twice."""
        if request.symbol not in self._asked:
            self._asked.add(request.symbol)
            self._queue.put_nowait(request)

    async def run(self) -> None:
        """Serve requests until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            request = await self._queue.get()
            frame = await self._answer(request)
            # Free to be asked for again before anyone can see the answer.
            self._asked.discard(request.symbol)
            await self._link.inbox.put(frame)

    async def _answer(self, request: FetchSnapshot) -> RestFrame:
        pauses = full_jitter(random.uniform)
        # An answer that did not fit will not fit better at once: repeats are spaced out.
        await self._clock.pause(_nth(pauses, request.attempt - 1))
        url = self._link.venue.depth_url(request.symbol, self._depth)
        for pause_s in pauses:
            try:
                body = await self._get(url, depth_weight(self._depth))
            except ExchangeError as error:
                await self._complain(error, pause_s, symbol=request.symbol)
            else:
                return RestFrame(self._clock.now_ns(), request.symbol, self._depth, body)
        raise AssertionError("the pauses never end")

    async def _complain(self, error: Exception, pause_s: float, **what: str) -> None:
        log.warning(
            "exchange did not answer", error=str(error), again_in_s=round(pause_s, 1), **what
        )
        await self._clock.pause(pause_s)

    async def _get(self, url: str, weight: int) -> bytes:
        """One request, when the budget allows it. Raises ExchangeError."""
        await self._admit(weight)
        self.requests += 1
        try:
            async with self._link.session.get(URL(url, encoded=True), timeout=_TIMEOUT) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{url}: {reason(error)}") from error
        self._obey(answer)
        if answer.status != HTTPStatus.OK:
            raise Refused(answer.status, f"{url} answered {answer.status}: {body[:120]!r}")
        return body

    async def _admit(self, weight: int) -> None:
        """Wait until the budget has room. One at a time, or two would share the same room."""
        async with self._gate:
            while wait_s := self.budget.wait_s(weight, self._clock.steady_s()):
                await self._clock.pause(wait_s)
            self.budget.spend(weight, self._clock.steady_s())

    def _obey(self, answer: aiohttp.ClientResponse) -> None:
        now_s = self._clock.steady_s()
        used = answer.headers.get(USED_WEIGHT_HEADER, "")
        if used.isdecimal():
            self.budget.observe(int(used), now_s)
        if answer.status in _SILENCE_S:
            after = answer.headers.get("Retry-After", "")
            silence_s = float(after) if after.isdecimal() else _SILENCE_S[answer.status]
            self.budget.be_silent(silence_s, now_s)
            raise TooFast(
                answer.status,
                f"{answer.url.host} answered {answer.status}: no request for {silence_s:.0f} s",
                silence_s,
            )


def _nth(pauses: Iterator[float], count: int) -> float:
    """The `count`-th pause; none for a first attempt."""
    pause_s = 0.0
    for _ in range(min(count, 8)):
        pause_s = next(pauses)
    return pause_s
