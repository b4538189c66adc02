"""The steps that wait their turn on one connection, and how many of them may wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

from booktape.sim.faults.steps import SingleStep

QUEUE_MAX: Final = 4_000
"""How many steps (or a few more) may wait on one connection, so that memory stays bounded."""


class StepQueue:
    """Steps in the order in which they are to be performed. A client with a full queue is slow.

    A client is not slow because a fault holds its messages back. While one is held back (`hold`) there is no limit,
    and all of it waits in memory; then the limit is higher by what piled up, until the queue has once been empty.
    """

    def __init__(self) -> None:
        self._steps: asyncio.Queue[SingleStep] = asyncio.Queue()
        self._most: float = QUEUE_MAX
        self._step_done = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether as many steps wait as may."""
        return self._steps.qsize() >= self._most

    def put(self, step: SingleStep) -> None:
        """Append a step, also to a full queue."""
        self._steps.put_nowait(step)

    async def perform_all(self, perform: Callable[[SingleStep], Awaitable[None]]) -> None:
        """Perform the steps in order, until cancelled."""
        while True:
            step = await self._steps.get()
            try:
                await perform(step)
            finally:
                self._steps.task_done()
                self._step_done.set()
            if self._steps.empty():
                self._most = QUEUE_MAX

    async def hold(self, pause: Awaitable[None]) -> None:
        """Hold back the step that is being performed, and so all behind it, until `pause` is over."""
        self._most = inf
        await pause
        self._most = QUEUE_MAX + self._steps.qsize()

    async def wait_for_room(self) -> None:
        """Return when fewer than QUEUE_MAX steps wait."""
        while self._steps.qsize() >= QUEUE_MAX:
            self._step_done.clear()
            await self._step_done.wait()

    async def wait_until_done(self) -> None:
        """Return when all steps have been performed or discarded."""
        await self._steps.join()

    def discard(self) -> None:
        """Drop the steps that wait, and wake all tasks that wait for room."""
        while not self._steps.empty():
            self._steps.get_nowait()
            self._steps.task_done()
        self._step_done.set()
