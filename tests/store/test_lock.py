"""A directory belongs to one recorder, or to the workers of one."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from booktape.errors import CannotLock, DirectoryInUse, WriteFailed
from booktape.store.archive import Archive, lock_archive
from booktape.store.lock import lock_directory
from support.archives import open_archive

HOLDER = """
import sys
from pathlib import Path
from booktape.store.lock import lock_directory
with lock_directory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_recorder_is_refused(tmp_path: Path) -> None:
    """A directory has one owner; when that has ended, the next may start."""
    lock = tmp_path / "new" / "archive" / ".lock"
    with lock_directory(lock):
        refused = f"{lock.parent} is in use by another recorder"
        with pytest.raises(DirectoryInUse, match=refused), lock_directory(lock):
            pytest.fail("two owners")
        # A refusal must not take the lock from its owner either.
        with pytest.raises(DirectoryInUse, match=refused), lock_directory(lock):
            pytest.fail("two owners, the second time")
    with lock_directory(lock):
        pass


def test_a_killed_owner_frees_the_directory(tmp_path: Path) -> None:
    """Another process holds the lock until SIGKILL ends it."""
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


def test_an_owner_whose_lock_file_is_removed_keeps_the_lock(tmp_path: Path) -> None:
    """If the lock file is removed while a recorder is at work, a second one is still refused."""
    lock = tmp_path / ".lock"
    with lock_directory(lock, folder=True):
        lock.unlink()
        with pytest.raises(DirectoryInUse), lock_directory(lock, folder=True):
            pytest.fail("two owners")
        lock.unlink()
    with lock_directory(lock, folder=True):
        pass


@pytest.mark.parametrize("own", [lock_archive, open_archive])
def test_an_archive_is_locked_in_the_same_way(
    tmp_path: Path, own: Callable[[Path], AbstractContextManager[Archive]]
) -> None:
    """The lock of an archive has one owner."""
    with own(tmp_path):
        (tmp_path / ".lock").unlink()
        with pytest.raises(DirectoryInUse), own(tmp_path):
            pytest.fail("two owners")


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    """Nor is a file created where it leads."""
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WriteFailed), lock_directory(tmp_path / ".lock"):
        pytest.fail("it was followed")
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    """An output directory below a file gives one sentence, not a traceback."""
    (tmp_path / "file").write_bytes(b"")
    lock = tmp_path / "file" / "archive" / ".lock"
    with pytest.raises(WriteFailed, match=f"Cannot write {lock}: "), lock_directory(lock):
        pytest.fail("a lock below a file")


def test_workers_share_a_lock_that_no_other_recorder_gets(tmp_path: Path) -> None:
    """Any number of workers; a recorder that wants the lock alone waits until the last has gone."""
    lock = tmp_path / ".lock"
    with lock_directory(lock, shared=True):
        with lock_directory(lock, shared=True):
            pass
        with pytest.raises(DirectoryInUse), lock_directory(lock):
            pytest.fail("an owner beside a worker")
    with lock_directory(lock), pytest.raises(DirectoryInUse), lock_directory(lock, shared=True):
        pytest.fail("a worker beside an owner")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_reported_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The error of the system call is simulated: no such file system is available to a test."""

    def flock(_: int, __: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(CannotLock, match=r"cannot be locked .*on a file system that locks files"),
        lock_directory(tmp_path / ".lock"),
    ):
        pytest.fail("it was not locked")
