"""The exchange's patience with one client: request weight a minute, 429, then 418."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Final

MINUTE_S: Final = 60
STRIKES: Final = 3
"""So many requests inside an owed silence turn 429 into 418."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A refusal: the status, and the seconds of silence that are owed."""

    status: int
    retry_after_s: int


class Weights:
    """Counts weight in minutes that begin with the exchange. Times are seconds since then.

    `violations` is shared with whoever else catches a client breaking a rule.
    """

    def __init__(self, per_minute: int, ban_s: float, violations: Counter[str]) -> None:
        self.per_minute = per_minute
        self.used = 0
        self._ban_s = ban_s
        self._violations = violations
        self._minute = 0
        self._silent_until_s = 0.0
        self._strikes = 0
        self._status: int = HTTPStatus.TOO_MANY_REQUESTS

    def charge(self, weight: int, now_s: float) -> Owed | None:
        """Take one request into account; a refusal when it comes too soon or costs too much."""
        self._turn(now_s)
        if now_s < self._silent_until_s:
            return self._strike(now_s)
        self._strikes = 0
        self.used += weight
        if self.used <= self.per_minute:
            return None
        self._violations["weight"] += 1
        self.silence(HTTPStatus.TOO_MANY_REQUESTS, (self._minute + 1) * MINUTE_S - now_s, now_s)
        return self._owed(now_s)

    def silence(self, status: int, seconds: float, now_s: float) -> None:
        """From now on every request within these seconds is a violation."""
        self._status, self._silent_until_s = status, now_s + seconds

    def _strike(self, now_s: float) -> Owed:
        self._violations["retry-after"] += 1
        self._strikes += 1
        if self._strikes >= STRIKES:
            self.silence(HTTPStatus.IM_A_TEAPOT, self._ban_s, now_s)
        return self._owed(now_s)

    def _owed(self, now_s: float) -> Owed:
        return Owed(self._status, ceil(self._silent_until_s - now_s))

    def _turn(self, now_s: float) -> None:
        minute = int(now_s // MINUTE_S)
        if minute != self._minute:
            self._minute, self.used = minute, 0
