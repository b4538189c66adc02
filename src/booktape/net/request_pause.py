"""When the exchange wants to hear nothing from our address, nothing leaves: no request, no handshake.

Three answers ask for that, whether a request got them or a WebSocket handshake:

- 429, too many requests: "a Retry-After header is sent … and will give the number of seconds".
- 418, banned: for the same time, or until the moment that the body names.
- 403, the firewall: some five minutes, and each request meanwhile makes it longer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ctypes import Array, c_double
from http import HTTPStatus
from math import inf
from types import MappingProxyType
from typing import Final

import aiohttp
import structlog
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from booktape.errors import MalformedNumber, RateLimited
from booktape.net.clock import Clock
from booktape.wire.limits import RETRY_AFTER_MAX_S
from booktape.wire.numbers import whole_number

_MEANINGS: Final = MappingProxyType(
    {
        HTTPStatus.TOO_MANY_REQUESTS: "too many requests",
        HTTPStatus.IM_A_TEAPOT: "banned",
        HTTPStatus.FORBIDDEN: "the exchange's firewall",
    }
)
PAUSE_STATUSES: Final = frozenset(_MEANINGS)

LATER_S: Final = 1.0
"""So much longer than asked for we are silent: the exchange counts whole seconds, by its own clock,
and one request too early makes 418 of 429."""

FIREWALL_S: Final = 300.0
FIREWALL_LONGEST_S: Final = 3_600.0
"""Of the first 403, and at most: each that comes within an hour after the one before doubles it."""

_WITHOUT_RETRY_AFTER_S: Final = MappingProxyType(
    {HTTPStatus.TOO_MANY_REQUESTS: 60.0, HTTPStatus.IM_A_TEAPOT: 120.0}
)
_BANNED_UNTIL: Final = re.compile(rb"banned until (\d{13})\b")
""" "Way too much request weight used; IP banned until 1659146400000. …": ms since 1970."""

NO_PAUSE: Final = (-inf, -inf, 0.0)
"""What the memory of a `RequestPause` holds at first: the steady times until which all are silent, and until
which the firewall wanted that; and how long the latter was."""
_UNTIL, _FIREWALL_UNTIL, _FIREWALL = range(3)

log = structlog.get_logger()


class RequestPause:
    """How long nothing may leave. `memory` is shared by all processes that have one address.

    Known weakness: there is no lock. Of two silences that are written at the very same moment the
    shorter may win; the exchange wants one of the whole address, so they end within a second of each
    other.
    """

    def __init__(self, clock: Clock, memory: Array[c_double] | None = None) -> None:
        self._clock = clock
        self._memory = (c_double * len(NO_PAUSE))(*NO_PAUSE) if memory is None else memory

    def left_s(self) -> float:
        """How long it still lasts; 0 when there is none."""
        return max(0.0, self._memory[_UNTIL] - self._clock.steady_s())

    def begin(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> RateLimited:
        """Obey an answer that PAUSE_STATUSES, and return the error to raise."""
        silence_s = self._asked_for_s(status, headers, body)
        until_s = self._clock.steady_s() + silence_s + LATER_S
        what = f"{status}, {_MEANINGS[HTTPStatus(status)]}: nothing is sent for {silence_s:.0f} s"
        # What was under way at the same time is told the same, perhaps a little later.
        if until_s > self._memory[_UNTIL] + LATER_S:
            log.warning("the exchange wants silence", answer=what)
        self._memory[_UNTIL] = max(self._memory[_UNTIL], until_s)
        return RateLimited(status, what, silence_s)

    async def guard(self, request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        """The session's middleware: looks once more, at the last moment."""
        if self.left_s():
            raise aiohttp.ClientConnectionError(
                f"{request.url}: not sent, for silence is asked for"
            )
        return await send(request)

    def _asked_for_s(self, status: int, headers: Mapping[str, str], body: bytes) -> float:
        asked_s = _retry_after_s(headers)
        if status == HTTPStatus.FORBIDDEN:
            asked_s = max(asked_s, self._firewall_pause_s())
        asked_s = asked_s or self._banned_s(body) or _WITHOUT_RETRY_AFTER_S[HTTPStatus(status)]
        if asked_s > RETRY_AFTER_MAX_S:
            log.warning(
                "more silence asked for than the exchange's longest ban",
                asked_s=asked_s,
                silent_for_s=RETRY_AFTER_MAX_S,
            )
        return min(asked_s, RETRY_AFTER_MAX_S)

    def _banned_s(self, body: bytes) -> float:
        """How long the body says; 0 when it does not, or names a moment that has passed.

        Known weakness: the moment is by the exchange's clock, and the difference by ours.
        """
        until = _BANNED_UNTIL.search(body)
        return (
            max(0.0, whole_number(until[1].decode()) / 1e3 - self._clock.now_ns() / 1e9)
            if until
            else 0.0
        )

    def _firewall_pause_s(self) -> float:
        """Longer each time it comes again; what comes while it lasts was under way before."""
        memory, now_s = self._memory, self._clock.steady_s()
        if now_s >= memory[_FIREWALL_UNTIL]:
            again = now_s < memory[_FIREWALL_UNTIL] + FIREWALL_LONGEST_S
            memory[_FIREWALL] = (
                min(2 * memory[_FIREWALL], FIREWALL_LONGEST_S) if again else FIREWALL_S
            )
        memory[_FIREWALL_UNTIL] = now_s + memory[_FIREWALL]
        return memory[_FIREWALL]


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """What the header says; 0 when it says nothing, or nothing that can be read."""
    text = headers.get("Retry-After")
    if text is None:
        return 0.0
    try:
        return whole_number(text)
    except MalformedNumber as error:
        log.warning("header not understood", header="Retry-After", error=str(error))
        return 0.0
