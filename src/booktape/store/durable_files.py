"""How a file becomes visible: complete, durable, and never replacing another one.

A file is written under `unsealed/`, made durable with fsync, and renamed to its final name; then its folder is
made durable too. So a reader of the final folders never sees half a file, even after a crash.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from booktape.errors import WriteFailed
from booktape.processes.descriptors import used_up
from booktape.store.clearing import remove_empty_folder, remove_unsealed

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MAY_PASS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
_NO_FSYNC: Final = (errno.EINVAL, errno.ENOTSUP)


@contextmanager
def disk_errors_named(path: Path) -> Iterator[None]:
    """Turn an OSError while `path` is written into a WriteFailed with one sentence for the user."""
    try:
        yield
    except OSError as error:
        raise WriteFailed(path, _why(error, path), may_pass=error.errno in _MAY_PASS) from error


def _why(error: OSError, path: Path) -> str:
    if error.errno == errno.ENOSPC and _has_no_inode(path):
        return "the disk is full (it has space, but no inode for another file)"
    if error.errno in _FULL:
        return "the disk is full"
    if too_few := used_up(error):
        return str(too_few).rstrip(".")
    return error.strerror or str(error)


def _has_no_inode(path: Path) -> bool:
    """Whether the disk has space but no inode left. Some file systems do not count inodes."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False  # it only changes the wording
    return bool(found.f_files and not found.f_favail and found.f_bavail)


def free_bytes(folder: Path) -> int:
    """What this user may still write to the disk of a folder. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def sync_path(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable.

    Known weakness: some network shares have no fsync for folders (EINVAL). Then booktape relies on the
    share to keep a name that it has acknowledged.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents durably: a name is safe once its parent folder has been synced."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        try:
            sync_path(folder.parent)
        except OSError:
            # Otherwise the next attempt would find the folder and take its name for safe.
            with suppress(OSError):  # another worker has put something there
                remove_empty_folder(folder)
            raise


def publish(unsealed: Path, final: Path) -> None:
    """Give a complete, durable file its final name.

    If a file already has that name, it stays and the unsealed one is removed: the caller has checked that
    the two are byte for byte the same. May be called again after a WriteFailed.
    """
    with disk_errors_named(final):
        make_folder(final.parent)
        if os.path.lexists(final):
            remove_unsealed(unsealed)
        else:
            unsealed.rename(final)
        sync_path(final.parent)
