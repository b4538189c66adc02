"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
from typing import Self

from booktape.net.connection import SIGN_OF_LIFE_S


class HandClock:
    """Time passes only in `advance`; pauses last until then."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.pauses: list[float] = []
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self._asleep = asyncio.Event()

    def now_ns(self) -> int:
        return round(self.now_s * 1e9)

    def steady_s(self) -> float:
        return self.now_s

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if seconds <= 0:
            return
        waking = asyncio.Event()
        self._sleepers.append((self.now_s + seconds, waking))
        self._asleep.set()
        await waking.wait()

    async def asleep(self) -> Self:
        """Wait until a task pauses."""
        async with asyncio.timeout(10):
            await self._asleep.wait()
        return self

    def advance(self, seconds: float) -> None:
        """Let time pass and end the pauses that are over."""
        self.now_s += seconds
        due = [waking for time_s, waking in self._sleepers if time_s <= self.now_s]
        self._sleepers = [s for s in self._sleepers if s[0] > self.now_s]
        if not self._sleepers:
            self._asleep.clear()
        for waking in due:
            waking.set()


class RestlessClock(HandClock):
    """Every pause ends at once, but its time still passes."""

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


class BriskClock(RestlessClock):
    """Short pauses end at once; those of a watch or of a lifetime never end."""

    async def pause(self, seconds: float) -> None:
        if seconds >= SIGN_OF_LIFE_S:
            await asyncio.Event().wait()
        await super().pause(seconds)
