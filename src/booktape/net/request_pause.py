"""Pauses that the exchange asks for: until they are over no request and no handshake is sent.

Three answers to a request or a WebSocket handshake ask for a pause:

- 429, too many requests: "a Retry-After header is sent … and will give the number of seconds".
- 418, banned: for the number of seconds in that header, or until the moment that the body names.
- 403, the firewall: about five minutes, and each request in the meantime makes it longer.
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

EXTRA_S: Final = 1.0
"""Added to Retry-After: the exchange counts whole seconds by its own clock, and one early request turns a 429 into a
ban (418)."""

FIREWALL_S: Final = 300.0
FIREWALL_LONGEST_S: Final = 3_600.0
"""The pause after the first 403, and the longest one: each 403 within an hour of the last pause doubles it."""

_WITHOUT_RETRY_AFTER_S: Final = MappingProxyType(
    {HTTPStatus.TOO_MANY_REQUESTS: 60.0, HTTPStatus.IM_A_TEAPOT: 120.0}
)
_BANNED_UNTIL: Final = re.compile(rb"banned until (\d{13})\b")
""" "Way too much request weight used; IP banned until 1659146400000. …": ms since 1970."""

NO_PAUSE: Final = (-inf, -inf, 0.0)
"""The first content of a `RequestPause`'s memory: the steady times at which the pause and the firewall's last pause
end, and the length of the latter."""
_UNTIL, _FIREWALL_UNTIL, _FIREWALL = range(3)

log = structlog.get_logger()


class RequestPause:
    """The pause that the exchange asked for last. `memory` is shared by all processes that use one address.

    Known weakness: there is no lock. If two pauses are written at the same moment, the shorter one may win. The
    exchange asks the whole address for one pause, so the two end within a second of each other.
    """

    def __init__(self, clock: Clock, memory: Array[c_double] | None = None) -> None:
        self._clock = clock
        self._memory = (c_double * len(NO_PAUSE))(*NO_PAUSE) if memory is None else memory

    def left_s(self) -> float:
        """How much longer the pause lasts; 0 if there is none."""
        return max(0.0, self._memory[_UNTIL] - self._clock.steady_s())

    def begin(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> RateLimited:
        """Begin the pause that an answer with one of PAUSE_STATUSES asks for. Returns the error to raise."""
        pause_s = self._asked_for_s(status, headers, body)
        until_s = self._clock.steady_s() + pause_s + EXTRA_S
        what = f"{status}, {_MEANINGS[HTTPStatus(status)]}: nothing is sent for {pause_s:.0f} s"
        # Requests that were under way at the same time get the same answer, perhaps a little later.
        if until_s > self._memory[_UNTIL] + EXTRA_S:
            log.warning("the exchange asks for a pause", answer=what)
        self._memory[_UNTIL] = max(self._memory[_UNTIL], until_s)
        return RateLimited(status, what, pause_s)

    async def guard(self, request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
        """The session's middleware: check once more, at the last moment."""
        if self.left_s():
            raise aiohttp.ClientConnectionError(
                f"{request.url}: not sent, the exchange asked for a pause"
            )
        return await send(request)

    def _asked_for_s(self, status: int, headers: Mapping[str, str], body: bytes) -> float:
        asked_s = _retry_after_s(headers)
        if status == HTTPStatus.FORBIDDEN:
            asked_s = max(asked_s, self._firewall_pause_s())
        asked_s = asked_s or self._banned_s(body) or _WITHOUT_RETRY_AFTER_S[HTTPStatus(status)]
        if asked_s > RETRY_AFTER_MAX_S:
            log.warning(
                "asked for a pause that is longer than the exchange's longest ban",
                asked_s=asked_s,
                pause_s=RETRY_AFTER_MAX_S,
            )
        return min(asked_s, RETRY_AFTER_MAX_S)

    def _banned_s(self, body: bytes) -> float:
        """The rest of a ban by its body; 0 if the body names no moment, or one that has passed.

        Known weakness: the moment is by the exchange's clock, but what is left is measured by ours.
        """
        until = _BANNED_UNTIL.search(body)
        return (
            max(0.0, whole_number(until[1].decode()) / 1e3 - self._clock.now_ns() / 1e9)
            if until
            else 0.0
        )

    def _firewall_pause_s(self) -> float:
        """Twice as long as the last one, if that ended within the last hour.

        A 403 during a pause does not double it: its request was under way before.
        """
        memory, now_s = self._memory, self._clock.steady_s()
        if now_s >= memory[_FIREWALL_UNTIL]:
            again = now_s < memory[_FIREWALL_UNTIL] + FIREWALL_LONGEST_S
            memory[_FIREWALL] = (
                min(2 * memory[_FIREWALL], FIREWALL_LONGEST_S) if again else FIREWALL_S
            )
        memory[_FIREWALL_UNTIL] = now_s + memory[_FIREWALL]
        return memory[_FIREWALL]


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """The seconds in the header; 0 if it is missing or malformed."""
    text = headers.get("Retry-After")
    if text is None:
        return 0.0
    try:
        return whole_number(text)
    except MalformedNumber as error:
        log.warning("header not understood", header="Retry-After", error=str(error))
        return 0.0
