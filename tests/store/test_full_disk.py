"""A disk that is full: one clear sentence, nothing sealed is harmed, nothing on the tape is lost."""

from __future__ import annotations

import errno
import gc
import itertools
from pathlib import Path

import pytest

from booktape.errors import WriteFailed
from store.contents import assert_only_whole_files
from store.fragile import Disk, files_end_at
from store.proof import assert_recovers
from store.small_recording import RECORDS, perform, record
from support.archives import open_archive

APART = pytest.mark.parametrize("apart", [23, pytest.param(1, marks=pytest.mark.long)])
"""The step between the operations at which the disk fills up."""


@APART
def test_the_disk_may_fill_up_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: int
) -> None:
    """Full from any operation on: WriteFailed and only whole files; once there is space, all is there."""
    disk, sentences = Disk(monkeypatch), set()
    for chosen in itertools.count(step=apart):
        root, safe = tmp_path / str(chosen), [0]
        with disk.is_full_at(chosen):
            try:
                record(root, on_flush=safe.append)
            except WriteFailed as error:
                sentences.add(str(error).rpartition("/")[2])
            else:
                break
        root.mkdir(exist_ok=True)
        assert_recovers(root, safe[-1])
    assert not disk.failed
    assert chosen > 80
    assert all("the disk is full. What was sealed is intact" in sentence for sentence in sentences)


@APART
def test_one_write_may_fail_and_then_there_is_space_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: int
) -> None:
    """A caller that does not wait gets an error or a complete write; the next start has everything."""
    disk, refused = Disk(monkeypatch), 0
    for chosen in itertools.count(step=apart):
        root, safe = tmp_path / str(chosen), [0]
        with disk.refuses_at(chosen, errno.ENOSPC):
            try:
                record(root, on_flush=safe.append)
            except WriteFailed:
                assert disk.failed
                refused += 1
            else:
                assert safe[-1] == len(RECORDS)
        if not disk.failed:
            break
        root.mkdir(exist_ok=True)
        assert_recovers(root, safe[-1])
    assert refused * apart > 80


@APART
def test_recovery_needs_space_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: int
) -> None:
    """A start on a full disk is refused at whatever step; one with space has everything."""
    disk = Disk(monkeypatch)
    for chosen in itertools.count(step=apart):
        root, safe = tmp_path / str(chosen), [0]
        with disk.dies_at(60):
            record(root, on_flush=safe.append)
        with disk.is_full_at(chosen):
            try:
                with open_archive(root):
                    pass
            except WriteFailed:
                assert disk.failed
            else:
                break
        assert_recovers(root, safe[-1])
    assert chosen > 20


@pytest.mark.parametrize(
    "size", [1_000, 3_000, *(pytest.param(n, marks=pytest.mark.long) for n in (700, 1_500, 2_000))]
)
def test_a_real_limit_keeps_the_same_promises(tmp_path: Path, size: int) -> None:
    """The operating system really refuses, both our writes and Arrow's.

    Only our sentence is shown: discarded objects do not try to write again.
    """
    safe = [0]
    refused = pytest.raises(WriteFailed, match="the disk is full")
    with files_end_at(size):
        with refused, open_archive(tmp_path) as archive:
            perform(archive, on_flush=safe.append)
        gc.collect()
    assert_only_whole_files(tmp_path)
    assert_recovers(tmp_path, safe[-1])
