"""What waits to be sent to one client, in order, and whether that is too much.

Memory stays bounded: at most `QUEUE_MAX` messages, and a few more, wait for a client. What faults
hold back does not count: the client is allowed as many more as had piled up. Those wait in memory,
as many as come while the fault lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from booktape.sim.faults.actions import Step
from booktape.sim.server.pacing import ExchangeClock

QUEUE_MAX: Final = 4_000


class SendQueue:
    """Steps on their way to one client; `deliver` performs them."""

    def __init__(self, clock: ExchangeClock) -> None:
        self._clock = clock
        self._steps: asyncio.Queue[Step] = asyncio.Queue()
        self._moved = asyncio.Event()
        self._allowed = QUEUE_MAX
        self._held_back = False
        self._closed = False

    @property
    def is_overdrawn(self) -> bool:
        """Whether more waits than is allowed."""
        return self._steps.qsize() >= self._allowed and not self._held_back

    def put(self, step: Step) -> None:
        """Add a step at the end."""
        if not self._closed:
            self._steps.put_nowait(step)

    async def deliver(self, perform: Callable[[Step], Awaitable[None]]) -> None:
        """Perform all steps in order, until cancelled."""
        while True:
            step = await self._steps.get()
            try:
                await perform(step)
            finally:
                self._steps.task_done()
                self._moved.set()
            if self._steps.empty():
                self._allowed = QUEUE_MAX

    async def hold_back(self, until_s: float) -> None:
        """Send nothing before the exchange's clock shows `until_s`."""
        wait_s = until_s - self._clock.now_s()
        if wait_s > 0:
            self._held_back = True
            await self._clock.pause(wait_s)
            self._held_back = False
            self._allowed = QUEUE_MAX + self._steps.qsize()

    async def wait_for_room(self) -> None:
        """Return when there is room for more."""
        while self._steps.qsize() >= QUEUE_MAX and not self._closed:
            self._moved.clear()
            await self._moved.wait()

    async def drained(self) -> None:
        """Return when nothing waits any more."""
        await self._steps.join()

    def close(self) -> None:
        """Discard what waits, and wake all tasks that wait for it."""
        self._closed = True
        while not self._steps.empty():
            self._steps.get_nowait()
            self._steps.task_done()
        self._moved.set()
