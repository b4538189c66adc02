"""Ticks tell the tape the time, once a second.

The reconstruction reads no clock; it knows the time from ticks. While this process is stopped (a paused container, a
sleeping laptop, SIGSTOP), messages wait in the sockets, and their stamps are late by the length of the pause. So a
tick that is due goes into the queue before any message from a socket does: it shows how long the pause was.
"""

from __future__ import annotations

from typing import Final

from booktape.core.tape_records import ClockStep, Tick
from booktape.net.clock import Clock
from booktape.net.record_queue import RecordQueue

TICK_S: Final = 1.0

STEP_NS: Final = 10**9
"""A difference this large or larger means that our clock was set; slewing and our own delays stay below it."""

_EARLY_S: Final = 1e-6
"""A sleep may end this much early, because its clock is rounded. Its second then counts as passed, or the loop would
sleep for no time at all until the clock had moved."""


class Ticks:
    """Puts a `Tick` into the queue every second, and a `ClockStep` when our clock was set.

    Known weakness: on Linux, steady time does not run while a machine is suspended, so a suspension looks like a step
    of the clock and not like a pause.
    """

    def __init__(self, clock: Clock, queue: RecordQueue) -> None:
        self._clock = clock
        self._queue = queue
        self._ahead_ns = self._ahead_of_steady_ns()
        self._last_s = clock.steady_s()

    def is_due(self) -> bool:
        """Whether a second has passed since the last tick."""
        return self._clock.steady_s() - self._last_s >= TICK_S - _EARLY_S

    async def put(self) -> None:
        """Put a tick into the queue, after a step of the clock if there was one. Waits while the queue is full."""
        now_s = self._clock.steady_s()
        elapsed_ns, self._last_s = round((now_s - self._last_s) * 1e9), now_s
        before_ns, self._ahead_ns = self._ahead_ns, self._ahead_of_steady_ns()
        step_ns = self._ahead_ns - before_ns
        if abs(step_ns) >= STEP_NS:
            await self._queue.put(ClockStep(self._clock.now_ns(), step_ns))
        await self._queue.put(Tick(self._clock.now_ns(), elapsed_ns))

    def _ahead_of_steady_ns(self) -> int:
        """The time of day minus steady time, which changes when our clock is set, or while the machine sleeps."""
        return self._clock.now_ns() - round(self._clock.steady_s() * 1e9)

    async def run(self) -> None:
        """Put ticks into the queue until cancelled."""
        while True:
            await self._clock.pause(max(0.0, self._last_s + TICK_S - self._clock.steady_s()))
            if self.is_due():
                await self.put()
