"""Beside a recorder: old segments are removed in a separate process, which ends with the recorder."""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from booktape.reader.book_view import BookView
from booktape.recorder.status import SHOWN, Blocked, RecorderStatus, RetentionStatus
from booktape.retention import beside
from booktape.retention.beside import PruningRecorder
from booktape.retention.limits import Limit
from booktape.retention.prune import PruneOutcome, Rules, prune
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout
from e2e.commands import log_until, run, start
from support.mounts import mounted
from verify.small import BTC, rows_of, verified

pytestmark = pytest.mark.real_time
ALL_TAPES = Rules(tapes=Limit(age_s=0))
PASS_WITHIN_S = 600.0
"""A pass has the lowest priority: on a busy machine it takes a long time."""


class Endless:
    """A recorder with nothing to do."""

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
        return RecorderStatus(1, 1, (), 0, 0, 0.0, 0, 0, 0, "first")

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        del symbol, reach_bps
        return None


@pytest.mark.long
async def test_old_tapes_are_removed_while_it_records(archive: Path) -> None:
    """One pass at the beginning; the log reports it; then the recorder ends as always."""
    recorder = PruningRecorder(Endless(), archive, ALL_TAPES)
    with capture_logs() as logs:
        recording = asyncio.create_task(recorder.run())
        async with asyncio.timeout(PASS_WITHIN_S):
            while not logs:
                await asyncio.sleep(0.01)
        recorder.stop()
        await recording
    (line,) = logs
    assert (line["event"], line["tapes"]) == ("removed what need not be kept", 4)
    assert len(sealed_tapes(Layout(archive))) == 1
    assert verified(archive).exit_code == 0


async def test_a_running_pass_ends_with_the_recorder(archive: Path) -> None:
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


@asynccontextmanager
async def passing(
    archive: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PruningRecorder]:
    """Pass after pass beside a recorder, in this process."""
    for period in ("LOOK_S", "PASS_S", "RETRY_S"):
        monkeypatch.setattr(beside, period, 0.01)
    recorder = PruningRecorder(Endless(), archive, rules)
    monkeypatch.setattr(recorder, "_prune_in_a_process", lambda: prune(archive, rules))
    recording = asyncio.create_task(recorder.run())
    yield recorder
    recorder.stop()
    await recording


async def until(recorder: PruningRecorder, *kinds: Blocked) -> RetentionStatus:
    """The status, once exactly these kinds block passes, after at least two passes."""
    passes = 0
    before: RetentionStatus | None = None
    async with asyncio.timeout(60):
        while True:
            now = recorder.status()
            assert now
            assert now.retention
            if now.retention is not before:
                before, passes = now.retention, passes + 1
            if passes > 2 and now.retention.blocked.keys() == set(kinds):
                return now.retention
            await asyncio.sleep(0.005)


async def test_an_unverified_segment_is_shown_until_it_is_repaired(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the status, and in the log once, not at every pass. Then the removal continues by itself."""
    file, mended = rows_of(archive, BTC, 0), tmp_path / "mended"
    whole = file.read_bytes()
    file.write_bytes(whole + b"?")
    with capture_logs() as logs:
        async with passing(archive, ALL_TAPES, monkeypatch) as recorder:
            blocked = await until(recorder, Blocked.UNVERIFIED)
            assert "it is not verified" in blocked.text
            assert len(sealed_tapes(Layout(archive))) == 5
            # At once: a pass reads either the one or the other.
            mended.write_bytes(whole)
            mended.rename(file)
            complete = await until(recorder)
            assert complete.complete_ns > blocked.complete_ns
    lines = [(line["log_level"], line["event"]) for line in logs]
    assert lines == [
        ("error", "old segments stay"),
        ("info", "removed what need not be kept"),
        ("info", "old segments are removed again"),
    ]
    assert (logs[0]["reason"], logs[0]["why"]) == ("unverified", blocked.text)
    assert len(sealed_tapes(Layout(archive))) == 1


async def test_segments_not_in_their_bucket_block_removal(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them: each segment names the bucket that it is missing from."""
    rules = replace(ALL_TAPES, buckets=("s3://away",))
    async with passing(archive, rules, monkeypatch) as recorder:
        blocked = await until(recorder, Blocked.UNSHIPPED)
    assert blocked.text.endswith("it is not in s3://away yet; 3 more")


async def test_a_failed_pass_blocks_and_is_repeated(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk without room for a receipt; once there is room again, the removal continues."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as disk:
        root = shutil.copytree(archive, disk / "archive")
        with suppress(OSError), (disk / "other").open("wb", buffering=0) as other:
            while other.write(bytes(4_096)):
                pass
        async with passing(root, ALL_TAPES, monkeypatch) as recorder:
            blocked = await until(recorder, Blocked.FAILED)
            assert "the disk is full" in blocked.text
            (disk / "other").unlink()
            await until(recorder)
        assert len(sealed_tapes(Layout(root))) == 1


async def test_a_bug_in_a_pass_is_reported(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pass follows it, so it must not look as if there were nothing to remove."""
    recorder = PruningRecorder(Endless(), archive, ALL_TAPES)

    def fail() -> PruneOutcome:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(recorder, "_prune_in_a_process", fail)
    recording = asyncio.create_task(recorder.run())
    async with asyncio.timeout(60):
        while not (now := recorder.status()) or not now.retention or not now.retention.blocked:
            await asyncio.sleep(0.005)
    assert not recording.done()
    recorder.stop()
    await recording
    assert "a bug" in now.retention.blocked[Blocked.FAILED]


@pytest.mark.long
async def test_a_recorder_with_short_segments_keeps_rows_and_few_tapes(tmp_path: Path) -> None:
    """As its user types it. Everything verifies, and `info` says what is gone."""
    options = ("--exchange", "sim", "--every", "5", "--segment", "2s", "--keep-tape", "4s")
    process = await start("record", "BTCUSDT", *options, "--keep", "16s", "--out", tmp_path)
    async with asyncio.timeout(PASS_WITHIN_S):
        await log_until(process, "removed what need not be kept")
        process.terminate()
        await process.communicate()
    assert process.returncode == 0
    code, out, _ = await run("verify", tmp_path)
    assert code == 0, out
    assert "Removed on purpose" in out
    code, out, _ = await run("info", tmp_path)
    assert code == 0
    assert "Removed on purpose" in out
