"""A directory belongs to one recorder, or to the workers of one."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from booktape.errors import CannotLock, DirectoryInUse
from booktape.store.sealing import make_folder, writing

_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems say that keep no locks: some network shares, and those of some phones."""


@contextmanager
def lock_directory(path: Path, *, shared: bool = False) -> Iterator[None]:
    """One recorder per directory; the operating system frees it however the process ends.

    `shared` is for its workers: any number of them, but nobody else. Raises DirectoryInUse, and
    CannotLock where the file system keeps no locks. Known weakness: `flock` is only as good as the
    file system; some network mounts say yes to everyone.
    """
    with writing(path):
        make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take_lock(descriptor, path.parent, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _take_lock(descriptor: int, directory: Path, kind: int) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DirectoryInUse(str(directory)) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise CannotLock(str(directory), str(error.strerror)) from error
