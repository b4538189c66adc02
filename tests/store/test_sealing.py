"""A final name stands for a whole, durable file; a directory belongs to one recorder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from booktape.errors import DirectoryInUse, WriteFailed
from booktape.store.sealing import (
    lock_directory,
    make_folder,
    publish,
    sync_file,
    sync_path,
    writing,
)

HOLDER = """
import sys
from pathlib import Path
from booktape.store.sealing import lock_directory
with lock_directory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What the operating system was asked, in order: syncs by inode, renames by final name."""
    asked: list[tuple[str, object]] = []
    really_sync, really_rename = os.fsync, Path.rename

    def sync(descriptor: int) -> None:
        asked.append(("sync", os.fstat(descriptor).st_ino))
        really_sync(descriptor)

    def rename(path: Path, final: Path) -> Path:
        asked.append(("rename", final))
        return really_rename(path, final)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    return asked


def next_descriptor() -> int:
    """The lowest one that is free: it stays the same when nothing was left open."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_a_final_name_is_made_durable_after_it_is_given(
    tmp_path: Path, order: list[tuple[str, object]]
) -> None:
    """First each new folder is synced into its parent, then the file renamed, then its folder."""
    unsealed, final = tmp_path / "unsealed", tmp_path / "tape" / "date=1970-01-01" / "final"
    unsealed.write_bytes(b"whole")
    publish(unsealed, final)
    assert final.read_bytes() == b"whole"
    assert not unsealed.exists()
    assert order == [
        ("sync", inode(tmp_path)),
        ("sync", inode(tmp_path / "tape")),
        ("rename", final),
        ("sync", inode(final.parent)),
    ]


def test_a_final_file_is_never_replaced(tmp_path: Path) -> None:
    """What stands under a final name stays; the file that would replace it goes."""
    (tmp_path / "final").write_bytes(b"older")
    (tmp_path / "unsealed").write_bytes(b"newer")
    publish(tmp_path / "unsealed", tmp_path / "final")
    assert (tmp_path / "final").read_bytes() == b"older"
    assert not (tmp_path / "unsealed").exists()


def test_a_name_that_cannot_be_given_is_said(tmp_path: Path) -> None:
    """A publication that fails leaves the unsealed file where it is."""
    (tmp_path / "tape").write_bytes(b"a file where a folder should be")
    (tmp_path / "unsealed").write_bytes(b"whole")
    with pytest.raises(WriteFailed, match=f"Cannot write {tmp_path}/tape/final: "):
        publish(tmp_path / "unsealed", tmp_path / "tape" / "final")
    assert (tmp_path / "unsealed").read_bytes() == b"whole"


def test_folders_that_exist_are_left_alone(tmp_path: Path, order: list[tuple[str, object]]) -> None:
    """Only what is new needs to be made durable."""
    make_folder(tmp_path)
    assert order == []


def test_sync_reaches_the_file_itself(tmp_path: Path, order: list[tuple[str, object]]) -> None:
    """Open files and paths are synced by what they are, and paths are closed again."""
    free = next_descriptor()
    with (tmp_path / "file").open("xb", buffering=0) as file:
        sync_file(file)
    sync_path(tmp_path / "file")
    assert order == [("sync", inode(tmp_path / "file"))] * 2
    assert next_descriptor() == free


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk is full"),
        (OSError(errno.EFBIG, "File too large"), "the disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (OSError("nothing but a text"), "nothing but a text"),
    ],
)
def test_a_refusal_becomes_one_sentence(error: OSError, words: str) -> None:
    """The file, the reason in plain words, and that sealed files are intact."""
    said = pytest.raises(WriteFailed, match=f"^Cannot write a/b: {words}. What was sealed")
    with said as caught, writing(Path("a/b")):
        raise error
    assert caught.value.__cause__ is error


def test_our_own_mistakes_are_not_the_disks() -> None:
    """Any other exception passes as it is."""
    with pytest.raises(ZeroDivisionError), writing(Path("a")):
        raise ZeroDivisionError


def test_a_second_recorder_is_refused(tmp_path: Path) -> None:
    """One directory has one owner; when he has gone, the next one may come."""
    lock = tmp_path / "new" / "archive" / ".lock"
    with lock_directory(lock):
        refused = f"{lock.parent} is in use by another recorder"
        with pytest.raises(DirectoryInUse, match=refused), lock_directory(lock):
            pytest.fail("two owners")
        # A refusal must not take the lock away from its owner either.
        with pytest.raises(DirectoryInUse, match=refused), lock_directory(lock):
            pytest.fail("two owners, the second time")
    with lock_directory(lock):
        pass


def test_a_killed_owner_frees_the_directory(tmp_path: Path) -> None:
    """Another process holds the lock against us until a SIGKILL ends it."""
    lock = tmp_path / ".lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryInUse), lock_directory(lock):
            pytest.fail("two owners")
        holder.kill()
        assert holder.wait() == -signal.SIGKILL
        with lock_directory(lock):
            pass


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """An output directory below a file: one sentence, no traceback of the operating system."""
    (tmp_path / "file").write_bytes(b"")
    lock = tmp_path / "file" / "archive" / ".lock"
    with pytest.raises(WriteFailed, match=f"Cannot write {lock}: "), lock_directory(lock):
        pytest.fail("a lock below a file")
