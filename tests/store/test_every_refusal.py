"""The disk refuses, at every operation of a segment's life: nothing that the tape promises is missing.

A refusal that may pass (no space, no quota) is waited out, and then everything is there; at any other the
recorder, the recovery or the rebuild ends with a sentence, and the next start has everything.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import pytest

from booktape.core.gap_reasons import KILLED, STOPPED
from booktape.core.tape_records import TapeRecord
from booktape.errors import WriteFailed
from booktape.reader.archive_files import ArchiveFiles
from booktape.recorder.async_recording import AsyncRecording
from booktape.rerecord.rebuild import RebuildRequest, rebuild
from booktape.store import parquet_file
from booktape.store.archive import lock_archive
from booktape.verify.order import Scope
from booktape.verify.run import verify
from booktape.verify.stored_files import FolderFiles
from recorder.test_async_recording import SEGMENT_S
from store.contents import assert_only_whole_files, digests, stored
from store.fragile import STEPS, Disk
from store.proof import assert_recovers
from store.small_recording import OPENING, RECORDS, expected, record
from support.archives import open_archive
from support.oracle import SECOND

T = TypeVar("T")
AT_ONCE: Final = 5
"""The number of records that are handed over together, before a flush."""

A_WHILE: Final = 5
"""This many operations in a row are refused: each attempt ends at its first."""


class Clock:
    """The records tell the time; a pause ends at once."""

    def now_ns(self) -> int:
        return SECOND

    def steady_s(self) -> float:
        return 0.0

    async def pause(self, _: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Small row groups, so that a segment has several for each symbol; there are no threads."""

    async def here(work: Callable[[], T]) -> T:
        return work()

    monkeypatch.setattr(asyncio, "to_thread", here)
    monkeypatch.setattr(parquet_file, "GROUP_ROWS", 2)
    return Disk(monkeypatch, patient=True)


def record_asynchronously(root: Path) -> None:
    """The whole recording as the recorder makes it, with flushes, a rotation and an end."""

    async def record_all() -> None:
        with open_archive(root) as archive:
            async_recording = AsyncRecording(archive.begin(OPENING, "first"), Clock(), SEGMENT_S)
            records: list[TapeRecord] = list(RECORDS)
            while records:
                turn, records = records[:AT_ONCE], records[AT_ONCE:]
                await async_recording.handle(turn, lambda _: None)
                await async_recording.flush()
            await async_recording.seal([], lambda _: None, lambda _: [])

    asyncio.run(record_all())


def rebuild_into(source: Path) -> Callable[[Path], None]:
    def run(root: Path) -> None:
        order = RebuildRequest(ArchiveFiles.find(source), root, OPENING.every)
        assert [outcome.damage for outcome in rebuild(order)] == [None, None]

    return run


def start_again(root: Path) -> None:
    with open_archive(root):
        pass


def assert_nothing_is_missing(root: Path, reason: str, verified: set[frozenset[str]]) -> None:
    """Everything that the tape promises is there, `verify` finds nothing, and another start changes nothing."""
    assert stored(root) == expected(RECORDS, reason)
    found = assert_only_whole_files(root)
    content = frozenset(found.values())
    if content not in verified:
        assert verify(FolderFiles(root), Scope(), 1).clean
        verified.add(content)
    start_again(root)
    assert digests(root) == found


def leave_torn(root: Path) -> None:
    """Leaves the files of a recorder that got `kill -9` after its last record was flushed."""
    with lock_archive(root) as archive:
        recording = archive.begin(OPENING, "first")
        for tape_record in RECORDS:
            recording.handle(tape_record)
        recording.writer.flush()


# The step between the operations that are tried; BOOKTAPE_EVERY_REFUSAL=1 tries all of them.
STRIDES: Final = {"record": 1, "recover": 3, "rebuild": 3}
ALL: Final = "BOOKTAPE_EVERY_REFUSAL" in os.environ
APART = pytest.mark.parametrize("apart", [23, pytest.param(1, marks=pytest.mark.long)])
"""The factor by which that step is multiplied."""


@pytest.mark.parametrize(
    "refusal", [(errno.ENOSPC, 1, 1), (errno.ENOSPC, A_WHILE, 3), (errno.EDQUOT, 1, 5)]
)
@pytest.mark.parametrize("what", STRIDES)
@APART
def test_a_temporary_refusal_is_waited_out(
    tmp_path: Path, disk: Disk, apart: int, what: str, refusal: tuple[int, int, int]
) -> None:
    """A disk that is full for a while loses nothing: no error, no missing row, no partial file."""
    number, times, stride = refusal
    verified: set[frozenset[str]] = set()
    prepare, work, reason = _life(tmp_path, what)
    for chosen in itertools.count(step=1 if ALL else apart * stride * STRIDES[what]):
        root = tmp_path / str(chosen)
        prepare(root)
        with disk.refuses_at(chosen, number, times):
            work(root)
        failed = disk.failed
        assert_nothing_is_missing(root, reason, verified)
        shutil.rmtree(root)
        if not failed:
            break
    assert chosen > 150
    assert set(disk.log) <= set(STEPS)


@pytest.mark.parametrize("what", STRIDES)
@APART
def test_a_permanent_refusal_is_reported_and_repaired_by_the_next_start(
    tmp_path: Path, disk: Disk, apart: int, what: str
) -> None:
    """EIO at any operation gives one sentence and only whole files; the next start then has everything."""
    prepare, work, reason = _life(tmp_path, what)
    for chosen in itertools.count(step=1 if ALL else apart * 2 * STRIDES[what]):
        root = tmp_path / str(chosen)
        prepare(root)
        with disk.refuses_at(chosen, errno.EIO):
            try:
                work(root)
            except WriteFailed as error:
                assert "Input/output error" in str(error)  # noqa: PT017
            else:
                assert stored(root) == expected(RECORDS, reason)
        if what == "rebuild":
            work(root)
            assert stored(root) == expected(RECORDS, reason)
        else:
            assert_recovers(root, len(RECORDS) if what == "recover" else 0)
        shutil.rmtree(root)
        if not disk.failed:
            break
    assert chosen > 150


def _life(
    tmp_path: Path, what: str
) -> tuple[Callable[[Path], object], Callable[[Path], None], str]:
    """The preparation, the attempt, and the reason that the recording then gives for its end."""
    # A first start on a full disk is refused at once, since nothing can be lost. Later operations wait.
    start_again(tmp_path / "begun")
    if what == "record":
        return (
            (lambda root: shutil.copytree(tmp_path / "begun", root)),
            record_asynchronously,
            STOPPED,
        )
    if what == "recover":
        shutil.copytree(tmp_path / "begun", tmp_path / "torn")
        leave_torn(tmp_path / "torn")
        return (lambda root: shutil.copytree(tmp_path / "torn", root)), start_again, KILLED
    record(tmp_path / "source")
    return (
        (lambda root: shutil.copytree(tmp_path / "begun", root)),
        rebuild_into(tmp_path / "source"),
        STOPPED,
    )
