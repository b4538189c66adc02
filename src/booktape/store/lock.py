"""Locks a directory for one recorder, or for its workers."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from booktape.errors import CannotLock, DirectoryInUse
from booktape.store.durable_files import disk_errors_named, make_folder

_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors from file systems without locks: some network shares, and the storage of some phones."""

_NO_LOCKS_OF_FOLDERS: Final = (*_NO_LOCKS, errno.EBADF, errno.EINVAL)
"""Errors from network shares that lock only files (NFS raises EBADF). Known weakness: there only `.lock` protects."""


@contextmanager
def lock_directory(path: Path, *, shared: bool = False, folder: bool = False) -> Iterator[None]:
    """Hold a lock. The operating system releases it however the process ends.

    `shared` is for the workers of one recorder: any number of them may hold it, but no one else. With
    `folder` the folder itself is locked too, because a lock file that a user removes no longer protects:
    the next recorder would make a new one. Raises DirectoryInUse, and CannotLock if the file system has no
    locks. Known weakness: `flock` is only as good as the file system; some network mounts grant every lock.
    """
    with disk_errors_named(path):
        make_folder(path.parent)
        opened = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)]
    try:
        _take_lock(opened[0], path.parent, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        if folder:
            with disk_errors_named(path):
                opened.append(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY))
            _take_lock(opened[1], path.parent, fcntl.LOCK_EX, ignored=_NO_LOCKS_OF_FOLDERS)
        yield
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _take_lock(
    descriptor: int, directory: Path, kind: int, *, ignored: Collection[int] = ()
) -> None:
    """Take a lock at once. After one of the `ignored` errors there is no lock, which is accepted."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DirectoryInUse(str(directory)) from error
    except OSError as error:
        if error.errno in ignored:
            return
        if error.errno not in _NO_LOCKS:
            raise
        raise CannotLock(str(directory), str(error.strerror)) from error
