"""The exchange's limits on requests, and how long to wait for them. No I/O and no clock: `now_s` is steady time."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 61.0
"""The exchange counts by minutes of its own clock. A sliding minute, plus a second for the journey there, stays within
the limit of each of them, whatever the offset of the clocks."""


class RateLimit:
    """Request weight spent within `window_s`, by us and, as the exchange reports, by others.

    It limits connection attempts and messages in the same way.
    """

    def __init__(self, limit: int, window_s: float = WINDOW_S) -> None:
        self.limit = limit
        self._window_s = window_s
        self._spent: deque[tuple[float, int]] = deque()

    def wait_s(self, weight: int, now_s: float) -> float:
        """How long to wait before a request of this weight may be sent; 0 means at once.

        A request that costs more than the whole limit waits until nothing else counts.
        """
        excess = self.used(now_s) + min(weight, self.limit) - self.limit
        for spent_s, spent in self._spent:
            if excess <= 0:
                break
            excess -= spent
            if excess <= 0:
                return spent_s + self._window_s - now_s
        return 0.0

    def spend(self, weight: int, now_s: float) -> None:
        """Count a request of this weight that is being sent."""
        self._spent.append((now_s, weight))

    def observe(self, used: int, now_s: float) -> None:
        """Count what others have used: the exchange reports `used` weight from our address this minute."""
        others = used - self.used(now_s)
        if others > 0:
            self._spent.append((now_s, others))

    def used(self, now_s: float) -> int:
        """Weight used within the period."""
        while self._spent and self._spent[0][0] <= now_s - self._window_s:
            self._spent.popleft()
        return sum(weight for _, weight in self._spent)
