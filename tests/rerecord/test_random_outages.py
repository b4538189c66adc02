"""Two recorders with independent outages: the merge is true and proved, and lacks only what both missed."""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path
from random import Random

import pytest

from booktape.rerecord import merge
from booktape.sim.faults.conditions import Messages
from booktape.sim.faults.connections import HalfOpen
from booktape.sim.faults.fault import Faults
from booktape.sim.faults.messages import Drop
from e2e.promises import check_archive, gaps_of, rows_of, truth_of
from faults.scripts import MAKERS, _draw
from rerecord.twins import (
    END_S,
    SYMBOLS,
    Plan,
    is_in,
    lost_in_merge,
    merge_folders,
    random_runs,
    record_twins,
    unknown,
)
from support.truth import TracedMarket
from support.virtual_time import START_NS

SEEDS = int(os.environ.get("BOOKTAPE_MERGE_SEEDS", "6"))
TO_THE_SECOND_S = 0.6
"""Ticks of the merge are up to 1.75 s apart, those of a machine 1 s; a decision at a tick may come that much later."""

LATE_S = 0.5
"""By then a connected recorder knows of every event of the exchange."""

OF_ONE_RECORDER = (
    *("drop", "gap", "repeat", "repeat-late", "delay", "stall", "garbage", "garbage-instead"),
    *(
        "close",
        "cut",
        "cuts",
        "lifetime",
        "half-open",
        "server-shutdown",
        "outage",
        "outage-silent",
    ),
    *("refuse", "hang", "status", "slow", "half", "truncate", "stale"),
    *("deaf", "deaf-witness", "deaf-symbol", "silence"),
)
"""Faults of one recorder's connections and requests; faults of the market apply to both."""


def random_plan(rng: Random) -> Plan:
    kinds = rng.sample(OF_ONE_RECORDER, rng.randint(0, 3))
    faults = Faults.of(*(MAKERS[kind](_draw(rng, from_start=rng.random() < 0.5)) for kind in kinds))
    return Plan(random_runs(rng, rng.randint(0, 3)), faults)


def check_merge(
    folders: tuple[Path, Path], merged: Path, market: TracedMarket, every: int = 2
) -> None:
    """Every row is true, `verify` is clean, and the gaps are those that both have."""
    check_archive(merged, truth_of(market), every)
    for symbol in SYMBOLS:
        gaps, inputs = unknown(merged, symbol), [unknown(folder, symbol) for folder in folders]
        lost = [(a, b) for a, b in lost_in_merge(gaps, inputs) if b - a > TO_THE_SECOND_S]
        assert not lost, (symbol, lost, gaps, inputs)


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=pytest.mark.long if n else ()) for n in range(SEEDS)]
)
def test_any_two_recorders_can_be_merged(tmp_path: Path, seed: int) -> None:
    """Each is stopped, cut off, delayed and lied to at random."""
    rng = Random(f"twins {seed}")
    folders = tmp_path / "a", tmp_path / "b"
    market = record_twins(random_plan(rng), random_plan(rng), folders)
    outcome = merge_folders(*folders, out=tmp_path / "merged")
    assert outcome.damaged == outcome.unsealed == []
    check_merge(folders, tmp_path / "merged", market)


@pytest.mark.long
def test_there_is_no_gap_if_one_recorder_is_always_up(tmp_path: Path) -> None:
    """Six outages in turn; each archive has its own gaps, the merge has none, and no row is older than the exchange."""
    folders, merged = (tmp_path / "a", tmp_path / "b"), tmp_path / "merged"
    first = Plan(((0, 20), (30, 50), (60, END_S)))
    second = Plan(
        ((0, 10), (15, 35), (45, 65), (75, END_S)),
        Faults.of(Drop(Messages(16, 19, probability=0.1))),
    )
    market = TracedMarket(SYMBOLS, seed=3, levels=40, remembers=True)
    record_twins(first, second, folders, market=market)
    merge_folders(*folders, out=merged, every=1)
    check_merge(folders, merged, market, every=1)
    assert len(gaps_of(folders[0])) >= 2 * len(SYMBOLS) <= len(gaps_of(folders[1]))
    assert gaps_of(merged) == []
    truth = market.truth()
    for symbol in SYMBOLS:
        rows = rows_of(merged)[symbol]
        times = [row["receive_time"].timestamp() - START_NS / 1e9 for row in rows]
        for moment_s in range(5, round(END_S) - 1):
            row = rows[bisect_right(times, moment_s) - 1]
            past_us = START_NS // 1_000 + round((moment_s - LATE_S) * 1e6)
            assert row["update_id"] >= truth.reached(symbol, past_us).update_id


def test_a_snapshot_that_came_before_the_merge_needed_it_ends_the_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine is half-open; the other loses events and has its answer before the hole is given up."""
    folders = tmp_path / "a", tmp_path / "b"
    lost = Drop(Messages(20.05, 20.5, symbol="BNBUSDT"))
    market = record_twins(
        Plan(faults=Faults.of(lost)), Plan(faults=Faults.of(HalfOpen(15.05))), folders
    )
    merge_folders(*folders, out=tmp_path / "merged")
    check_merge(folders, tmp_path / "merged", market)
    at_once = [gap for gap in gaps_of(tmp_path / "merged") if gap["symbol"] == "BNBUSDT"]
    assert [gap["reason"] for gap in at_once] == ["id_gap"]
    assert (at_once[0]["end_time"] - at_once[0]["start_time"]).total_seconds() < 1
    # Otherwise the next answer is that of the half-open machine.
    monkeypatch.setattr(merge._EarlyAnswers, "due_after", lambda *_: ())
    merge_folders(*folders, out=tmp_path / "without")
    assert is_in(unknown(tmp_path / "without", "BNBUSDT"), 30)
