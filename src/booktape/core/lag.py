"""How late events usually arrive: our stamp minus the exchange's time.

Neither clock is trusted: the lag includes the difference between them, the journey from the exchange to us
and our own delays. Only an event that is later *than usual* has waited somewhere. So its lag is compared
with the smallest lag of the last minute, because nothing arrives before it was sent.
"""

from __future__ import annotations

from collections import deque
from typing import Final

TICKS: Final = 60
"""How long a sample counts, in ticks: a minute, in which two clocks barely drift apart."""

TICKS_AFTER_STEP: Final = 2
"""How long samples from before a step of our clock still count, in ticks: until there is a newer one."""

LATE_NS: Final = 10**9
"""An event that is later than usual by more than this has waited, and proves nothing about that time."""


class UsualLag:
    """The smallest lag of the last minute, one sample per tick.

    `usual_ns` is None before the first sample, and after a minute without any. `messages_waited`: messages
    that arrive before the next tick have waited, because this process stood still or all events were late.
    """

    def __init__(self) -> None:
        self.usual_ns: int | None = None
        self.messages_waited = False
        self._samples: deque[tuple[int, int]] = deque()  # lag, and the last tick at which it counts
        self._tick = 0
        self._stepped_until = 0

    def on_tick(self, smallest_ns: int | None, *, paused: bool = False) -> None:
        """One tick. `smallest_ns` is the smallest lag since the last tick, None if no book moved.

        `paused`: the tick came late, and the messages behind it waited for this process.
        """
        usual_ns, late = self.usual_ns, False
        if smallest_ns is not None and usual_ns is not None:
            late = smallest_ns > usual_ns + LATE_NS
        self.messages_waited = paused or late
        self._tick += 1
        if smallest_ns is not None:
            until = self._tick + TICKS - 1
            if self._tick <= self._stepped_until:
                until = self._stepped_until
            self._samples.append((smallest_ns, until))
        while self._samples and self._samples[0][1] < self._tick:
            self._samples.popleft()
        self.usual_ns = min((lag_ns for lag_ns, _ in self._samples), default=None)

    def begin_segment(self) -> None:
        """Forget all samples: the next segment must be readable on its own."""
        self.usual_ns, self.messages_waited = None, False
        self._samples.clear()
        self._stepped_until = 0

    def step_clock(self) -> None:
        """Our clock was set, or the machine slept: samples from before that expire soon."""
        last = self._stepped_until = self._tick + TICKS_AFTER_STEP - 1
        self._samples = deque((lag_ns, min(until, last)) for lag_ns, until in self._samples)
