"""Rare and long faults, in virtual time: stored rows stay true, and every loss is declared exactly."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from booktape.core.events import DepthEvent
from booktape.core.tape_records import StreamMessage
from booktape.recorder import recorder
from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempt
from booktape.sim.faults.connections import CutAt, HalfOpen, Outage
from booktape.sim.faults.fault import Fault, Faults
from booktape.sim.faults.market import Huge
from booktape.sim.server.server import SimServer
from booktape.store.tape_reader import read_tape
from booktape.wire.binance import decode_event
from e2e.inside import recording, until_known
from e2e.promises import Row, check_archive, gaps_of, truth_of
from support.connections import close_all
from support.truth import TracedMarket
from support.virtual_time import START_NS, WallClock, running

HOUR_S = 3_600.0
LARGEST = 1_076  # levels of the largest event in the real captures
START = datetime.fromtimestamp(START_NS // 10**9, UTC)


@dataclass
class FirstOf:
    """The first `count` requests for a path that ends with `path`; others are not counted.

    `asked_s` are the times of all such requests, since the exchange started.
    """

    path: str
    count: int
    asked_s: list[float] = field(default_factory=list)

    def __call__(self, attempt: Attempt) -> bool:
        if attempt.kind != "rest" or not attempt.path.endswith(self.path):
            return False
        self.asked_s.append(attempt.now_s)
        return len(self.asked_s) <= self.count


async def record(
    out: Path, seconds: float, *lies: Fault, symbol: str = "BNBUSDT", connections: int = 1
) -> list[Row]:
    """Record one symbol for a while under faults; returns its rows, checked, one for each event."""
    market = TracedMarket((symbol,), seed=11, levels=40)
    async with (
        SimServer(market, faults=Faults.of(*lies)) as server,
        recording(server, (symbol,), out, every=1, connections=connections) as recorder,
    ):
        await asyncio.sleep(seconds)
        await until_known(recorder, 1)
    assert not server.violations
    return check_archive(out, truth_of(market), every=1)[symbol]


def seconds_of(gap: Row) -> tuple[float, float]:
    """When a gap began, from the start of the recording, and how long it lasted."""
    begun: timedelta = gap["start_time"] - START
    lasted: timedelta = gap["end_time"] - gap["start_time"]
    return begun.total_seconds(), lasted.total_seconds()


def steps_in_notes(root: Path) -> list[float]:
    """The steps of our clock in seconds, as recorded in `notes`, smallest first."""
    tables = [
        pq.read_table(path, partitioning=None) for path in root.glob("notes/date=*/*.parquet")
    ]
    notes = [note for table in tables for note in table.to_pylist()]
    return sorted(float(note["detail"]) for note in notes if note["kind"] == "clock_step")


async def test_an_event_ten_times_the_largest_real_one_is_a_row_like_any_other(
    tmp_path: Path,
) -> None:
    """It is on the tape, whole, and causes no gap; the row at its id equals the truth."""
    rows = await record(tmp_path, 20, Huge("BNBUSDT", 10.0, 10 * LARGEST))
    (tape,) = tmp_path.glob("tape/*/*.zst")
    frames = [frame for frame in read_tape(tape) if isinstance(frame, StreamMessage)]
    huge = max(frames, key=lambda frame: len(frame.payload))
    event = decode_event(huge.payload)
    assert isinstance(event, DepthEvent)
    assert len(event.bids) + len(event.asks) >= 10 * LARGEST
    assert event.last_id in {row["update_id"] for row in rows}
    assert gaps_of(tmp_path) == []


async def test_a_half_open_connection_costs_a_gap_of_less_than_a_minute(tmp_path: Path) -> None:
    """From its last event on, although no close reported the loss."""
    await record(tmp_path, 120, HalfOpen(20.05))
    (gap,) = gaps_of(tmp_path)
    began_s, lasted_s = seconds_of(gap)
    assert 19 < began_s < 20.05
    assert lasted_s < 60


async def test_one_of_two_connections_may_be_half_open(tmp_path: Path) -> None:
    """The other one continues: nothing is lost."""
    await record(tmp_path, 120, HalfOpen(20.05, connection=0), connections=2)
    assert gaps_of(tmp_path) == []


async def test_requests_that_hang_are_given_up_and_repeated(tmp_path: Path) -> None:
    """The list of symbols once, the first snapshot twice: each costs ten seconds and a pause."""
    lists, snapshots = FirstOf("exchangeInfo", 1), FirstOf("depth", 2)
    rows = await record(tmp_path, 60, requests.hang(lists), requests.hang(snapshots))
    assert (len(lists.asked_s), len(snapshots.asked_s)) == (2, 3)
    known_s = (rows[0]["receive_time"] - START).total_seconds()
    assert 30 <= known_s < 32
    assert gaps_of(tmp_path) == []


@pytest.mark.long
@pytest.mark.within_s(10 * HOUR_S)
async def test_an_exchange_that_is_away_for_hours_is_one_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The book is known at most half a minute after the exchange returns, within all its limits."""
    monkeypatch.setattr(recorder, "FLUSH_S", 60.0)  # flushing every half second is not the point
    away_s = 3 * HOUR_S

    market = TracedMarket(("XMRBTC",), seed=11, levels=40)
    # A slow exchange, or it would have to produce six hours of events that are not received.
    slow = 1 / 60
    lie = Outage(60 * slow, (60 + away_s) * slow)
    async with (
        SimServer(market, faults=Faults.of(lie), speed=slow, start_at_once=True) as server,
        recording(server, ("XMRBTC",), tmp_path, every=1) as started,
    ):
        await asyncio.sleep(60 + away_s + 120)
        await until_known(started, 1)
    assert not server.violations
    check_archive(tmp_path, truth_of(market), every=1)
    (gap,) = gaps_of(tmp_path)
    began_s, lasted_s = seconds_of(gap)
    assert began_s <= 60
    assert away_s <= lasted_s <= away_s + (60 - began_s) + 31


@pytest.mark.parametrize("steps_s", [(-HOUR_S, 2 * HOUR_S), (HOUR_S, -2 * HOUR_S)])
async def test_a_wall_clock_that_is_set_changes_no_row_and_no_order(
    tmp_path: Path, steps_s: tuple[float, float]
) -> None:
    """Forward and back, with a cut in between: each gap keeps its place, by the clock of its time.

    With the steps in `notes` undone no two gaps overlap, and `receive_time` goes back where
    our clock does, and nowhere else.
    """
    cuts_s = (10.05, 20.05, 30.05)

    market, clock = TracedMarket(("BNBUSDT",), seed=11, levels=40), WallClock()
    async with (
        SimServer(market, faults=Faults.of(*map(CutAt, cuts_s))) as server,
        recording(server, ("BNBUSDT",), tmp_path, clock, every=1) as recorder,
    ):
        for step_s in steps_s:
            await asyncio.sleep(15)
            clock.step(step_s)
        await asyncio.sleep(15)
        await until_known(recorder, 1)
    rows = check_archive(tmp_path, truth_of(market), every=1)["BNBUSDT"]
    assert all(a["update_id"] <= b["update_id"] for a, b in pairwise(rows))
    times = [row["receive_time"] for row in rows]
    back_s = [(a - b).total_seconds() for a, b in pairwise(times) if b < a]
    assert [round(by_s / HOUR_S) for by_s in back_s] == [-round(min(steps_s) / HOUR_S)]

    assert steps_in_notes(tmp_path) == pytest.approx(sorted(steps_s))
    # The first gap lies before both steps, the second between them, the third after both.
    ahead_s = (0.0, steps_s[0], sum(steps_s))
    gaps = [seconds_of(gap) for gap in gaps_of(tmp_path)]
    true = [
        (begun_s - by_s, lasted_s) for (begun_s, lasted_s), by_s in zip(gaps, ahead_s, strict=True)
    ]
    for (begun_s, lasted_s), cut_s in zip(true, cuts_s, strict=True):
        assert cut_s - 1 < begun_s <= cut_s
        assert 0 <= lasted_s < 2
    assert all(a[0] + a[1] <= b[0] for a, b in pairwise(true))


@pytest.mark.parametrize(("step_s", "longer_s"), [(-HOUR_S, 0.0), (HOUR_S, HOUR_S)])
async def test_a_wall_clock_step_during_a_gap_moves_its_start_or_lengthens_it(
    tmp_path: Path, step_s: float, longer_s: float
) -> None:
    """A step back moves the gap's start with it, so its length is right; a step forward makes it look longer."""
    market, clock = TracedMarket(("BNBUSDT",), seed=11, levels=40), WallClock()
    async with (
        SimServer(market, faults=Faults.of(Outage(10.05, 20.05))) as server,
        recording(server, ("BNBUSDT",), tmp_path, clock, every=1) as recorder,
    ):
        await asyncio.sleep(15)
        clock.step(step_s)
        await asyncio.sleep(30)
        await until_known(recorder, 1)
    check_archive(tmp_path, truth_of(market), every=1)
    (gap,) = gaps_of(tmp_path)
    begun_s, lasted_s = seconds_of(gap)
    assert 9 < begun_s - min(step_s, 0) <= 10.05
    # No pause before a new attempt is longer than all of them together, so at most 20 s.
    assert 10 <= lasted_s - longer_s <= 21


async def test_a_wall_clock_set_back_by_less_than_a_second_moves_no_stamp_back(
    tmp_path: Path,
) -> None:
    """No step is noted; no time goes back, and stamps wait for the clock."""
    market, clock = TracedMarket(("BNBUSDT",), seed=11, levels=40), WallClock()
    async with (
        SimServer(market, faults=Faults.of(CutAt(10.05), CutAt(20.05))) as server,
        recording(server, ("BNBUSDT",), tmp_path, clock, every=1) as recorder,
    ):
        # In the first gap, and while the book is known.
        await asyncio.sleep(10.15)
        clock.step(-0.9)
        await asyncio.sleep(5)
        clock.step(-0.9)
        await asyncio.sleep(15)
        await until_known(recorder, 1)
    rows = check_archive(tmp_path, truth_of(market), every=1)["BNBUSDT"]
    times = [row["receive_time"] for row in rows]
    assert times == sorted(times)
    assert steps_in_notes(tmp_path) == []
    gaps = gaps_of(tmp_path)
    assert len(gaps) == 2
    assert all(gap["start_time"] <= gap["end_time"] for gap in gaps)
    assert all(a["end_time"] <= b["start_time"] for a, b in pairwise(gaps))


@pytest.mark.within_s(10 * HOUR_S)
@pytest.mark.parametrize("cut", [False, True])
async def test_a_machine_that_sleeps_for_an_hour_records_what_it_missed(
    tmp_path: Path, cut: bool
) -> None:
    """Data that the exchange kept for it is recorded; without the connection the hour is one gap."""
    market = TracedMarket(("XMRBTC",), seed=11, levels=40)
    async with (
        SimServer(market, speed=1 / 60, start_at_once=True) as server,
        recording(server, ("XMRBTC",), tmp_path, every=1) as recorder,
    ):
        await asyncio.sleep(63)  # between two slots
        if cut:
            # The machine sees it only after it wakes.
            cutting = asyncio.create_task(close_all(server, abrupt=True))
        running().pass_over(HOUR_S)
        await asyncio.sleep(600)
        await until_known(recorder, 1)
        assert not cut or cutting.done()
    assert not server.violations
    check_archive(tmp_path, truth_of(market), every=1)
    lasted = [seconds_of(gap)[1] for gap in gaps_of(tmp_path)]
    if cut:
        assert len(lasted) == 1
        assert HOUR_S <= lasted[0] <= HOUR_S + 62
    else:
        assert lasted == []
