"""The bytes of a sealed file, and their checksums."""

from __future__ import annotations

import hashlib
import mmap
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from booktape.errors import ObjectTooLarge
from booktape.store.durable_files import disk_errors_named
from booktape.store.opening import open_file

OBJECT_BYTES_MAX: Final = 5_000 << 20
"""S3 and GCS accept 5 GiB in one request, Azure 5,000 MiB."""

READ_BYTES_MAX: Final = 32 << 20
"""Larger files are copied and the copies mapped, so that they take no memory."""

_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file, and their checksums. Whatever happens to the file, they stay as they were read.

    The file itself is never mapped: if it were cut while it is sent, reading the mapping would end the process (SIGBUS).
    """

    data: bytes | mmap.mmap
    md5: str
    sha256: str

    @classmethod
    def of_file(cls, path: Path, copies: Path) -> Content:
        """Read the whole file. A large one is copied into the folder `copies`, where the copy has no name.

        The copy's disk space is freed when the content is dropped. Raises OSError if the file cannot be read,
        ObjectTooLarge, and WriteFailed if there is no space for the copy.
        """
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with open_file(path) as file, ExitStack() as stack:
            size = os.fstat(file.fileno()).st_size
            if size > OBJECT_BYTES_MAX:
                raise ObjectTooLarge(path, size, OBJECT_BYTES_MAX)
            kept: list[bytes] = []
            copy: IO[bytes] | None = None
            if size > READ_BYTES_MAX:
                with disk_errors_named(copies):
                    copy = stack.enter_context(TemporaryFile(buffering=0, dir=copies))
            while chunk := file.read(_CHUNK_BYTES):
                md5.update(chunk)
                sha256.update(chunk)
                if copy is None:
                    kept.append(chunk)
                else:
                    with disk_errors_named(copies):
                        _write_all(copy, chunk)
            data = (
                b"".join(kept)
                if copy is None
                else mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ)
            )
        return cls(data, md5.hexdigest(), sha256.hexdigest())


def _write_all(file: IO[bytes], data: bytes) -> None:
    """Write all of `data`: an unbuffered file may write less than it was given, before the disk is full."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
