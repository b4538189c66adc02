"""A recorder that is stopped for a while (SIGSTOP: a paused container, a debugger), for real."""

from __future__ import annotations

import asyncio
import signal
import time
from asyncio.subprocess import Process
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from booktape.core.tape_records import DepthAnswer, Tick
from booktape.sim.server.server import SimServer
from booktape.store.tape_reader import read_tape
from e2e.commands import log_until, start
from e2e.promises import check_archive, gaps_of, truth_of
from e2e.tables import PATIENCE_S, rows_on_tape, table_of, until_rows
from support.truth import TracedMarket

pytestmark = pytest.mark.real_time

SYMBOL = "BNBUSDT"
PAUSE_S = 5.0
STAYS_S = 2.0
"""The minimum length of the pause, and how long the exchange continues in it: the subject of the test, not a wait
for something."""

TICKS = 3
"""By then the usual lag has been learnt."""


async def record(server: SimServer, out: Path) -> Process:
    """A recorder that has known the book for some ticks."""
    process = await start(
        *("record", SYMBOL, "--every", "1", "--out", out, "--segment", "1h"),
        *("--rest-url", server.rest_url, "--ws-url", server.ws_url),
    )
    await log_until(process, "book synced")
    async with asyncio.timeout(PATIENCE_S):
        while ticks_since_the_snapshot(out) < TICKS:
            await asyncio.sleep(0.1)
    return process


def ticks_since_the_snapshot(out: Path) -> int:
    """On the tape being written."""
    tape = max(out.glob("unsealed/*/tape.jsonl.zst"))
    kinds = [type(record) for record in read_tape(tape, torn=True)]
    return kinds[kinds.index(DepthAnswer) :].count(Tick) if DepthAnswer in kinds else 0


async def end(process: Process) -> None:
    process.terminate()
    _, err = await process.communicate()
    assert process.returncode == 0, err.decode()


def now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def last_event_s(market: TracedMarket) -> float:
    """The time of the event that ended the newest slot; 0 if that slot had none."""
    event = market.live(SYMBOL).last_event
    return event.event_time_us / 1e6 if event else 0.0


def pauses_s(out: Path) -> list[float]:
    return [float(note["detail"]) for note in table_of(out, "notes") if note["kind"] == "pause"]


async def test_a_connection_lost_in_a_pause_is_a_gap_from_the_last_event_before_it(
    tmp_path: Path,
) -> None:
    """Events that waited in the socket are stamped at the wake-up. They prove the book until they were
    due, and no longer: the gap does not begin at the wake-up. `notes` records the pause."""
    market = TracedMarket((SYMBOL,), seed=5, levels=60)

    async with AsyncExitStack() as exchange:
        server = await exchange.enter_async_context(SimServer(market, start_at_once=True))
        process = await record(server, tmp_path)
        process.send_signal(signal.SIGSTOP)
        stopped = now()
        async with asyncio.timeout(PATIENCE_S):
            while last_event_s(market) < stopped.timestamp() + STAYS_S:
                await asyncio.sleep(0.01)
    await asyncio.sleep(PAUSE_S - STAYS_S)
    woken = now()
    process.send_signal(signal.SIGCONT)
    await log_until(process, "book out of sync")
    await end(process)
    check_archive(tmp_path, truth_of(market), every=1)
    (gap,) = gaps_of(tmp_path)
    assert gap["reason"] == "disconnected"
    assert stopped <= gap["start_time"] < woken
    # On a busy machine there may be further pauses. They are reported to the millisecond.
    assert max(pauses_s(tmp_path)) > (woken - stopped).total_seconds() - 0.001


@pytest.mark.long
async def test_a_pause_that_the_exchange_tolerates_is_no_gap(tmp_path: Path) -> None:
    """Everything sent meanwhile is there, row by row; `notes` says that it is stamped late."""
    market = TracedMarket((SYMBOL,), seed=5, levels=60)

    async with SimServer(market, start_at_once=True) as server:
        process = await record(server, tmp_path)
        process.send_signal(signal.SIGSTOP)
        (before,) = rows_on_tape(tmp_path, (SYMBOL,))
        await asyncio.sleep(PAUSE_S)
        process.send_signal(signal.SIGCONT)
        await until_rows(tmp_path, (SYMBOL,), before + 1)
        await end(process)
    rows = check_archive(tmp_path, truth_of(market), every=1)[SYMBOL]
    assert all(gap["reason"] == "stopped" for gap in gaps_of(tmp_path))
    assert [row["epoch"] for row in rows] == [1] * len(rows)
    assert max(pauses_s(tmp_path)) >= PAUSE_S
