"""The limits of one client's address: request weight per minute, 429, then 418; message rates.

Only real violations may be counted. A client cannot know of a limit answer before it has read it, and
requests may be under way on its other connections. HTTP/1.1 carries one request at a time on a
connection, so a request on the connection that carried the answer was sent after it; on every other
connection one request, within `UNDER_WAY_S`, is refused but not counted. (If the weight was really used
up, the request counts as a violation of weight: the client can know that by itself.)

A silence applies to requests and handshakes alike: a WebSocket handshake during one breaks it too.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from http import HTTPStatus
from math import ceil
from typing import Final, NamedTuple

MINUTE_S: Final = 60
STRIKES: Final = 3
"""How many requests during a silence turn 429 into 418."""

BAN_S: Final = 120.0
BAN_LONGEST_S: Final = 3 * 86_400.0
""" "scale in duration for repeat offenders, from 2 minutes to 3 days."."""

UNDER_WAY_S: Final = 1.0
"""No request takes longer to reach a loopback port, unless the machine is stopped."""

FIVE_MINUTES_S: Final = 300
CONNECTIONS_PER_5_MINUTES: Final = 300
INCOMING_PER_SECOND: Final = 5
""" "WebSocket connections have a limit of 5 incoming messages per second."."""

JITTER_S: Final = 0.1
"""A busy machine may read two messages that much closer together than they were sent."""


class Owed(NamedTuple):
    """A refusal: the status, and the seconds of silence that are owed."""

    status: int
    retry_after_s: int


class Rate:
    """Whether more than `most` things happen within `window_s`."""

    def __init__(self, most: int, window_s: float) -> None:
        self._recent: deque[float] = deque(maxlen=most)
        self._window_s = window_s

    def is_exceeded(self, now_s: float) -> bool:
        """Count one more, now. Returns whether it is one too many."""
        full = len(self._recent) == self._recent.maxlen
        too_many = full and now_s - self._recent[0] < self._window_s
        self._recent.append(now_s)
        return too_many


class RequestLimits:
    """Counts weight by the minute, from the start of the exchange. Times are seconds since then.

    `violations` is shared with the other rules. `line` is the connection on which a request came.
    """

    def __init__(self, per_minute: int, violations: Counter[str]) -> None:
        self.per_minute = per_minute
        self.used = 0
        self._violations = violations
        self._minute = 0
        self._silent_until_s = 0.0
        self._answered_s = 0.0
        self._lines: set[Hashable] = set()
        self._strikes = 0
        self._bans = 0
        self._status: int = HTTPStatus.TOO_MANY_REQUESTS
        self._prolonged_by_s = 0.0

    def charge(self, weight: int, now_s: float, line: Hashable = None) -> Owed | None:
        """Count one request, or a handshake, which weighs 0.

        Returns a refusal if it comes too soon or costs too much.
        """
        if (minute := int(now_s // MINUTE_S)) != self._minute:
            self._minute, self.used = minute, 0
        if now_s >= self._silent_until_s:
            self._strikes = 0
            if self._spend(weight):
                return None
            minute_end_s = (self._minute + 1) * MINUTE_S
            self.silence(HTTPStatus.TOO_MANY_REQUESTS, minute_end_s - now_s, now_s, line)
        elif line not in self._lines and now_s - self._answered_s <= UNDER_WAY_S:
            # It may have been sent before the limit answer was read; allowed once per connection.
            self._lines.add(line)
            self._spend(weight)
        else:
            self._lines.add(line)
            self._strike(now_s, line)
        return Owed(self._status, ceil(self._silent_until_s - now_s))

    def silence(
        self,
        status: int,
        seconds: float,
        now_s: float,
        line: Hashable = None,
        *,
        prolongs: bool = False,
    ) -> None:
        """From now on a request or handshake within `seconds` is a violation.

        With `prolongs`, each one restarts that time; otherwise too many of them lead to a ban.
        """
        self._status, self._silent_until_s = status, now_s + seconds
        self._prolonged_by_s = seconds if prolongs else 0.0
        self._answered_s, self._lines = now_s, {line}

    def _spend(self, weight: int) -> bool:
        """Use up this weight. Returns whether the budget allows it."""
        self.used += weight
        if not weight or self.used <= self.per_minute:
            return True
        self._violations["weight"] += 1
        return False

    def _strike(self, now_s: float, line: Hashable) -> None:
        """Count a request or handshake during a silence."""
        if self._prolonged_by_s:
            self._violations["firewall"] += 1
            self._silent_until_s = now_s + self._prolonged_by_s
            return
        self._violations["retry-after"] += 1
        self._strikes += 1
        self._bans += self._strikes == STRIKES
        if self._strikes >= STRIKES:
            ban_s = min(BAN_S * 2 ** (self._bans - 1), BAN_LONGEST_S)
            self.silence(HTTPStatus.IM_A_TEAPOT, ban_s, now_s, line)
