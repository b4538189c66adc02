"""Every fault alone, and many together: rows equal the truth, gaps are told, no limit is broken.

`BOOKTAPE_FAULT_SCRIPTS` says how many random combinations to try (default 24). Runs go side by side
in one loop: most of their time is waiting.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from booktape.sim.faults import Faults
from booktape.sim.market import Market
from booktape.sim.server import SimServer
from e2e.inside import recording
from e2e.promises import check_archive, gaps_of, truth_of
from faults.scripts import MAKERS, RUN_S, SYMBOLS, script, single

SPEED = 10.0
AT_ONCE = 12
COMBINATIONS = int(os.environ.get("BOOKTAPE_FAULT_SCRIPTS", "24"))

# Found out by the recorder's own clock, which is not compressed: net's tests have them.
SLOW = {"half-open", "hang"}
REASONS = {"id_gap", "disconnected"}


async def survive(faults: Faults, seed: int, out: Path) -> str:
    """Record a minute of the exchange under faults; what is wrong with the result, or nothing."""
    market = Market(SYMBOLS, seed=seed, levels=40)
    async with (
        SimServer(market, faults=faults, speed=SPEED) as server,
        recording(server, SYMBOLS, out, every=2, connections=1 + seed % 2) as recorder,
    ):
        await asyncio.sleep(RUN_S / SPEED)
        status = recorder.status()
    if server.violations.total():
        return f"limits broken: {server.violations}"
    if status is None:
        return ""  # an outage from the beginning: nothing was recorded, and nothing claimed
    try:
        check_archive(out, truth_of(market), every=2)
    except AssertionError as error:
        return f"wrong: {error}"
    unexplained = {gap["reason"] for gap in gaps_of(out)} - REASONS
    return f"unexplained gaps: {unexplained}" if unexplained else ""


async def survive_all(stories: dict[str, Faults], root: Path) -> dict[str, str]:
    """What went wrong in which story."""
    some = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int, name: str) -> tuple[str, str]:
        async with some:
            return name, await survive(stories[name], seed, root / name)

    told = await asyncio.gather(*(one(seed, name) for seed, name in enumerate(stories)))
    return {name: wrong for name, wrong in told if wrong}


def test_every_fault_alone(tmp_path: Path) -> None:
    """With one connection or two."""
    stories = {kind: single(kind) for kind in MAKERS if kind not in SLOW}
    assert len(stories) > 20
    assert asyncio.run(survive_all(stories, tmp_path)) == {}


def test_random_combinations(tmp_path: Path) -> None:
    """Two to four faults at random times and strengths, over when the last stretch begins."""
    kinds = [kind for kind in MAKERS if kind not in SLOW]
    stories = {f"script-{seed}": script(seed, kinds) for seed in range(COMBINATIONS)}
    assert asyncio.run(survive_all(stories, tmp_path)) == {}
