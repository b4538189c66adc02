"""The machine's clocks, and how a step of the time of day is seen."""

from __future__ import annotations

import asyncio
import time

import pytest

from booktape.net.clock import STEP_NS, StepWatch, SystemClock
from support import virtual_time


async def test_the_machine_s_clocks() -> None:
    """Time of day since 1970; steady time is the loop's, by which it also waits."""
    clock = SystemClock()

    before_ns = time.time_ns()
    assert before_ns <= clock.now_ns() <= time.time_ns()
    began_s = clock.steady_s()
    assert began_s == asyncio.get_running_loop().time()
    await clock.pause(5)
    assert clock.steady_s() - began_s == pytest.approx(5)


@pytest.mark.parametrize("step_s", [-3_600, -1, 1, 7.5])
async def test_a_clock_that_was_set_is_seen_once(step_s: float) -> None:
    """By how much, forward or back; time that passes is no step."""
    clock = virtual_time.WallClock()
    watch = StepWatch(clock)
    await clock.pause(60)
    assert watch.step_ns() == 0
    clock.step(step_s)
    await clock.pause(1)
    assert watch.step_ns() == pytest.approx(step_s * 10**9)
    await clock.pause(1)
    assert watch.step_ns() == 0


async def test_small_differences_are_no_step() -> None:
    """Slewing moves the clock by less from one look to the next, and never adds up."""
    clock = virtual_time.WallClock()
    watch = StepWatch(clock)
    for _ in range(10):
        clock.step(0.5 * STEP_NS / 1e9)
        assert watch.step_ns() == 0


async def test_a_machine_that_slept_resembles_one_whose_clock_was_set() -> None:
    """Steady time stands still meanwhile."""
    clock = virtual_time.WallClock()
    watch = StepWatch(clock)
    clock.step(8 * 3_600)
    assert watch.step_ns() == 8 * 3_600 * 10**9
