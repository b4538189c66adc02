"""Where time gets onto the tape: once a second, and before whatever waited while we stood still.

The function that makes books reads no clock; it knows the time by these ticks. When this process is
stopped (a paused container, a laptop asleep, SIGSTOP) frames wait in the sockets, and carry a stamp
that is as late as the pause was long. So whoever takes a frame out of a socket first sees to it that
a tick which is due stands before it: the tick tells how long the pause was.
"""

from __future__ import annotations

from typing import Final

from booktape.core.tape_records import ClockStep, Tick
from booktape.net.clock import Clock, StepWatch
from booktape.net.record_queue import RecordQueue

EVERY_S: Final = 1.0

_EARLY_S: Final = 1e-6
"""A sleeper may wake a hair early, by the rounding of its clock: that second has passed, too. Else it
would sleep for no time at all, again and again, until the clock had moved."""


class Ticks:
    """Puts a `Tick` into the queue every second, and a `ClockStep` where our clock was set.

    Known weakness: steady time does not run while a machine is suspended (on Linux), so that is a
    step of the clock, and no pause.
    """

    def __init__(self, clock: Clock, queue: RecordQueue) -> None:
        self._clock = clock
        self._queue = queue
        self._watch = StepWatch(clock)
        self._last_s = clock.steady_s()

    def is_due(self) -> bool:
        """Whether a second has passed since the last tick."""
        return self._clock.steady_s() - self._last_s >= EVERY_S - _EARLY_S

    async def put(self) -> None:
        """Write down that time has passed. Waits where the queue is full."""
        now_s = self._clock.steady_s()
        elapsed_ns, self._last_s = round((now_s - self._last_s) * 1e9), now_s
        step_ns = self._watch.step_ns()
        if step_ns:
            await self._queue.put(ClockStep(self._clock.now_ns(), step_ns))
        await self._queue.put(Tick(self._clock.now_ns(), elapsed_ns))

    async def run(self) -> None:
        """Keep the time, until cancelled."""
        while True:
            await self._clock.pause(max(0.0, self._last_s + EVERY_S - self._clock.steady_s()))
            if self.is_due():
                await self.put()
