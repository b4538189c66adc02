"""How a file becomes visible: whole, durable, and never over another one.

Files are written under `unsealed/`, made durable, then renamed to their final names, and the folder
is made durable too: a reader of the final folders never meets half a file, after any crash.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from booktape.errors import WriteFailed

_MAY_PASS: Final = (errno.ENOSPC, errno.EDQUOT)
_FULL: Final = (*_MAY_PASS, errno.EFBIG)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one sentence what the operating system refused while `path` was written."""
    try:
        yield
    except OSError as error:
        why = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        raise WriteFailed(
            f"Cannot write {path}: {why}. What was sealed is intact; start again when it is mended.",
            full=error.errno in _MAY_PASS,
        ) from error


def sync_path(path: Path) -> None:
    """Make a file's content, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably: each name is safe once its parent was synced."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_path(folder.parent)


def publish(unsealed: Path, final: Path) -> None:
    """Give a complete, durable file its final name.

    A final file that is there already was published by the same segment before a crash: what
    stands under a final name is whole, and the same tape gives the same bytes, so it stays.
    """
    with writing(final):
        make_folder(final.parent)
        if final.exists():
            unsealed.unlink()
        else:
            unsealed.rename(final)
        sync_path(final.parent)
