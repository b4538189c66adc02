"""The recorder's only clock. Tests bring their own."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


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
        """Seconds that never step: those of the event loop, because it can only wait by its own clock."""
        return asyncio.get_running_loop().time()

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
