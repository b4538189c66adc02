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

_TIMEOUT: Final = ClientTimeout(total=30, sock_connect=5, sock_read=10)
_SILENCE_S: Final = {429: 60.0, 418: 120.0}  # where the answer itself has no Retry-After

_HINT: Final = "trying again until it answers; without a network, --exchange sim works"

log = structlog.get_logger()


class Rest:
    """Asks, at the pace the exchange allows, until it is answered.

    `fetch` is a request as a value being carried out: the answer is put into the inbox as a frame.
    One request is under way at a time: were there two, the second could reach the exchange after it
    had answered 429 to the first. At full depth the budget allows no more than one in 2.5 s anyway.
    Known weakness: requests are served in the order of asking, and one that hangs holds up the rest.
    """

    def __init__(self, link: Link, depth: int) -> None:
        self.budget = WeightBudget(WEIGHT_PER_MINUTE)
        self.requests = 0
        self._link = link
        self._clock = link.clock
        self._depth = depth
        self._asked_s: dict[str, float] = {}
        self._gate = asyncio.Lock()
        self._queue: asyncio.Queue[FetchSnapshot] = asyncio.Queue()

    async def exchange_info(self) -> ExchangeInfo | None:
        """What the exchange lists; None when this server does not say (404). Tries for ever."""
        for pause_s in full_jitter(random.uniform):
            try:
                _, body = await self._get(
                    self._link.venue.exchange_info_url(), EXCHANGE_INFO_WEIGHT
                )
                info = decode_exchange_info(body)
            except Refused as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    return None
                await self._complain(error, pause_s, hint=_HINT)
            except (ExchangeError, MalformedFrame) as error:
                await self._complain(error, pause_s, hint=_HINT)
            else:
                self.budget.limit = info.weight_per_minute
                return info
        raise AssertionError("the pauses never end")

    def fetch(self, request: FetchSnapshot) -> None:
        """Ask for a snapshot as it will be from now on.

        A symbol that waits for its turn is not queued twice; where an answer to an earlier
        question is under way, that one will be asked once more.
        """
        if request.symbol not in self._asked_s:
            self._queue.put_nowait(request)
        self._asked_s[request.symbol] = self._clock.steady_s()

    async def run(self) -> None:
        """Serve requests until cancelled. While one waits for its next try the others go on."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._serve(await self._queue.get()))

    async def _serve(self, request: FetchSnapshot) -> None:
        frame = await self._answer(request)
        # Free to be asked for again before anyone can see the answer.
        del self._asked_s[request.symbol]
        await self._link.inbox.put(frame)

    async def _answer(self, request: FetchSnapshot) -> RestFrame:
        pauses = full_jitter(random.uniform)
        # An answer that did not fit will not fit better at once: repeats are spaced out.
        await self._clock.pause(_nth(pauses, request.attempt - 1))
        url = self._link.venue.depth_url(request.symbol, self._depth)
        for pause_s in pauses:
            try:
                sent_s, body = await self._get(url, depth_weight(self._depth))
            except ExchangeError as error:
                await self._complain(error, pause_s, symbol=request.symbol)
                continue
            # One that was sent before the stream was (re)connected may be older than the stream:
            # on a quiet symbol nothing would tell, and an old book would be called known.
            if sent_s >= self._asked_s[request.symbol]:
                return RestFrame(self._clock.now_ns(), request.symbol, self._depth, body)
        raise AssertionError("the pauses never end")

    async def _complain(self, error: Exception, pause_s: float, **what: str) -> None:
        log.warning(
            "exchange did not answer", error=str(error), again_in_s=round(pause_s, 1), **what
        )
        await self._clock.pause(pause_s)

    async def _get(self, url: str, weight: int) -> tuple[float, bytes]:
        """When it was sent (steady time), and the body of the answer. Raises ExchangeError."""
        async with self._gate:
            await self._admit(weight)
            self.requests += 1
            sent_s = self._clock.steady_s()
            return sent_s, await self._send(url)

    async def _admit(self, weight: int) -> None:
        """Wait until the budget has room."""
        while wait_s := self.budget.wait_s(weight, self._clock.steady_s()):
            await self._clock.pause(wait_s)
        self.budget.spend(weight, self._clock.steady_s())

    async def _send(self, url: str) -> bytes:
        session = self._link.session
        try:
            async with session.get(URL(url, encoded=True), timeout=_TIMEOUT) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{url}: {reason(error)}") from error
        self._obey(answer)
        if answer.status != HTTPStatus.OK:
            raise Refused(answer.status, f"{url} answered {answer.status}: {body[:120]!r}")
        return body

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
