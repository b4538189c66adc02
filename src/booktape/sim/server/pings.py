"""The pings of one connection, and the pongs that answer them."""

from __future__ import annotations

from itertools import islice
from math import inf


class Pings:
    """The pings of one connection, and how many of them have been answered."""

    def __init__(self, connection: int) -> None:
        self._connection = connection
        self._sent_s: dict[bytes, float] = {}
        self._answered = 0

    def next(self, now_s: float) -> bytes:
        """The payload of a new ping, different from every other's."""
        payload = b"%d-%d" % (self._connection, len(self._sent_s) + 1)
        self._sent_s[payload] = now_s
        return payload

    def is_overdue(self, now_s: float, within_s: float) -> bool:
        """Whether any ping has waited for its pong for longer than `within_s`."""
        oldest_s = next(islice(self._sent_s.values(), self._answered, None), inf)
        return now_s - oldest_s > within_s

    def accept_pong(self, payload: bytes) -> bool:
        """Whether a pong is allowed; if so, it answers its ping and all earlier ones.

        A pong without a payload is always allowed, and answers nothing. A ping that the pong of a later
        one has answered may still get its own.
        """
        if payload in self._sent_s:
            self._answered = max(self._answered, list(self._sent_s).index(payload) + 1)
        return not payload or payload in self._sent_s
