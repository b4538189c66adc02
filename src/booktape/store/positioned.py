"""A file that keeps its own position, because each read opens the file again or sends a request to a service."""

from __future__ import annotations

from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase


class PositionedReader(RawIOBase):
    """`size_bytes` is the size of the whole file. A subclass reads from `_at` on, and moves `_at`."""

    def __init__(self, size_bytes: int) -> None:
        self._bytes = size_bytes
        self._at = 0

    def seekable(self) -> bool:
        """It is."""
        return True

    def readable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to a position and return it."""
        self._at = offset + {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._bytes}[whence]
        return self._at

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at
