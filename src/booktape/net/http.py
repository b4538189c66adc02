"""The way to the exchange's REST http, and our manners there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from math import inf
from typing import Final

import aiohttp
import structlog
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientTimeout
from yarl import URL

from booktape.errors import HttpStatusError, MalformedNumber, Oversized, Unreachable
from booktape.net.backoff import full_jitter
from booktape.net.context import NetContext, error_text
from booktape.net.rate_limit import RateLimit
from booktape.net.request_pause import PAUSE_STATUSES
from booktape.net.session import proxy_for, refuse_redirects
from booktape.wire.limits import BODY_BYTES_MAX, ERROR_BYTES_MAX, USED_WEIGHT_HEADER
from booktape.wire.numbers import whole_number
from booktape.wire.refusal import refusal_code

_TIMEOUT: Final = ClientTimeout(total=30, sock_connect=5, sock_read=10)
_BODY_S: Final = 2.0
"""How long the body of a ban is waited for: it says until when, where Retry-After does not."""

CONCURRENCY_MAX: Final = 12
"""So many requests are under way at most. From half around the world an answer takes 0.3 s: then
very many shallow books are known as soon as the budget allows, to a tenth (`make proofs`)."""

log = structlog.get_logger()


class RateLimitedHttp:
    """Requests within the weight that the exchange allows, and none where it wants silence.

    `concurrency` snapshots may be under way, each on a connection of its own; from any trouble on only
    one, until an answer is good. A 429 is followed by those at most that were under way when it was
    read, and by nothing else until Retry-After has passed: an address is banned "for continuing to
    send requests after receiving 429 codes". When `sharers` processes have one address, each keeps
    to its part of the budget and of CONCURRENCY_MAX; the context's silence is one for all of them.

    Known weakness: the exchange may count what was under way against us.
    """

    def __init__(self, context: NetContext, sharers: int = 1) -> None:
        self.requests = 0
        self._host = 0  # which of the venue's is asked
        self._context = context
        self._clock = context.clock
        self._sharers = sharers
        self.budget = RateLimit(context.venue.weights.per_minute // sharers)
        self._most = self.concurrency = max(1, CONCURRENCY_MAX // sharers)
        self._pauses = full_jitter(random.uniform)
        self._paused_until_s = -inf
        self._last_failed = 0  # as many requests had left when the last trouble was met
        self._unreadable = False  # the header of the used weight, which was said

    def set_limit(self, weight_per_minute: int) -> None:
        """So much the exchange allows to all sharers together."""
        self.budget.limit = weight_per_minute // self._sharers

    def wait_s(self, weight: int) -> float:
        """How long to wait before a request of this weight may leave."""
        now_s = self._clock.steady_s()
        silent_s = self._context.pause.left_s()
        return max(self.budget.wait_s(weight, now_s), self._paused_until_s - now_s, silent_s)

    def begin(self, weight: int) -> int:
        """A request of this weight is about to leave; its number."""
        self.budget.spend(weight, self._clock.steady_s())
        self.requests += 1
        return self.requests

    async def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        most_bytes: int = BODY_BYTES_MAX,
    ) -> bytes:
        """The body of the answer, decompressed. Raises ExchangeError: Oversized beyond `most_bytes`.

        Where the venue has two hosts and one cannot be reached, the other one is asked from then on.
        """
        session, host = self._context.session, self._host
        url = self._context.venue.rest_urls[host] + path
        try:
            async with session.get(
                URL(url, encoded=True),
                headers=headers,
                proxy=proxy_for(url),
                timeout=_TIMEOUT,
                middlewares=(self._send, refuse_redirects),
            ) as answer:
                # Before anyone else can have its connection.
                await self._apply_limits(answer)
                if answer.status != HTTPStatus.OK:
                    said = await _beginning(answer)
                    what = f"{url} answered {answer.status}: {said[:120]!r}"
                    raise HttpStatusError(answer.status, what, refusal_code(said))
                return await _whole(answer, most_bytes)
        except (aiohttp.ClientError, OSError) as error:
            self._use_other_host(host)
            raise Unreachable(f"{url}: {error_text(error)}") from error

    def record_success(self, number: int) -> None:
        """This request had a good answer: if it left after the last trouble, that is over."""
        if number > self._last_failed:
            self.concurrency, self._pauses = self._most, full_jitter(random.uniform)

    def back_off(self, number: int, error: Exception, **what: str) -> None:
        """The exchange, or the way to it, is in trouble: nothing is asked for a while.

        What had left before this was known, and fails as well, is the same trouble.
        """
        if number <= self._last_failed:
            return
        self._last_failed, self.concurrency = self.requests, 1
        pause_s = next(self._pauses)
        self._paused_until_s = self._clock.steady_s() + pause_s
        log.warning(
            "exchange did not answer", error=str(error), again_in_s=round(pause_s, 1), **what
        )

    async def _send(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Once and now, or not at all.

        The request's note may have waited for room in the queue, and meanwhile silence was asked
        for. After this, aiohttp would repeat what breaks: past the budget, and into a silence.
        """
        if self.wait_s(0):
            raise Unreachable(f"{request.url}: not asked, for we were told to wait")
        try:
            return await handler(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            # Neither of the two that aiohttp would repeat the request for.
            raise aiohttp.ClientConnectionError(error_text(error)) from error

    def _use_other_host(self, host: int) -> None:
        """It cannot be reached. Others that were under way find the same, and change nothing."""
        urls = self._context.venue.rest_urls
        if host == self._host and len(urls) > 1:
            self._host = (host + 1) % len(urls)
            log.warning("asking the other host", cannot_reach=urls[host], asking=urls[self._host])

    async def _apply_limits(self, answer: ClientResponse) -> None:
        """Count what has been used. Raises TooFast where the answer asks for silence."""
        used = self._used(answer)
        if used is not None:
            # What the other sharers may use is not ours to count.
            theirs = self.budget.limit * (self._sharers - 1)
            self.budget.observe(used - theirs, self._clock.steady_s())
        if answer.status in PAUSE_STATUSES:
            body = await self._read_ban(answer)
            raise self._context.pause.begin(answer.status, answer.headers, body)

    def _used(self, answer: ClientResponse) -> int | None:
        """The weight that the answer says; None without, or where it cannot be read (said once)."""
        text = answer.headers.get(USED_WEIGHT_HEADER)
        if text is None:
            return None
        try:
            return whole_number(text)
        except MalformedNumber as error:
            if not self._unreadable:
                self._unreadable = True
                log.warning("header not understood", header=USED_WEIGHT_HEADER, error=str(error))
            return None

    async def _read_ban(self, answer: ClientResponse) -> bytes:
        """The body of a ban whose head does not say how long it is; else nothing."""
        if answer.status != HTTPStatus.IM_A_TEAPOT or "Retry-After" in answer.headers:
            return b""
        self._paused_until_s = self._clock.steady_s() + _BODY_S
        # What does not come says nothing, and the ban is a ban all the same.
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(_BODY_S):
                return await _beginning(answer)
        return b""


async def _whole(answer: ClientResponse, most_bytes: int) -> bytes:
    """All of the body. Raises Oversized, and closes the connection, as soon as it is too long.

    aiohttp's own `read` would take any length. What it hands over piece by piece is decompressed in
    pieces of bounded length, too.
    """
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > most_bytes:
            answer.close()
            raise Oversized(
                f"{answer.url} answered with more than {most_bytes >> 20} MiB: thrown away"
            )
    return bytes(body)


async def _beginning(answer: ClientResponse) -> bytes:
    """What a sentence needs of the body; where there is more, the connection is closed."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > ERROR_BYTES_MAX:
            answer.close()
            break
    return bytes(body[:ERROR_BYTES_MAX])
