"""Ticks, one a second whatever the rounding of the clock; and how a step of the time of day is seen."""

from __future__ import annotations

import math

import pytest

from booktape.core.tape_records import ClockStep, Tick
from booktape.net.record_queue import RecordQueue
from booktape.net.ticks import STEP_NS, Ticks
from support import virtual_time

PAUSES = 100


class Enough(Exception):
    """The clock has slept often enough."""


class EarlyClock:
    """Its sleepers wake one float early; a sleep of less than a nanosecond takes no time.

    The clock of asyncio does the same while nothing else makes time pass.
    """

    def __init__(self) -> None:
        self.pauses = 0
        self._now_s = 1_000.1

    def now_ns(self) -> int:
        return round(self._now_s * 1e9)

    def steady_s(self) -> float:
        return self._now_s

    async def pause(self, seconds: float) -> None:
        if self.pauses == PAUSES:
            raise Enough
        self.pauses += 1
        if seconds >= 1e-9:
            self._now_s = math.nextafter(self._now_s + seconds, 0.0)


@pytest.mark.real_time
async def test_each_sleep_ends_with_a_tick_though_it_ends_slightly_early() -> None:
    """Otherwise it would sleep for no time at all, for ever if only sleeping makes time pass."""
    queue = RecordQueue(PAUSES)

    with pytest.raises(Enough):
        await Ticks(EarlyClock(), queue).run()
    ticks = queue.drain()
    assert len(ticks) == PAUSES
    for tick in ticks:
        assert isinstance(tick, Tick)
        assert tick.elapsed_ns == pytest.approx(1e9, abs=1_000)


async def steps_ns(ticks: Ticks, queue: RecordQueue) -> list[int]:
    """The clock steps that the next tick reports."""
    await ticks.put()
    return [record.step_ns for record in queue.drain() if isinstance(record, ClockStep)]


@pytest.mark.parametrize("step_s", [-3_600, -1, 1, 7.5])
async def test_a_clock_step_is_noticed_once(step_s: float) -> None:
    """With its size, forward or back; passing time is no step."""
    clock, queue = virtual_time.WallClock(), RecordQueue(10)
    ticks = Ticks(clock, queue)
    await clock.pause(60)
    assert await steps_ns(ticks, queue) == []
    clock.step(step_s)
    await clock.pause(1)
    assert await steps_ns(ticks, queue) == [pytest.approx(step_s * 10**9)]
    await clock.pause(1)
    assert await steps_ns(ticks, queue) == []


async def test_small_differences_are_not_steps() -> None:
    """Slewing moves the clock by less from one look to the next, and does not accumulate."""
    clock, queue = virtual_time.WallClock(), RecordQueue(10)
    ticks = Ticks(clock, queue)
    for _ in range(10):
        clock.step(0.5 * STEP_NS / 1e9)
        assert await steps_ns(ticks, queue) == []


async def test_a_machine_that_slept_resembles_one_whose_clock_was_set() -> None:
    """Steady time stands still during the sleep."""
    clock, queue = virtual_time.WallClock(), RecordQueue(10)
    ticks = Ticks(clock, queue)
    clock.step(8 * 3_600)
    assert await steps_ns(ticks, queue) == [8 * 3_600 * 10**9]
