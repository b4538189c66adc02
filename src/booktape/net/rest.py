"""The REST door: snapshots and the list of symbols, within the weight that the exchange allows."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import deque
from dataclasses import replace
from http import HTTPStatus
from typing import Final

import aiohttp
import structlog
from aiohttp import ClientTimeout
from yarl import URL

from booktape.core.events import FetchSnapshot, Urgency
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

_TIMEOUT: Final = ClientTimeout(total=30, sock_connect=5, sock_read=10)
_SILENCE_S: Final = {429: 60.0, 418: 120.0}  # where the answer itself has no Retry-After

_NEVER_SOON: Final = 8  # as many attempts as it takes for the longest pauses
_HINT: Final = "trying again until it answers; without a network, --exchange sim works"

log = structlog.get_logger()


class Rest:
    """Asks, at the pace the exchange allows, until it is answered.

    `fetch` is a request as a value being carried out: the answer is put into the inbox as a frame.
    One request is under way at a time: were there two, the second could reach the exchange after it
    had answered 429 to the first. At full depth the budget allows no more than one in 2.5 s anyway.
    The most urgent goes first, then whoever asked first. Known weaknesses: a request that hangs holds
    up the others until it times out; and aiohttp itself repeats a request once whose connection
    breaks, which the budget does not see.
    """

    def __init__(self, link: Link, depth: int) -> None:
        self.budget = WeightBudget(WEIGHT_PER_MINUTE)
        self.requests = 0
        self._link = link
        self._clock = link.clock
        self._depth = depth
        self._asked_s: dict[str, float] = {}
        self._waiting: list[tuple[Urgency, int, FetchSnapshot]] = []
        self._some = asyncio.Event()
        self._order = itertools.count()
        self._pauses = full_jitter(random.uniform)
        self._tasks: asyncio.TaskGroup

    async def exchange_info(self) -> ExchangeInfo | None:
        """What the exchange lists; None when this server does not say (404). Tries for ever."""
        while True:
            try:
                await self._admit(EXCHANGE_INFO_WEIGHT)
                _, body = await self._send(self._link.venue.exchange_info_url())
                info = decode_exchange_info(body)
            except (ExchangeError, MalformedFrame) as error:
                if isinstance(error, Refused) and error.status == HTTPStatus.NOT_FOUND:
                    return None
                await self._recover(error, hint=_HINT)
            else:
                self.budget.limit = info.weight_per_minute
                return info

    def fetch(self, request: FetchSnapshot) -> None:
        """Ask for a snapshot as it will be from now on.

        A symbol that waits for its turn is not queued twice; where an answer to an earlier
        question is under way, that one will be asked once more.
        """
        if request.symbol not in self._asked_s:
            if request.attempt == 1:
                self._queue(request)
            else:
                self._tasks.create_task(self._queue_later(request))
        self._asked_s[request.symbol] = self._clock.steady_s()

    async def run(self) -> None:
        """Serve requests until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                await self._some.wait()
                # The budget first: whoever is most urgent by then goes.
                await self._admit(depth_weight(self._depth))
                _, _, request = heapq.heappop(self._waiting)
                if not self._waiting:
                    self._some.clear()
                await self._serve(request)

    async def _serve(self, request: FetchSnapshot) -> None:
        symbol = request.symbol
        url = self._link.venue.depth_url(symbol, self._depth)
        try:
            sent_s, body = await self._send(url)
        except ExchangeError as error:
            if isinstance(error, Refused) and error.status == HTTPStatus.BAD_REQUEST:
                # This symbol's trouble, not the exchange's: the others need not wait.
                log.warning("refused", symbol=symbol, error=str(error))
                self._tasks.create_task(self._queue_later(replace(request, attempt=_NEVER_SOON)))
            else:
                self._queue(request)
                await self._recover(error, symbol=symbol)
            return
        self._pauses = full_jitter(random.uniform)
        # One that was sent before the stream was (re)connected may be older than the stream: on a
        # quiet symbol nothing would tell, and an old book would be called known.
        if sent_s < self._asked_s[symbol]:
            self._queue(request)
            return
        # Free to be asked for again before anyone can see the answer.
        del self._asked_s[symbol]
        await self._link.inbox.put(RestFrame(self._clock.now_ns(), symbol, self._depth, body))

    def _queue(self, request: FetchSnapshot) -> None:
        heapq.heappush(self._waiting, (request.urgency, next(self._order), request))
        self._some.set()

    async def _queue_later(self, request: FetchSnapshot) -> None:
        """An answer that did not fit will not fit better at once: repeats are spaced out."""
        pauses = itertools.islice(full_jitter(random.uniform), request.attempt - 1)
        await self._clock.pause(deque(pauses, maxlen=1).pop())
        self._queue(request)

    async def _recover(self, error: Exception, **what: str) -> None:
        """The exchange, or the way to it, is in trouble: nothing is asked for a while."""
        pause_s = next(self._pauses)
        log.warning(
            "exchange did not answer", error=str(error), again_in_s=round(pause_s, 1), **what
        )
        await self._clock.pause(pause_s)

    async def _admit(self, weight: int) -> None:
        """Wait until the budget has room, and take it."""
        while wait_s := self.budget.wait_s(weight, self._clock.steady_s()):
            await self._clock.pause(wait_s)
        self.budget.spend(weight, self._clock.steady_s())

    async def _send(self, url: str) -> tuple[float, bytes]:
        """When it was sent (steady time), and the body of the answer. Raises ExchangeError."""
        session = self._link.session
        sent_s = self._clock.steady_s()
        self.requests += 1
        try:
            async with session.get(URL(url, encoded=True), timeout=_TIMEOUT) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{url}: {reason(error)}") from error
        self._obey(answer)
        if answer.status != HTTPStatus.OK:
            raise Refused(answer.status, f"{url} answered {answer.status}: {body[:120]!r}")
        return sent_s, body

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
