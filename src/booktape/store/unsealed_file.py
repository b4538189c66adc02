"""A file that grows at its end. Bytes that the disk refused are kept in memory and written again."""

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
    """Size and checksum of a file when it was sealed."""

    bytes: int
    sha256: str

    @classmethod
    def of_file(cls, path: Path) -> FileSeal:
        """Read the whole file, which need not fit in memory."""
        with open_file(path) as file:
            digest = hashlib.file_digest(file, "sha256")
            return cls(file.tell(), digest.hexdigest())


class UnsealedFile:
    """A new file under `unsealed/` that contains exactly what is appended here.

    `append` keeps bytes in memory, `write` writes them to the file, `seal` makes the file durable. `write` and
    `seal` may be called again after a WriteFailed: no byte is lost, and none is written twice.

    `written_bytes` is the length of the file so far. The file is open only during a write, so a thousand files need
    only one descriptor.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: list[bytes] = []
        self._is_made = False
        self.written_bytes = 0
        self._digest = hashlib.sha256()
        self._is_doubtful = False

    def append(self, data: bytes) -> None:
        """Append bytes. The next `write` writes them to the file."""
        self._kept.append(data)

    def write(self) -> None:
        """Give everything appended so far to the operating system. Makes the file if it does not exist."""
        if self._is_made and not self._kept:
            return
        data = b"".join(self._kept)
        with disk_errors_named(self.path):
            if not self._is_made:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write_at(self.written_bytes, data)
        # Only now, because a network share may not report a full disk until the file is closed.
        self._kept.clear()
        self.written_bytes += len(data)
        self._digest.update(data)

    def move(self, path: Path) -> None:
        """Rename the file, unless it has that name already."""
        if path != self.path:
            with disk_errors_named(path):
                self.path.rename(path)
            self.path = path

    def seal(self) -> FileSeal:
        """Write what is left, make the file durable, and compare its checksum with what was appended.

        The comparison is needed because the system reports a disk error only once, to the process that
        calls fsync first, and this file was not open all the time. Raises WriteFailed.
        """
        self.write()
        with disk_errors_named(self.path):
            if self._is_doubtful:
                self._write_again()
            self._is_doubtful = True
            sync_path(self.path)
            self._is_doubtful = False
            found = FileSeal.of_file(self.path)
        if found != FileSeal(self.written_bytes, self._digest.hexdigest()):
            raise WriteFailed(self.path, "the disk does not hold what was written to it")
        return found

    def _write_at(self, at: int, data: bytes) -> None:
        """Open the file, write all of `data` at this offset, and close. The first time, the file must not exist yet."""
        new = 0 if self._is_made else os.O_CREAT | os.O_EXCL
        descriptor = os.open(self.path, os.O_WRONLY | new, 0o666)
        self._is_made = True
        left = memoryview(data)
        try:
            while left:  # the system may accept only a part at a time
                written = os.pwrite(descriptor, left, at)
                at, left = at + written, left[written:]
        finally:
            os.close(descriptor)

    def _write_again(self) -> None:
        """Write the whole file again after a failed fsync, which marks unwritten pages as written.

        The system's cache most likely still has those pages; `seal` checks that by the checksum.
        """
        with self.path.open("rb") as file:
            for at in range(0, self.written_bytes, _CHUNK_BYTES):
                self._write_at(at, file.read(_CHUNK_BYTES))
