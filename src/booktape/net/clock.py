"""The recorder's only clock. Tests bring their own."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol


class Clock(Protocol):
    """Time of day for stamps, steady time for intervals, and waiting."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC. May step when the machine's clock is set."""

    def steady_s(self) -> float:
        """Seconds that never step, from an arbitrary origin."""

    async def pause(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970, UTC."""
        return time.time_ns()

    def steady_s(self) -> float:
        """Seconds that never step: the event loop's, for only by them can it wait."""
        return asyncio.get_running_loop().time()

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


STEP_NS: Final = 10**9
"""From this difference on it is a step; slewing and our own delays stay below it."""


class StepWatch:
    """Detects that the time of day has moved against steady time: it was set, or the machine slept.

    Steady time does not run while a machine is suspended (on Linux), so both look alike.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ns = self._offset()

    def step_ns(self) -> int:
        """How far the time of day has jumped since the last call; 0 when it has not."""
        before_ns, self._offset_ns = self._offset_ns, self._offset()
        step_ns = self._offset_ns - before_ns
        return step_ns if abs(step_ns) >= STEP_NS else 0

    def _offset(self) -> int:
        return self._clock.now_ns() - round(self._clock.steady_s() * 1e9)
