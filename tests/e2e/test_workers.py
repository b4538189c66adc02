"""Several processes, one directory. A reader sees the difference only in the names."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections import Counter
from pathlib import Path

import pytest

from booktape.recorder.settings import Partition
from booktape.recorder.workers import partitions
from booktape.sim.faults import requests
from booktape.sim.faults.conditions import Attempts
from booktape.sim.faults.fault import Faults
from booktape.sim.server.server import SimServer
from booktape.verify.order import Scope
from booktape.verify.run import verify
from booktape.verify.stored_files import FolderFiles
from e2e.commands import log_until, run, start
from e2e.inside import recording
from e2e.promises import check_archive, gaps_of, truth_of
from e2e.tables import PATIENCE_S, until_rows
from support.truth import TracedMarket

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")
WORKERS = 2


def command(server: SimServer, out: Path, *more: str) -> tuple[str | Path, ...]:
    way = ("--rest-url", server.rest_url, "--ws-url", server.ws_url)
    return ("record", *SYMBOLS, "--every", "3", "--witness", "none", *way, *more, "--out", out)


async def all_known(process: Process) -> None:
    """Every book is live again."""
    heard = ""
    while any(f"symbol={symbol} epoch" not in heard for symbol in SYMBOLS):
        heard += await log_until(process, "book synced")


def children(process: Process) -> list[int]:
    """The process ids of the workers, without Python's own resource tracker."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_every_symbol_belongs_to_one_worker() -> None:
    """It is the same one at every start."""
    partitions = [Partition(index, 3, "run") for index in range(3)]
    holders = Counter(symbol for each in partitions for symbol in SYMBOLS if each.owns(symbol))
    assert holders == dict.fromkeys(SYMBOLS, 1)
    assert [each.tag for each in partitions] == ["runw0", "runw1", "runw2"]


@pytest.mark.real_time
async def test_two_workers_record_what_one_would_have(tmp_path: Path) -> None:
    """Short segments, a stop, and a single recorder that continues: every row is true, every gap reported."""
    market = TracedMarket(SYMBOLS, seed=5, levels=60)
    async with SimServer(market, speed=4, start_at_once=True) as server:
        shared = ("--workers", str(WORKERS), "--segment", "1s")
        for more in (shared, (), shared):
            process = await start(*command(server, tmp_path, *more))
            await all_known(process)
            process.send_signal(signal.SIGTERM)
            _, err = await process.communicate()
            assert process.returncode == 0, err.decode()
        assert server.violations.total() == 0, server.violations
    rows = check_archive(tmp_path, truth_of(market), every=3)
    assert set(rows) == set(SYMBOLS)
    reasons = Counter((gap["symbol"], gap["reason"]) for gap in gaps_of(tmp_path))
    assert reasons == {(symbol, "stopped"): 2 for symbol in SYMBOLS}


@pytest.mark.real_time
async def test_a_worker_that_dies_ends_the_others_and_loses_nothing(tmp_path: Path) -> None:
    """One sentence and exit 1; the next start repairs what the worker left, and declares the time in between."""
    market = TracedMarket(SYMBOLS, seed=6, levels=60)
    async with SimServer(market, speed=4, start_at_once=True) as server:
        process = await start(*command(server, tmp_path, "--workers", str(WORKERS)))
        await all_known(process)
        workers = children(process)
        assert len(workers) == WORKERS
        await until_rows(tmp_path, SYMBOLS, 3)
        os.kill(workers[0], signal.SIGKILL)
        _, err = await process.communicate()
        assert process.returncode == 1
        assert b"A worker process died" in err
        process = await start(*command(server, tmp_path))
        await all_known(process)
        process.terminate()
        await process.communicate()
    check_archive(tmp_path, truth_of(market), every=3)
    assert {gap["reason"] for gap in gaps_of(tmp_path)} == {"killed", "stopped"}


@pytest.mark.real_time
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, marks=pytest.mark.long),
    ],
)
async def test_a_signal_that_reaches_starting_workers_stops_them(
    tmp_path: Path, number: signal.Signals
) -> None:
    """As a Ctrl-C reaches every process of a terminal: no worker counts as dead, and the exit code is 0."""
    async with SimServer(TracedMarket(SYMBOLS, seed=8, levels=40), start_at_once=True) as server:
        process = await start(*command(server, tmp_path, "--workers", str(WORKERS)))
        async with asyncio.timeout(PATIENCE_S):
            while not (found := children(process)):
                await asyncio.sleep(0.001)
        # Long before Python has started in them, let alone handles signals.
        for pid in found:
            os.kill(pid, number)
        process.send_signal(number)
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"died" not in err


@pytest.mark.long
@pytest.mark.real_time
async def test_a_sigterm_to_every_process_seals_all_of_them(tmp_path: Path) -> None:
    """As service managers send it; the signal that the main process passes on does not count as a second one."""
    async with SimServer(TracedMarket(SYMBOLS, seed=9, levels=40), start_at_once=True) as server:
        process = await start(*command(server, tmp_path, "--workers", str(WORKERS)))
        await all_known(process)
        for pid in children(process):
            os.kill(pid, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()


@pytest.mark.long
@pytest.mark.real_time
async def test_a_second_signal_ends_every_worker_at_once(tmp_path: Path) -> None:
    """None is left running; the next start seals their tapes."""
    async with SimServer(TracedMarket(SYMBOLS, seed=9, levels=40), start_at_once=True) as server:
        process = await start(*command(server, tmp_path, "--workers", str(WORKERS)))
        await all_known(process)
        workers = children(process)
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)  # so that none has ended before the second signal
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            while process.returncode is None:  # two signals at the same moment count as one
                process.send_signal(signal.SIGINT)
                await asyncio.sleep(0.05)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        await process.communicate()
        assert process.returncode == 130
        async with asyncio.timeout(PATIENCE_S):
            while any(Path(f"/proc/{pid}").exists() for pid in workers):
                await asyncio.sleep(0.01)
        process = await start(*command(server, tmp_path))
        await all_known(process)
        process.terminate()
        await process.communicate()
        assert process.returncode == 0
    assert verify(FolderFiles(tmp_path), Scope()).clean


async def test_a_429_silences_every_worker(tmp_path: Path) -> None:
    """One worker is told to be silent; another, a moment later, knows it too and breaks no rule."""
    market = TracedMarket(SYMBOLS, seed=7, levels=40)
    first, second = partitions(WORKERS)
    lie = requests.too_fast(Attempts(path="depth", first=2, last=2), retry_after_s=20)
    async with SimServer(market, faults=Faults.of(lie)) as server:
        async with recording(server, SYMBOLS, tmp_path, every=5, partition=first):
            await asyncio.sleep(5)
            async with recording(server, SYMBOLS, tmp_path, every=5, partition=second):
                await asyncio.sleep(30)
        assert server.violations.total() == 0, server.violations
    rows = check_archive(tmp_path, truth_of(market), every=5)
    assert set(rows) == set(SYMBOLS)


@pytest.mark.real_time
async def test_a_users_mistake_is_one_sentence_from_a_worker_too(tmp_path: Path) -> None:
    """Exit 2, as from a single recorder."""
    out = tmp_path / "out"
    mistake = ("record", "NOPEUSDT", "--exchange", "sim", "--workers", "2", "--out", out)
    code, _, err = await run(*mistake)
    assert code == 2
    assert "NOPEUSDT is not a built-in exchange symbol." in err
