"""The files of an export: complete when they have their names, and never replacing another file."""

from __future__ import annotations

import errno
import gzip
import os
import re
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
from booktape.store.clearing import remove_own_file
from booktape.store.durable_files import disk_errors_named, make_folder


@dataclass(frozen=True, slots=True)
class Written:
    """A complete file, and its number of rows."""

    path: Path
    rows: int


Outcome: TypeAlias = Written | Gap
"""What an export reports: a file is complete, or there is a gap."""


def no_data_for(symbol: str) -> NotRecorded:
    """The error for a symbol whose file would be empty, because it has no data in the requested time range."""
    return NotRecorded(f"{symbol} has no data in that time. Leave it out, or choose a longer time.")


def file_name(symbol: str) -> str:
    """A symbol as part of a file's name: anything but plain ASCII is percent-encoded."""
    return quote(symbol, safe="")


def check_cell(symbol: str) -> None:
    """Raises UsageError unless a symbol can be a CSV cell as it is.

    A symbol with a comma, a quote or a newline would become several cells, and a spreadsheet takes one that begins
    with `=`, `+`, `-` or `@` for a formula. No exchange has such symbols, but a stranger's archive may.
    """
    if _NO_CELL.search(symbol):
        raise UsageError(f"{symbol!r} cannot be written to a CSV file. Choose --format parquet.")


def stamp(local_us: int, epoch: int | None = None) -> str:
    """A text such as `20261122T101300.000000Z-3`, which sorts by time. The number is the epoch, as in `gaps/`."""
    number = "" if epoch is None else f"-{epoch}"
    return f"{moment_at(local_us):%Y%m%dT%H%M%S.%fZ}{number}"


_NO_CELL: Final = re.compile(r'^[=+\-@]|[",\s]')
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""The errors by which file systems refuse hard links."""


@contextmanager
def new_file(path: Path) -> Iterator[tuple[IO[bytes], ExitStack]]:
    """Yields a file to write to, and a stack for the writers on top of it, which are closed first.

    The file gets its name when everything is written and closed; if that fails, it is removed. Until then it
    has a random name. Raises UsageError if a file of that name exists or appears meanwhile, and
    WriteFailed if the disk fails.
    """
    if os.path.lexists(path):
        raise _already_exists(path)
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
        remove_own_file(partial, made)


def _publish(partial: Path, path: Path) -> None:
    """Give the file its name by a hard link, which fails if the name is taken. A rename would replace the other file.

    Known weakness: on a file system without hard links (FAT), a file that appears between the check and the
    rename is replaced.
    """
    try:
        os.link(partial, path, follow_symlinks=False)
    except FileExistsError:
        raise _already_exists(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise _already_exists(path) from None
        partial.rename(path)


def _already_exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists already. Remove it, or choose another --out.")


def gzip_file(file: IO[bytes], stack: ExitStack) -> IO[bytes]:
    """A gzip stream into the file. The same content always gives the same bytes."""
    packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)
    return cast("IO[bytes]", stack.enter_context(packed))
