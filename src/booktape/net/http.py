"""REST requests within the exchange's limits."""

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
"""The longest wait for the body of a ban. If Retry-After is missing, the body says how long the ban lasts."""

CONCURRENCY_MAX: Final = 12
"""How many requests may be under way at once. From the other side of the world an answer takes 0.3 s. With this
many, syncing thousands of shallow books takes at most a tenth longer than the budget dictates (`make proofs`)."""

log = structlog.get_logger()


class RateLimitedHttp:
    """Requests within the weight that the exchange allows, and none during a pause that it asks for.

    `concurrency` snapshots may be under way, each on its own connection; after a failure only one, until there is a
    good answer. After a 429, only requests that were already under way when it was read reach the exchange, and no
    others until Retry-After has passed: an address is banned "for continuing to send requests after receiving 429
    codes". If `sharers` processes use one address, each keeps to its share of the budget and of CONCURRENCY_MAX; the
    pause is common to all of them.

    Known weakness: the exchange may count against us the requests that were under way.
    """

    def __init__(self, context: NetContext, sharers: int = 1) -> None:
        self.requests = 0
        self._host = 0  # which of the venue's hosts is used
        self._context = context
        self._clock = context.clock
        self._sharers = sharers
        self.budget = RateLimit(context.venue.weights.per_minute // sharers)
        self._most = self.concurrency = max(1, CONCURRENCY_MAX // sharers)
        self._pauses = full_jitter(random.uniform)
        self._paused_until_s = -inf
        self._last_failed = 0  # how many requests had been sent at the last failure
        self._logged_header = False

    def set_limit(self, weight_per_minute: int) -> None:
        """Set what the exchange allows all sharers together."""
        self.budget.limit = weight_per_minute // self._sharers

    def wait_s(self, weight: int) -> float:
        """How long to wait before a request of this weight may be sent."""
        now_s = self._clock.steady_s()
        asked_for_s = self._context.pause.left_s()
        return max(self.budget.wait_s(weight, now_s), self._paused_until_s - now_s, asked_for_s)

    async def begin_when_free(self, weight: int) -> int:
        """Wait until a request of this weight may be sent, then `begin` it."""
        while wait_s := self.wait_s(weight):
            await self._clock.pause(wait_s)
        return self.begin(weight)

    def begin(self, weight: int) -> int:
        """Count a request of this weight that is about to be sent. Returns its number."""
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

        If the venue has two hosts and one cannot be reached, the other is used from then on.
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
                # Before another request can use this connection.
                await self._apply_limits(answer)
                if answer.status != HTTPStatus.OK:
                    body, _ = await _read(answer, ERROR_BYTES_MAX)
                    what = f"{url} answered {answer.status}: {body[:120]!r}"
                    raise HttpStatusError(answer.status, what, refusal_code(body))
                body, is_cut = await _read(answer, most_bytes)
                if is_cut:
                    raise Oversized(
                        f"{answer.url} answered with more than {most_bytes >> 20} MiB: thrown away"
                    )
                return body
        except (aiohttp.ClientError, OSError) as error:
            self._use_other_host(host)
            raise Unreachable(f"{url}: {error_text(error)}") from error

    def record_success(self, number: int) -> None:
        """This request had a good answer: if it was sent after the last failure, the trouble is over."""
        if number > self._last_failed:
            self.concurrency, self._pauses = self._most, full_jitter(random.uniform)

    def back_off(self, number: int, error: Exception, **what: str) -> None:
        """A request failed: send none for a while.

        If another request, sent before this failure was known, fails as well, that is the same trouble.
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
        """A middleware: send once and now, or not at all.

        The record of the request may have waited for room in the queue, and a pause may have begun meanwhile. Also,
        aiohttp would repeat a request whose connection breaks, outside the budget and even during a pause.
        """
        if self.wait_s(0):
            raise Unreachable(f"{request.url}: not sent, the exchange asked us to wait")
        try:
            return await handler(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            # An error for which aiohttp does not repeat the request.
            raise aiohttp.ClientConnectionError(error_text(error)) from error

    def _use_other_host(self, host: int) -> None:
        """Leave a host that cannot be reached. Other requests to it that fail later change nothing."""
        urls = self._context.venue.rest_urls
        if host == self._host and len(urls) > 1:
            self._host = (host + 1) % len(urls)
            log.warning("asking the other host", cannot_reach=urls[host], asking=urls[self._host])

    async def _apply_limits(self, answer: ClientResponse) -> None:
        """Count the weight used. Raises RateLimited if the answer asks for a pause."""
        used = self._used(answer)
        if used is not None:
            # The other sharers' share of the weight is not ours to count.
            theirs = self.budget.limit * (self._sharers - 1)
            self.budget.observe(used - theirs, self._clock.steady_s())
        if answer.status in PAUSE_STATUSES:
            body = await self._read_ban(answer)
            raise self._context.pause.begin(answer.status, answer.headers, body)

    def _used(self, answer: ClientResponse) -> int | None:
        """The used weight in the answer's header; None if that is missing or malformed (logged once)."""
        text = answer.headers.get(USED_WEIGHT_HEADER)
        if text is None:
            return None
        try:
            return whole_number(text)
        except MalformedNumber as error:
            if not self._logged_header:
                self._logged_header = True
                log.warning("header not understood", header=USED_WEIGHT_HEADER, error=str(error))
            return None

    async def _read_ban(self, answer: ClientResponse) -> bytes:
        """The body of a ban whose headers do not say how long it lasts; otherwise nothing."""
        if answer.status != HTTPStatus.IM_A_TEAPOT or "Retry-After" in answer.headers:
            return b""
        self._paused_until_s = self._clock.steady_s() + _BODY_S
        # Without the body the ban is still a ban.
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(_BODY_S):
                return (await _read(answer, ERROR_BYTES_MAX))[0]
        return b""


async def _read(answer: ClientResponse, most_bytes: int) -> tuple[bytes, bool]:
    """The first `most_bytes` of the body, and whether there is more: then the connection is closed at once.

    aiohttp's own `read` accepts any length. When the body is read piece by piece, it is also decompressed in pieces
    of bounded length.
    """
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > most_bytes:
            answer.close()
            return bytes(body[:most_bytes]), True
    return bytes(body), False
