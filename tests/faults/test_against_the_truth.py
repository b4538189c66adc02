"""Every fault alone, and many together: rows equal the truth, gaps are declared, no limit is broken.

`BOOKTAPE_FAULT_SCRIPTS` says how many random combinations to try; without it a dozen, none of which
lasts for hours. All of it happens at the exchange's own pace, in virtual time.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from booktape.recorder.recorder import Recorder
from booktape.sim.faults.fault import Faults
from booktape.sim.faults.market import Delist
from booktape.sim.server.server import SimServer
from e2e.inside import recording
from e2e.promises import check_archive, gaps_of, truth_of
from faults.scripts import ALIKE, HOURS, MAKERS, SYMBOLS, faultless_from_s, script, single
from support import virtual_time
from support.truth import TracedMarket

COMBINATIONS = os.environ.get("BOOKTAPE_FAULT_SCRIPTS", "")
REASONS = {"id_gap", "disconnected", "delisted", "silent", "break", "ids_reset"}

BACK_WITHIN_S = 400.0
"""After a 403 a recorder is silent for five minutes."""

DAY_S = 86_400.0


async def survive(faults: Faults, seed: int, out: Path) -> None:
    """Record the exchange under faults until these are over and all books are back, then check."""
    market = TracedMarket(SYMBOLS, seed=seed, levels=40)
    async with (
        # On the same clock: the body of a ban gives its end as a time of day.
        SimServer(
            market, faults=faults, start_us=virtual_time.START_NS // 1_000, start_at_once=True
        ) as server,
        recording(server, SYMBOLS, out, every=2, connections=1 + seed % 2) as recorder,
    ):
        await asyncio.sleep(faultless_from_s(faults))
        await until_back(recorder, faults)
        await asyncio.sleep(5)
    assert not server.violations
    check_archive(out, truth_of(market), every=2)
    assert {gap["reason"] for gap in gaps_of(out)} <= REASONS


async def until_back(recorder: Recorder, faults: Faults) -> None:
    """Waits until every book, except a delisted one, is known again."""
    gone = {fault.symbol for fault in faults.faults if isinstance(fault, Delist)}
    async with asyncio.timeout(BACK_WITHIN_S):
        while True:
            status = recorder.status()
            if status and all(b.state == "live" for b in status.books if b.symbol not in gone):
                return
            await asyncio.sleep(1)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.long if kind in ALIKE else ())
        for kind in sorted(MAKERS.keys() - HOURS)
    ],
)
async def test_every_fault_alone_is_survived(kind: str, tmp_path: Path) -> None:
    """Seeds alternate between one connection and two."""
    seed = sorted(MAKERS).index(kind)
    await survive(single(kind), seed, tmp_path)


@pytest.mark.long
@pytest.mark.within_s(DAY_S)
@pytest.mark.parametrize("seed", range(int(COMBINATIONS or 12)))
async def test_random_combinations_are_survived(seed: int, tmp_path: Path) -> None:
    """Two to four faults at random times and strengths, which end before the last part of the run."""
    kinds = MAKERS.keys() - (set() if COMBINATIONS else HOURS)
    await survive(script(seed, kinds), seed, tmp_path)
