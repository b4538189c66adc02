"""The REST door: snapshots and the list of symbols, within the weight that the exchange allows."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import deque
from dataclasses import replace
from http import HTTPStatus
from typing import Final, NamedTuple

import aiohttp
import structlog
from aiohttp import ClientTimeout
from yarl import URL

from booktape.core.events import FetchSnapshot, Urgency
from booktape.core.frames import Asked, RestFrame
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

_SAYS_NOTHING: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST)
_NEVER_SOON: Final = 14  # as many attempts as it takes for the longest pauses
_HINT: Final = "trying again until it answers; without a network, --exchange sim works"

LOOK_EVERY_S: Final = 1.0

log = structlog.get_logger()


class _Asked(NamedTuple):
    """The last request for a symbol, and when (steady time) it was made."""

    at_s: float
    request: FetchSnapshot


class Rest:
    """Asks, at the pace the exchange allows, until it is answered.

    `fetch` is a request as a value being carried out: the answer is put into the inbox as a frame.
    One request is under way at a time: were there two, the second could reach the exchange after it
    had answered 429 to the first. At full depth the budget allows no more than one in 2.5 s anyway.
    The most urgent goes first, then whoever asked first; audits leave half of the budget to books
    that are not known. `doubt` is set when the exchange does not know a symbol. When `sharers`
    processes have one address, each keeps to its part of the budget.

    Known weaknesses: where answers are slow and many books shallow, round trips and not the budget
    say how long it takes until all are known; books that become deep may take all of the budget, and
    one that is lost then waits for a minute at most; a 429 silences only the sharer that met it; a
    request that hangs holds up the others until it times out; and aiohttp itself repeats a request
    once whose connection breaks, which the budget does not see.
    """

    def __init__(self, link: Link, sharers: int = 1) -> None:
        self._sharers = sharers
        self.budget = WeightBudget(WEIGHT_PER_MINUTE // sharers)
        self.requests = 0
        self.doubt = asyncio.Event()
        self._link = link
        self._clock = link.clock
        self._asked: dict[str, _Asked] = {}
        self._turn = asyncio.Lock()
        self._waiting: list[tuple[Urgency, int, FetchSnapshot]] = []
        self._some = asyncio.Event()
        self._order = itertools.count()
        self._pauses = full_jitter(random.uniform)
        self._tasks: asyncio.TaskGroup

    async def exchange_info(self, symbols: tuple[str, ...] = ()) -> ExchangeInfo | None:
        """What the exchange lists, of these symbols or of all. Tries for ever.

        None when this server does not say (404), or does not list one of the symbols (400).
        """
        while True:
            try:
                async with self._turn:
                    await self._admit(EXCHANGE_INFO_WEIGHT)
                    _, body = await self._send(self._link.venue.exchange_info_url(symbols))
                info = await asyncio.to_thread(decode_exchange_info, body)
            except (ExchangeError, MalformedFrame) as error:
                if isinstance(error, Refused) and error.status in _SAYS_NOTHING:
                    return None
                await self._recover(error, hint=_HINT)
            else:
                self.budget.limit = info.weight_per_minute // self._sharers
                return info

    def fetch(self, request: FetchSnapshot) -> None:
        """Ask for a snapshot as it will be from now on.

        A symbol that waits for its turn is not queued twice, but may become more urgent; where an
        answer to an earlier question is under way, that one will be asked once more.
        """
        before, now_s = self._asked.get(request.symbol), self._clock.steady_s()
        if before and request.urgency >= Urgency.DEEPER:
            return
        self._asked[request.symbol] = _Asked(now_s, request)
        if before is None and request.attempt > 1:
            self._tasks.create_task(self._queue_later(request))
        elif before is None or (
            request.urgency < before.request.urgency and self._take_out(request.symbol)
        ):
            self._again(request.symbol)

    def forget(self, symbol: str) -> None:
        """Do not ask for this symbol any more."""
        self._asked.pop(symbol, None)
        self._take_out(symbol)

    async def run(self) -> None:
        """Serve requests until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            while True:
                await self._some.wait()
                async with self._turn:
                    wait_s = self._wait_s()
                    if not wait_s:
                        await self._serve_next()
                if wait_s:
                    # In short naps: somebody more urgent may come, for whom there is budget.
                    await self._clock.pause(min(wait_s, LOOK_EVERY_S))

    def _wait_s(self) -> float:
        """How long whoever is most urgent has to wait."""
        if not self._waiting:
            return 0.0
        urgency, _, request = self._waiting[0]
        reserve = self.budget.limit // 2 if urgency is Urgency.AUDIT else 0
        return self.budget.wait_s(depth_weight(request.limit) + reserve, self._clock.steady_s())

    async def _serve_next(self) -> None:
        if self._waiting:
            _, _, request = heapq.heappop(self._waiting)
            self.budget.spend(depth_weight(request.limit), self._clock.steady_s())
            await self._serve(request)
        if not self._waiting:
            self._some.clear()

    async def _serve(self, request: FetchSnapshot) -> None:
        symbol, limit, inbox = request.symbol, request.limit, self._link.inbox
        url = self._link.venue.depth_url(symbol, limit)
        await inbox.put(Asked(self._clock.now_ns(), symbol, limit))
        try:
            sent_s, body = await self._send(url)
        except ExchangeError as error:
            if isinstance(error, Refused) and error.status == HTTPStatus.BAD_REQUEST:
                # This symbol's trouble, not the exchange's: the others need not wait.
                log.warning("refused", symbol=symbol, error=str(error))
                self.doubt.set()
                self._tasks.create_task(self._queue_later(replace(request, attempt=_NEVER_SOON)))
            else:
                self._again(symbol)
                await self._recover(error, symbol=symbol)
            return
        self._pauses = full_jitter(random.uniform)
        asked = self._asked.get(symbol)
        if asked is None:
            return
        # One that was sent before the stream was (re)connected may be older than the stream: on a
        # quiet symbol nothing would tell, and an old book would be called known.
        if sent_s < asked.at_s:
            self._again(symbol)
            return
        # Free to be asked for again before anyone can see the answer.
        del self._asked[symbol]
        await inbox.put(RestFrame(self._clock.now_ns(), symbol, limit, body))

    def _take_out(self, symbol: str) -> bool:
        """Out of the queue with it; False when it was not there (but under way, or spaced out)."""
        waiting = [entry for entry in self._waiting if entry[2].symbol != symbol]
        found = len(waiting) < len(self._waiting)
        heapq.heapify(waiting)
        self._waiting = waiting
        return found

    def _again(self, symbol: str) -> None:
        """Into the queue with the last request for this symbol, unless it was forgotten."""
        if symbol in self._asked:
            request = self._asked[symbol].request
            heapq.heappush(self._waiting, (request.urgency, next(self._order), request))
            self._some.set()

    async def _queue_later(self, request: FetchSnapshot) -> None:
        """An answer that did not fit will not fit better at once: repeats are spaced out."""
        pauses = itertools.islice(full_jitter(random.uniform), request.attempt - 1)
        await self._clock.pause(deque(pauses, maxlen=1).pop())
        self._again(request.symbol)

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
            # What the other sharers may use is not ours to count.
            theirs = self.budget.limit * (self._sharers - 1)
            self.budget.observe(int(used) - theirs, now_s)
        if answer.status in _SILENCE_S:
            after = answer.headers.get("Retry-After", "")
            silence_s = float(after) if after.isdecimal() else _SILENCE_S[answer.status]
            self.budget.be_silent(silence_s, now_s)
            raise TooFast(
                answer.status,
                f"{answer.url.host} answered {answer.status}: no request for {silence_s:.0f} s",
                silence_s,
            )
