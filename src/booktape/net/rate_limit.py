"""How much may be asked of the exchange, and when. No I/O and no clock: `now_s` is steady time."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 61.0
"""The exchange counts by its own clock's minutes; a sliding minute (and a second for the way there)
keeps within every one of them, whatever the offset of the clocks."""


class RateLimit:
    """Request weight spent in the last minute, by us and, as the exchange reports, by others.

    With another window it counts connection attempts, or messages, in the same way.
    """

    def __init__(self, limit: int, window_s: float = WINDOW_S) -> None:
        self.limit = limit
        self._window_s = window_s
        self._spent: deque[tuple[float, int]] = deque()

    def wait_s(self, weight: int, now_s: float) -> float:
        """How long to wait before a request of this weight may be sent; 0 for at once.

        One that is dearer than the whole limit waits until nothing else counts.
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
        """A request of this weight is being sent."""
        self._spent.append((now_s, weight))

    def observe(self, used: int, now_s: float) -> None:
        """The exchange says that `used` weight has been used from our address this minute."""
        others = used - self.used(now_s)
        if others > 0:
            self._spent.append((now_s, others))

    def used(self, now_s: float) -> int:
        """Weight used within the window."""
        while self._spent and self._spent[0][0] <= now_s - self._window_s:
            self._spent.popleft()
        return sum(weight for _, weight in self._spent)
