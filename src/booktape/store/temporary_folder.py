"""A temporary folder, where the machine keeps such files (`TMPDIR`), that no killed process leaves behind forever.

The process that makes it holds a lock on it, which the operating system releases however the process ends. The next
process that needs such a folder removes those without a lock. Known weakness: on a network share that cannot lock
folders, what a killed process leaves stays.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from booktape.store.clearing import remove_own_tree
from booktape.store.durable_files import disk_errors_named

_NAME: Final = "booktape-segment-"
_MADE: Final = re.compile(rf"{_NAME}[a-z0-9_]{{8}}\Z")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new, empty folder, which is removed after the block. Raises WriteFailed."""
    clear_temporary_folders()
    folder, descriptor = _make()
    try:
        yield folder
    finally:
        remove_own_tree(folder)
        os.close(descriptor)


def clear_temporary_folders() -> None:
    """Remove the folders that killed processes left."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if _MADE.match(entry.name) and _is_own_folder(entry):
                _remove_unless_locked(Path(entry.path))


def _make() -> tuple[Path, int]:
    """The folder, and the descriptor that holds its lock."""
    place = Path(tempfile.gettempdir())
    while True:
        with disk_errors_named(place / _NAME):
            folder = Path(tempfile.mkdtemp(prefix=_NAME))
        # Until the folder is locked, another process may take it for an abandoned one and remove it.
        with suppress(FileNotFoundError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            with suppress(OSError):  # a share without such locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _is_own_folder(entry: os.DirEntry[str]) -> bool:
    found = entry.stat(follow_symlinks=False)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _remove_unless_locked(folder: Path) -> None:
    with suppress(OSError):  # another process is using it, or has just removed it
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_own_tree(folder)
        finally:
            os.close(descriptor)
