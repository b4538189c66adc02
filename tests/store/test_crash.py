"""Killed at every single step: records that reached the tape are never lost, duplicated or wrong."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from booktape.core.gap_reasons import STOPPED
from booktape.store.schema import GAPS
from store.contents import (
    assert_only_whole_files,
    final_files,
    stored,
)
from store.fragile import Disk
from store.proof import assert_recovers
from store.small_recording import RECORDS, expected, record
from support.archives import open_archive

APART = pytest.mark.parametrize("apart", [13, pytest.param(1, marks=pytest.mark.long)])
"""The step between the operations at which it is killed."""


def crash_a_recording(disk: Disk, root: Path, chosen: int) -> int:
    """Die at the `chosen` operation; returns how many records a flush had promised by then."""
    safe = [0]
    with disk.dies_at(chosen):
        record(root, on_flush=safe.append)
    return safe[-1]


@APART
def test_every_step_of_a_recording_may_be_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: int
) -> None:
    """Killed at any operation of a recording: after the restart it is complete up to the last record on tape."""
    disk = Disk(monkeypatch)
    for chosen in itertools.count(step=apart):
        root = tmp_path / str(chosen)
        safe = crash_a_recording(disk, root, chosen)
        if not disk.failed:
            break
        root.mkdir(exist_ok=True)
        assert_recovers(root, safe)
    assert chosen > 80
    assert set(disk.log) >= {"open", "pwrite", "rename", "fsync", "mkdir", "rmdir"}


@pytest.mark.parametrize("apart", [41, pytest.param(1, marks=pytest.mark.long)])
def test_every_step_of_a_recovery_may_be_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: int
) -> None:
    """Killed at any operation of a recovery: the next restart has everything too."""
    disk = Disk(monkeypatch)
    steps = itertools.count()
    for first in itertools.count(step=37):
        killed = tmp_path / str(first)
        safe = crash_a_recording(disk, killed, first)
        if not disk.failed:
            break
        killed.mkdir(exist_ok=True)
        for second in itertools.count(first % apart, apart):
            root = tmp_path / f"{first}-{second}"
            shutil.copytree(killed, root)
            with disk.dies_at(second), open_archive(root):
                pass
            if not disk.failed:
                break
            assert_recovers(root, safe)
            next(steps)
    assert next(steps) > 200 // apart


def test_readers_find_only_whole_files_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A final name appears only with its whole content, which never changes afterwards."""
    disk = Disk(monkeypatch)
    seen: dict[Path, str] = {}
    appeared = 0

    def look(_: str) -> None:
        nonlocal appeared
        now = assert_only_whole_files(tmp_path)
        assert seen.items() <= now.items()
        appeared += now != seen
        seen.update(now)

    disk.watch = look
    record(tmp_path)
    # Both segments: rows of three symbols, gaps, checks, notes, tape.
    assert appeared == len(final_files(tmp_path)) == 14


def test_the_uninterrupted_recording_contains_every_case(tmp_path: Path) -> None:
    """The recording that is killed above holds rows of three symbols and gaps of several reasons."""
    record(tmp_path)
    truth = expected(RECORDS, STOPPED)
    assert stored(tmp_path).rows == truth.rows
    assert {len(rows) for rows in truth.rows.values()} == {2, 4, 7}
    reasons = [gap[GAPS.names.index("reason")] for gap in truth.gaps]
    assert reasons == ["id_gap", "disconnected", "disconnected", "disconnected"]
