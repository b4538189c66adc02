"""The files of an export: never half of one under its name, never over another one."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias, cast
from urllib.parse import quote

from booktape.errors import NotRecorded, UsageError
from booktape.reader import Gap
from booktape.reader.times import moment_at
from booktape.store.sealing import make_folder, writing


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


@contextmanager
def whole(path: Path) -> Iterator[tuple[Path, ExitStack]]:
    """Where to write, and a stack that closes what writes there.

    The file gets its name when all is written and closed, and goes away if that fails. Raises
    UsageError where a file of that name is, WriteFailed where the disk fails.
    """
    if path.exists():
        raise UsageError(f"{path} is there already. Remove it, or choose another --out.")
    partial = path.with_name(f"{path.name}.partial")
    with writing(path):
        make_folder(path.parent)
    stack = ExitStack()
    try:
        try:
            yield partial, stack
        finally:
            with writing(path):
                stack.close()
        with writing(path):
            partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def gzip_file(path: Path, stack: ExitStack) -> IO[bytes]:
    """A compressed file. The same content gives the same bytes, whenever it is written."""
    file = stack.enter_context(path.open("wb"))
    packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)
    return cast("IO[bytes]", stack.enter_context(packed))
