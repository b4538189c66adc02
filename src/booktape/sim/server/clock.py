"""The time of the exchange, which may run faster than life."""

from __future__ import annotations

import asyncio
import math


class ExchangeClock:
    """Seconds since `start`, `speed` times faster than life; 0 until then.

    Life is what the event loop's clock shows. With an infinite speed events come as fast as clients
    take them, and no time could be told from them: this clock then shows the loop's seconds.
    """

    def __init__(self, speed: float) -> None:
        self.started = asyncio.Event()
        self._rate = 1.0 if math.isinf(speed) else speed
        self._zero_s = 0.0

    def start(self) -> None:
        """From now on time passes. Once it does, this changes nothing."""
        if not self.started.is_set():
            self._zero_s = asyncio.get_running_loop().time()
            self.started.set()

    def now_s(self) -> float:
        """What it shows."""
        if not self.started.is_set():
            return 0.0
        return (asyncio.get_running_loop().time() - self._zero_s) * self._rate

    def real_s(self, seconds: float) -> float:
        """So many of its seconds, in real ones; none for a time that has passed."""
        return max(0.0, seconds / self._rate)

    async def pause(self, seconds: float) -> None:
        """Wait so many of its seconds, whether it has been started or not."""
        await asyncio.sleep(self.real_s(seconds))

    async def until(self, at_s: float) -> None:
        """Wait until it shows `at_s`."""
        await self.started.wait()
        await self.pause(at_s - self.now_s())
