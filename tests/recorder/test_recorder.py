"""The recorder's own promises; what it records is tested in `tests/e2e`."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from booktape.checks.stall_detector import StallDetector
from booktape.recorder import recorder as recorder_module
from booktape.recorder.recorder import Recorder
from booktape.recorder.settings import Settings
from booktape.recorder.workers import Workers
from booktape.sim.server.server import SimServer
from booktape.store import recovery
from booktape.store.archive import Archive
from booktape.store.layout import Layout, Segment
from booktape.store.tape_writer import TapeWriter
from booktape.wire.endpoints import Venue
from e2e.inside import recording, until_known
from e2e.promises import check_archive, gaps_of, truth_of
from store.small_recording import OPENING, RECORDS
from support import virtual_time
from support.archives import open_archive
from support.truth import TracedMarket


async def test_after_a_bug_the_next_start_recovers_the_tape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program may be wrong, so it seals nothing; the next start does, as after a kill."""
    symbols = ("BTCUSDT",)

    def bug(*_: object) -> None:
        raise RuntimeError("a bug")

    market = TracedMarket(symbols, seed=3, levels=40)
    async with SimServer(market) as server:
        monkeypatch.setattr(StallDetector, "find_stalled", bug)
        venue = Venue("test exchange", server.rest_url, server.ws_url)
        recorder = Recorder(Settings(venue, symbols, 2, tmp_path), virtual_time.WallClock())
        with pytest.raises(ExceptionGroup) as caught:
            await recorder.run()
        assert caught.group_contains(RuntimeError, match="a bug")
        assert list((tmp_path / "unsealed").iterdir())
        await asyncio.sleep(1)
        monkeypatch.undo()
        async with recording(server, symbols, tmp_path, every=2):
            await asyncio.sleep(1)
    assert not list((tmp_path / "unsealed").iterdir())
    rows = check_archive(tmp_path, truth_of(market), every=2)["BTCUSDT"]
    assert sum(row["epoch"] == 1 for row in rows) >= 5
    assert [gap["reason"] for gap in gaps_of(tmp_path)] == ["killed"]


async def test_a_flush_hands_over_every_handled_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It precedes an immediate exit. Nothing else flushes here: without it the tape would end after its opening."""
    monkeypatch.setattr(recorder_module, "FLUSH_S", 3_600.0)
    async with (
        SimServer(TracedMarket(("BTCUSDT",), seed=3, levels=40)) as server,
        recording(server, ("BTCUSDT",), tmp_path / "data", every=2) as recorder,
    ):
        await until_known(recorder, 1)
        await asyncio.sleep(5)
        status = recorder.status()
        assert status
        recorder.flush()
        # When a process ends, whatever the operating system has of its files remains.
        left = Path(shutil.copytree(tmp_path / "data", tmp_path / "left"))
    assert status.records > 40
    with open_archive(left) as archive:
        (recovered,) = archive.recovered
    assert recovered.records >= status.records


async def test_there_is_a_status_until_the_stop(tmp_path: Path) -> None:
    """During a stop connections close one after another, so the states of books would mislead."""
    async with (
        SimServer(TracedMarket(("BTCUSDT",), seed=3, levels=40)) as server,
        recording(server, ("BTCUSDT",), tmp_path, every=2) as recorder,
    ):
        assert recorder.status() is None
        await until_known(recorder, 1)
        status = recorder.status()
        assert status
        (unsealed,) = (tmp_path / "unsealed").iterdir()
        assert (status.connections, status.known, status.segment) == (1, 1, unsealed.name)
        assert status.records > status.requests > 1
        assert status.started_ns < status.at_ns
        assert status.written_bytes == sum(path.stat().st_size for path in unsealed.iterdir())
        recorder.stop()
        assert recorder.status() is None


@pytest.mark.parametrize("count", [1, 2])
async def test_a_stop_ends_a_recovery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """A recovery may take minutes. Segments not yet recovered are left to the next start."""
    repairing = threading.Event()

    def repair(archive: Archive, should_stop: Callable[[], bool]) -> None:
        repairing.set()
        while not should_stop():
            time.sleep(0.001)
        really_repair(archive, should_stop)

    really_repair = Archive.repair
    monkeypatch.setattr(Archive, "repair", repair)
    monkeypatch.setattr(recovery, "STOP_CHECK_RECORDS", 1)
    layout, killed = Layout(tmp_path), Segment(0, "killed")
    tape = TapeWriter(layout.writing_tape(killed))
    for record in (OPENING, *RECORDS):
        tape.write(record)
    tape.flush()

    async with SimServer(TracedMarket(("BTCUSDT",), seed=3, levels=40)) as server:
        venue = Venue("test exchange", server.rest_url, server.ws_url)
        settings = Settings(venue, ("BTCUSDT",), 2, tmp_path)
        clock = virtual_time.WallClock()
        recorder = Workers(settings, count) if count > 1 else Recorder(settings, clock)
        work = asyncio.create_task(recorder.run())
        while not repairing.is_set():
            await asyncio.sleep(0)
        recorder.stop()
        await work
    assert layout.torn_tape(killed).exists()
    assert list((tmp_path / "unsealed").iterdir()) == [layout.unsealed_of(killed)]
    assert not (tmp_path / "tape").exists()
