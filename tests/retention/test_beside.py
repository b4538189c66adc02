"""Beside a recorder: old segments are removed in a process of their own, which ends with it."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from booktape.reader.book_view import BookView
from booktape.recorder.status import SHOWN, RecorderStatus
from booktape.retention import beside
from booktape.retention.beside import PruningRecorder
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules, prune
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout
from e2e.commands import run
from verify.small import BTC, build, rows_of, verified

pytestmark = pytest.mark.real_time
ALL_TAPES = Rules(tapes=Limit(age_s=0))


class Endless:
    """A recorder that has nothing to do."""

    def __init__(self) -> None:
        self.ends = asyncio.Event()

    async def run(self) -> None:
        await self.ends.wait()

    def stop(self) -> None:
        self.ends.set()

    def flush(self) -> None:
        pass

    def status(self, shown: int = SHOWN) -> RecorderStatus | None:
        del shown
        return None

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        del symbol, reach_bps
        return None


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    build(tmp_path / "archive")
    return tmp_path / "archive"


@pytest.mark.long
async def test_old_tapes_go_while_it_records(archive: Path) -> None:
    """A pass at the beginning; the log says what it did; then the recorder ends as always."""
    recorder = PruningRecorder(Endless(), archive, ALL_TAPES)
    with capture_logs() as logs:
        recording = asyncio.create_task(recorder.run())
        async with asyncio.timeout(60):
            while not logs:
                await asyncio.sleep(0.01)
        recorder.stop()
        await recording
    (line,) = logs
    assert (line["event"], line["tapes"]) == ("removed what need not be kept", 4)
    assert len(sealed_tapes(Layout(archive))) == 1
    assert verified(archive).exit_code == 0


async def test_a_pass_that_is_at_work_ends_with_the_recorder(archive: Path) -> None:
    """At once, wherever it is; no process is left, and verify is clean."""
    recorder = PruningRecorder(Endless(), archive, ALL_TAPES)
    with capture_logs() as logs:
        recording = asyncio.create_task(recorder.run())
        async with asyncio.timeout(60):
            while not multiprocessing.active_children():
                await asyncio.sleep(0.01)
            recorder.stop()
            await recording
    assert not multiprocessing.active_children()
    assert not [line for line in logs if line["log_level"] != "info"]
    assert verified(archive).exit_code == 0


async def test_what_is_not_verified_is_logged_and_not_at_every_pass(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a day is enough: the disk is far from full then."""
    monkeypatch.setattr(beside, "PASS_S", 0.0)
    monkeypatch.setattr(beside, "LOOK_S", 0.01)
    file = rows_of(archive, BTC, 0)
    file.write_bytes(file.read_bytes() + b"?")
    recorder = PruningRecorder(Endless(), archive, ALL_TAPES)
    monkeypatch.setattr(recorder, "_prune_in_a_process", lambda: prune(archive, ALL_TAPES))
    passes = 0
    make_pass = recorder._make_pass

    async def counted() -> None:
        nonlocal passes
        await make_pass()
        passes += 1

    monkeypatch.setattr(recorder, "_make_pass", counted)
    with capture_logs() as logs:
        recording = asyncio.create_task(recorder.run())
        async with asyncio.timeout(60):
            while passes < 2:
                await asyncio.sleep(0.01)
        recorder.stop()
        await recording
    (line,) = logs
    assert line["log_level"] == "error"
    assert "it is not verified" in line["why"]


@pytest.mark.long
async def test_a_recorder_with_short_segments_keeps_rows_and_few_tapes(tmp_path: Path) -> None:
    """As its user types it. All of it verifies, and `info` says what is gone."""
    options = ("--exchange", "sim", "--every", "5", "--segment", "2s", "--duration", "30")
    code, _, log = await run(
        "record", "BTCUSDT", *options, "--keep-tape", "4s", "--keep", "16s", "--out", tmp_path
    )
    assert code == 0, log
    assert "removed what need not be kept" in log
    code, out, _ = await run("verify", tmp_path)
    assert code == 0, out
    assert "Removed on purpose" in out
    code, out, _ = await run("info", tmp_path)
    assert code == 0
    assert "Removed on purpose" in out
