"""Where ticks come from: one a second, whatever the rounding of the clock."""

from __future__ import annotations

import math

import pytest

from booktape.core.tape_records import Tick
from booktape.net.record_queue import RecordQueue
from booktape.net.ticks import Ticks

PAUSES = 100


class Enough(Exception):
    """It has slept often enough."""


class EarlyClock:
    """A sleeper of it wakes one float early; one who wants less than a nanosecond does not sleep.

    So does asyncio's, while nothing else makes time pass.
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
async def test_each_sleep_ends_with_a_tick_though_a_sleeper_wakes_a_hair_early() -> None:
    """Else it would sleep for no time at all, for ever where only sleep makes time pass."""
    queue = RecordQueue(PAUSES)

    with pytest.raises(Enough):
        await Ticks(EarlyClock(), queue).run()
    ticks = queue.drain()
    assert len(ticks) == PAUSES
    for tick in ticks:
        assert isinstance(tick, Tick)
        assert tick.elapsed_ns == pytest.approx(1e9, abs=1_000)
