"""A file while it grows: written to its known end, and written again where the disk refused it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from booktape.errors import WriteFailed
from booktape.store.durable_files import disk_errors_named, sync_path
from booktape.store.opening import open_file

_CHUNK_BYTES: Final = 1 << 20


class FileSeal(Struct, frozen=True):
    """One file as it was sealed."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileSeal:
        """Reads the whole file, which need not fit in memory."""
        with open_file(path) as file:
            digest = hashlib.file_digest(file, "sha256")
            return cls(file.tell(), digest.hexdigest())


class UnsealedFile:
    """A new file under `unsealed/`; nothing but what is appended here ever stands in it.

    `append` keeps bytes in memory, `write` brings them to the disk, `seal` makes them durable. Both may
    be called again after a WriteFailed: nothing is lost, and nothing stands there twice.

    It is open only while it is written, so that a thousand of them need no more than one descriptor.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: list[bytes] = []
        self._is_made = False
        self._bytes = 0
        self._digest = hashlib.sha256()
        self._is_doubtful = False

    def append(self, data: bytes) -> None:
        """Put bytes at the end; they reach the disk with the next `write`."""
        self._kept.append(data)

    def write(self) -> None:
        """Hand everything appended so far to the operating system. Makes the file if there is none."""
        if self._is_made and not self._kept:
            return
        data = b"".join(self._kept)
        with disk_errors_named(self.path):
            if not self._is_made:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            _write_at(self._open(), self._bytes, data)
        # Only now: a network's disk may tell as late as at the close that there was no space.
        self._kept.clear()
        self._bytes += len(data)
        self._digest.update(data)

    def move(self, path: Path) -> None:
        """Take another name, unless it has that one already."""
        if path != self.path:
            with disk_errors_named(path):
                self.path.rename(path)
            self.path = path

    def seal(self) -> FileSeal:
        """Write what is left, make all of it durable, and see that it is there, byte for byte.

        The last, since an error of the disk is told once, to whoever asks first, and the file has not
        been open all the while. Raises WriteFailed.
        """
        self.write()
        with disk_errors_named(self.path):
            if self._is_doubtful:
                self._write_again()
            self._is_doubtful = True
            sync_path(self.path)
            self._is_doubtful = False
            found = FileSeal.of(self.path)
        if found != FileSeal(self._bytes, self._digest.hexdigest()):
            raise WriteFailed(self.path, "the disk does not hold what was written to it")
        return found

    def _open(self) -> int:
        """The file for writing. The first time it must not be there."""
        new = 0 if self._is_made else os.O_CREAT | os.O_EXCL
        descriptor = os.open(self.path, os.O_WRONLY | new, 0o666)
        self._is_made = True
        return descriptor

    def _write_again(self) -> None:
        """After a failed fsync: it counts what it could not write as written, and never tries again.

        The system's memory still holds it, most likely; whether it does is seen by `seal`.
        """
        with self.path.open("rb") as file:
            for at in range(0, self._bytes, _CHUNK_BYTES):
                _write_at(self._open(), at, file.read(_CHUNK_BYTES))


def _write_at(descriptor: int, at: int, data: bytes) -> None:
    """Write all of it at this place of the file, and close. A disk may take a part at a time."""
    left = memoryview(data)
    try:
        while left:
            written = os.pwrite(descriptor, left, at)
            at, left = at + written, left[written:]
    finally:
        os.close(descriptor)
