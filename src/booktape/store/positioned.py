"""A file that is read at a position it keeps itself: what opens it anew, or asks a service, for each read."""

from __future__ import annotations

from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase


class PositionedReader(RawIOBase):
    """`size_bytes` is the size of the whole file. A subclass reads from `_at` on, and moves it."""

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
