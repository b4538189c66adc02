"""The bytes of a sealed file, and their checksums."""

from __future__ import annotations

import hashlib
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from booktape.errors import ObjectTooLarge
from booktape.store.opening import open_file

OBJECT_BYTES_MAX: Final = 5_000 << 20
"""S3 and GCS accept 5 GiB in one request, Azure 5,000 MiB."""

READ_BYTES_MAX: Final = 32 << 20
"""Larger files are mapped, so that they take no memory."""

_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file, and their checksums.

    Known weakness: a file above READ_BYTES_MAX that is cut while it is sent ends the process (SIGBUS). Sealed files
    never change.
    """

    data: bytes | mmap.mmap
    md5: str
    sha256: str

    @classmethod
    def of_file(cls, path: Path) -> Content:
        """Read the whole file. Raises OSError, and ObjectTooLarge."""
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > OBJECT_BYTES_MAX:
                raise ObjectTooLarge(path, size, OBJECT_BYTES_MAX)
            is_small = size <= READ_BYTES_MAX
            kept = []
            # A file to be mapped is read first: a disk that cannot be read is an OSError here, and SIGBUS there.
            while chunk := file.read(_CHUNK_BYTES):
                md5.update(chunk)
                sha256.update(chunk)
                kept += [chunk] if is_small else []
            mapped = None if is_small else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        data = b"".join(kept) if mapped is None else mapped
        return cls(data, md5.hexdigest(), sha256.hexdigest())
