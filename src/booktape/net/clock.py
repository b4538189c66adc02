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
"""What the two clocks may differ in one look to the next; slewing and our own delays stay below."""


class StepWatch:
    """Sees when the time of day moves against steady time: it was set, or the machine slept.

    Steady time does not run while a machine is suspended (on Linux), so both look alike.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ns = self._look()

    def step_ns(self) -> int:
        """How far the time of day has jumped since the last look; 0 when it has not."""
        before_ns, self._offset_ns = self._offset_ns, self._look()
        step_ns = self._offset_ns - before_ns
        return step_ns if abs(step_ns) >= STEP_NS else 0

    def _look(self) -> int:
        return self._clock.now_ns() - round(self._clock.steady_s() * 1e9)
