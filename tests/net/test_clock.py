"""The machine's clocks."""

from __future__ import annotations

import asyncio
import time

import pytest

from booktape.net.clock import SystemClock


async def test_the_machine_s_clocks() -> None:
    """Time of day counts since 1970; steady time is that of the event loop, which also times its waits."""
    clock = SystemClock()

    before_ns = time.time_ns()
    assert before_ns <= clock.now_ns() <= time.time_ns()
    began_s = clock.steady_s()
    assert began_s == asyncio.get_running_loop().time()
    await clock.pause(5)
    assert clock.steady_s() - began_s == pytest.approx(5)
