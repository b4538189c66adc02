"""How many steps may wait for a client: a limit that a fault lifts while it holds them back."""

from __future__ import annotations

import asyncio

import pytest

from booktape.sim.faults.steps import Send, SingleStep
from booktape.sim.server import step_queue


async def test_a_hold_lifts_the_limit_and_then_raises_it_until_the_queue_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that was kept waiting may have as many more waiting as piled up, and then no longer."""
    monkeypatch.setattr(step_queue, "QUEUE_MAX", 2)
    queue = step_queue.StepQueue()
    steps: list[SingleStep] = [Send(b"%d" % number) for number in range(7)]
    performed: list[SingleStep] = []

    async def pile_up() -> None:
        for step in steps[2:5]:
            queue.put(step)
            assert not queue.is_full

    async def perform(step: SingleStep) -> None:
        performed.append(step)

    for step in steps[:2]:
        assert not queue.is_full
        queue.put(step)
    assert queue.is_full
    await queue.hold(pile_up())
    for step in steps[5:]:
        assert not queue.is_full
        queue.put(step)
    assert queue.is_full
    performing = asyncio.create_task(queue.perform_all(perform))
    await queue.wait_until_done()
    assert performed == steps
    queue.put(steps[0])
    queue.put(steps[1])
    assert queue.is_full
    performing.cancel()
