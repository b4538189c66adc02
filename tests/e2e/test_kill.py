"""`kill -9`, for real: the next start finds everything, and declares the time that was not recorded."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from booktape.core.tape_records import TapeRecord
from booktape.sim.server.server import SimServer
from booktape.store.tape_reader import read_tape
from e2e.commands import log_until, start
from e2e.inside import recording, until_known
from e2e.promises import check_archive, gaps_of, truth_of
from e2e.tables import rows_on_tape, until_rows
from support.archives import open_archive
from support.truth import TracedMarket
from support.virtual_time import WallClock

SYMBOLS = ("BTCUSDT", "ETHUSDT")
KILLS = 20


def sealed_frames(root: Path) -> list[TapeRecord]:
    """Every frame of every sealed tape, in order."""
    tapes = sorted(root.glob("tape/date=*/*.zst"), key=lambda path: path.name)
    return [frame for path in tapes for frame in read_tape(path)]


@pytest.mark.long
@pytest.mark.real_time
@pytest.mark.parametrize("segment", ["1h", "1s"])
async def test_kill_9_at_random_moments_loses_no_row_and_hides_no_gap(
    tmp_path: Path, segment: str
) -> None:
    """Killed at any moment, whether starting, recovering, rotating or sealing: the archive stays right."""
    dice = random.Random(9)

    market = TracedMarket(SYMBOLS, seed=5, levels=60)
    async with SimServer(market, speed=4, start_at_once=True) as server:
        command = (
            *("record", *SYMBOLS, "--every", "3", "--out", tmp_path, "--segment", segment),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
        for _ in range(KILLS // 2):
            process = await start(*command)
            # A third of the kills hit the start itself, the others a running recording.
            if dice.random() < 0.66:
                await log_until(process, "book synced")
            await asyncio.sleep(dice.uniform(0, 1.2))
            process.kill()
            await process.communicate()
        process = await start(*command)
        await log_until(process, "book synced")
        await log_until(process, "book synced")
        process.terminate()
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert server.violations.total() == 0, server.violations
    rows = check_archive(tmp_path, truth_of(market), every=3)
    assert set(rows) == set(SYMBOLS)
    assert all(len(own) > 30 for own in rows.values())
    assert {gap["reason"] for gap in gaps_of(tmp_path)} == {"killed"}
    assert not list((tmp_path / "unsealed").iterdir())


async def test_a_kill_takes_at_most_the_last_second(tmp_path: Path) -> None:
    """At any moment, in virtual time: the next start finds everything that had left the socket a second before.

    A kill leaves the files as the operating system has them, which is what a copy contains.
    """
    market, clock = TracedMarket(SYMBOLS, seed=5, levels=60), WallClock()
    left_at_ns: dict[Path, int] = {}
    async with (
        SimServer(market, start_at_once=True) as server,
        recording(server, SYMBOLS, tmp_path / "data", clock, every=1, segment_s=4) as recorder,
    ):
        await until_known(recorder, len(SYMBOLS))
        for number in range(20):
            await asyncio.sleep(0.37)
            copy = Path(shutil.copytree(tmp_path / "data", tmp_path / str(number)))
            left_at_ns[copy] = clock.now_ns()
    whole = sealed_frames(tmp_path / "data")
    for copy, at_ns in left_at_ns.items():
        with open_archive(copy):
            pass
        found = sealed_frames(copy)
        for frame in whole:
            assert frame in found or frame.received_ns > at_ns - 10**9, (copy, frame)


@pytest.mark.real_time
async def test_rows_seen_before_a_kill_are_there_after_it(tmp_path: Path) -> None:
    """Rows that a reader found during the recording."""
    market = TracedMarket(SYMBOLS, seed=5, levels=60)
    async with SimServer(market, start_at_once=True) as server:
        command = (
            *("record", *SYMBOLS, "--every", "1", "--out", tmp_path),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
        process = await start(*command)
        await until_rows(tmp_path, SYMBOLS, 10)
        seen = rows_on_tape(tmp_path, SYMBOLS)
        process.kill()
        await process.communicate()
        process = await start(*command)
        for _ in SYMBOLS:
            await log_until(process, "book synced")
        process.terminate()
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
    rows = check_archive(tmp_path, truth_of(market), every=1)
    for symbol, count in zip(SYMBOLS, seen, strict=True):
        assert sum(row["epoch"] == 1 for row in rows[symbol]) >= count
    assert {gap["reason"] for gap in gaps_of(tmp_path)} == {"killed"}
