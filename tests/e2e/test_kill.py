"""`kill -9`, for real: the next start finds everything, and declares what was not recorded."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from booktape.core.tape_records import TapeRecord
from booktape.sim.server.server import SimServer
from booktape.store.tape_reader import read_tape
from e2e.commands import log_until, start
from e2e.promises import check_archive, gaps_of, truth_of
from e2e.tables import until_rows
from support.truth import TracedMarket

pytestmark = pytest.mark.real_time

SYMBOLS = ("BTCUSDT", "ETHUSDT")
KILLS = 20


def sealed_frames(root: Path) -> list[TapeRecord]:
    """Every frame of every sealed tape, in order."""
    tapes = sorted(root.glob("tape/date=*/*.zst"), key=lambda path: path.name)
    return [frame for path in tapes for frame in read_tape(path)]


@pytest.mark.long
@pytest.mark.parametrize("segment", ["1h", "1s"])
async def test_kill_9_at_random_moments_loses_no_row_and_hides_no_gap(
    tmp_path: Path, segment: str
) -> None:
    """Killed at any moment, starting, recovering, rotating or sealing: the archive stays right."""
    dice = random.Random(9)

    market = TracedMarket(SYMBOLS, seed=5, levels=60)
    async with SimServer(market, speed=4, start_at_once=True) as server:
        command = (
            *("record", *SYMBOLS, "--every", "3", "--out", tmp_path, "--segment", segment),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
        for _ in range(KILLS // 2):
            process = await start(*command)
            # A third of the kills hit the start itself, the others a recording under way.
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
    """What had left the socket a second before the kill is on the tape, and so in the rows."""
    market = TracedMarket(SYMBOLS, seed=5, levels=60)
    async with SimServer(market, start_at_once=True) as server:
        command = (
            *("record", *SYMBOLS, "--every", "1", "--out", tmp_path),
            *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
        )
        process = await start(*command)
        await log_until(process, "book synced")
        await until_rows(tmp_path, SYMBOLS, 10)
        process.kill()
        killed_ns = time.time_ns()
        await process.communicate()
        process = await start(*command, "--duration", "1")
        await process.communicate()
    before = [f.received_ns for f in sealed_frames(tmp_path) if f.received_ns < killed_ns]
    assert killed_ns - max(before) < 1e9
