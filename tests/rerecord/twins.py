"""Two recorders of one simulated exchange, each with its own outages, in virtual time.

The exchange has two hosts: each recorder is connected to its own, so that faults of connections are its own
too. A recorder that is down was stopped, and is started again on the same folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

import booktape
from booktape.reader.archive_files import ArchiveFiles
from booktape.recorder.recorder import Recorder
from booktape.recorder.settings import Settings
from booktape.rerecord.merge import MergeOutcome, merge
from booktape.sim.faults.fault import Faults
from booktape.sim.server.server import SimServer
from booktape.wire.endpoints import Venue
from e2e.promises import rows_of
from support import virtual_time
from support.truth import TracedMarket
from support.virtual_time import START_NS, WallClock

SYMBOLS: Final = ("BNBUSDT", "LTCBTC", "XMRBTC")
END_S: Final = 90.0
DEFAULTS: Final[dict[str, Any]] = {"symbols": SYMBOLS, "every": 2, "segment_s": 20}
STEP_S: Final = 0.1

Interval: TypeAlias = tuple[float, float]
"""In seconds since the start."""


@dataclass(frozen=True)
class Plan:
    """One recorder: when it runs, what happens to its connections, how far its clock is ahead."""

    runs: tuple[Interval, ...] = ((0.0, END_S),)
    faults: Faults = field(default_factory=Faults)
    ahead_s: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)


async def _follow(plan: Plan, venue: Venue, out: Path) -> None:
    clock, begun_s = WallClock(), virtual_time.running().time()
    clock.step(plan.ahead_s)
    for start_s, end_s in plan.runs:
        await asyncio.sleep(max(0.0, begun_s + start_s - clock.steady_s()))
        settings = Settings(venue, out=out, **DEFAULTS | plan.settings)
        recorder = Recorder(settings, clock)
        work = asyncio.create_task(recorder.run())
        await asyncio.sleep(max(0.0, begun_s + end_s - clock.steady_s()))
        recorder.stop()
        await work


def record_twins(
    first: Plan, second: Plan, outs: Sequence[Path], market: TracedMarket | None = None
) -> TracedMarket:
    """Record one market twice."""
    market = market or TracedMarket(SYMBOLS, seed=3, levels=40)

    async def story() -> None:
        async with SimServer(
            market,
            faults=first.faults,
            second=second.faults,
            start_us=START_NS // 1_000,
            start_at_once=True,
        ) as server:
            one = Venue("test exchange", server.rest_url, server.ws_url)
            other = Venue("test exchange", server.second_rest_url, server.second_ws_url)
            await asyncio.gather(_follow(first, one, outs[0]), _follow(second, other, outs[1]))
        assert not server.violations

    virtual_time.run(story())
    return market


def merge_folders(*folders: Path, out: Path, **how: Any) -> MergeOutcome:
    """As the command does."""
    found = tuple(ArchiveFiles.find(folder) for folder in folders)
    return merge(found, out, **{"segment_s": 20} | how)


def random_runs(rng: Random, outages: int) -> tuple[Interval, ...]:
    """The whole time, except for some outages of several seconds."""
    downs = sorted(rng.uniform(3, END_S - 15) for _ in range(outages))
    runs, start_s = [], 0.0
    for down_s in downs:
        if down_s > start_s + 1:
            runs.append((start_s, down_s))
            start_s = down_s + rng.uniform(1, 12)
    return (*runs, (start_s, END_S))


def unknown(root: Path, symbol: str) -> list[Interval]:
    """When a book was not known, from the start until END_S, according to its archive."""
    begun_us = START_NS // 1_000
    first = rows_of(root)[symbol][0]["receive_time"]
    found = [(0.0, first.timestamp() - begun_us / 1e6)]
    for gap in booktape.open(root).gaps(symbol).to_pylist():
        start_s, end_s = (
            None if gap[name] is None else gap[name].timestamp() - begun_us / 1e6
            for name in ("start_time", "end_time")
        )
        assert start_s is not None
        found.append((start_s, END_S if end_s is None else end_s))
    return found


def is_in(intervals: Sequence[Interval], moment_s: float) -> bool:
    return any(start_s <= moment_s < end_s for start_s, end_s in intervals)


def lost_in_merge(
    merged: Sequence[Interval], inputs: Sequence[Sequence[Interval]]
) -> list[Interval]:
    """The intervals in which some input knows the book and the merge does not."""
    found: list[Interval] = []
    for step in range(round((END_S - 1) / STEP_S)):
        moment_s = step * STEP_S
        if is_in(merged, moment_s) and not all(is_in(each, moment_s) for each in inputs):
            if found and found[-1][1] >= moment_s - STEP_S / 2:
                found[-1] = found[-1][0], moment_s + STEP_S
            else:
                found.append((moment_s, moment_s + STEP_S))
    return found
