"""The files of an export: never half of one under its name, never over another one."""

from __future__ import annotations

import errno
import gzip
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeAlias, cast
from urllib.parse import quote

from booktape.errors import NotRecorded, UsageError
from booktape.reader import Gap
from booktape.reader.times import moment_at
from booktape.store.clearing import remove_made
from booktape.store.durable_files import disk_errors_named, make_folder


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is whole, and how many rows it holds."""

    path: Path
    rows: int


Outcome: TypeAlias = Written | Gap
"""What an export says while it goes on: a file is done, or a gap lies here."""


def nothing_of(symbol: str) -> NotRecorded:
    """Nothing was known of a symbol in the time that was asked for, so it would have no file."""
    return NotRecorded(f"There is nothing of {symbol} in that time. Leave it out, or ask for more.")


def file_name(symbol: str) -> str:
    """A symbol as part of a file's name: anything but plain ASCII is percent-encoded."""
    return quote(symbol, safe="")


def stamp(local_us: int, epoch: int) -> str:
    """`20261122T101300.000000Z-3`: sorts by time, and says the epoch as `gaps/` does."""
    return f"{moment_at(local_us):%Y%m%dT%H%M%S.%fZ}-{epoch}"


_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems say that have no hard links."""


@contextmanager
def whole(path: Path) -> Iterator[tuple[IO[bytes], ExitStack]]:
    """What to write to, and a stack that closes what writes there.

    The file gets its name when all is written and closed, and goes away if that fails. Until then it has
    a name that nobody else has, and that must not be there. Raises UsageError where a file of that name
    is, or comes to be meanwhile, WriteFailed where the disk fails.
    """
    if os.path.lexists(path):
        raise _is_there(path)
    partial = path.with_name(f"booktape-{secrets.token_hex(8)}.partial")
    with disk_errors_named(path):
        make_folder(path.parent)
        file = partial.open("xb")
    made = os.fstat(file.fileno())
    stack = ExitStack()
    stack.enter_context(file)
    try:
        try:
            yield file, stack
        finally:
            with disk_errors_named(path):
                stack.close()
        with disk_errors_named(path):
            _publish(partial, path)
    finally:
        remove_made(partial, made)


def _publish(partial: Path, path: Path) -> None:
    """Give a file a second name, which must be free: a rename would take the place of a file there.

    Known weakness: where a file system has no hard links (FAT), a file that comes between a look and
    the rename is replaced.
    """
    try:
        os.link(partial, path, follow_symlinks=False)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise _is_there(path) from None
        partial.rename(path)


def _is_there(path: Path) -> UsageError:
    return UsageError(f"{path} is there already. Remove it, or choose another --out.")


def gzip_file(file: IO[bytes], stack: ExitStack) -> IO[bytes]:
    """A compressed file. The same content gives the same bytes, whenever it is written."""
    packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)
    return cast("IO[bytes]", stack.enter_context(packed))
