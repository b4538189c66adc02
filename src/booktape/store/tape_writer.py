"""Writes a tape: every record that arrived, one JSON object per line, in zstd frames.

`zstdcat … | jq` reads it, and so does store/tape_reader.py; the format of a line is in store/tape_codec.py.

`flush` ends a zstd block, so a tape that was cut off can be read up to its last flush.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from booktape.core.tape_records import TapeRecord
from booktape.store.tape_codec import encode_record
from booktape.store.unsealed_file import FileSeal, UnsealedFile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAME_BYTES: Final = 8 << 20
"""A zstd frame ends after this much text, with a checksum."""

BUFFER_BYTES: Final = 1 << 20
"""A flush is wanted once this much text is in memory."""

_OPTIONS: Final = {
    int(zstd.CompressionParameter.compression_level): 3,
    int(zstd.CompressionParameter.checksum_flag): 1,
}


class TapeWriter:
    """Appends records to a new tape. What was written when `flush` returns survives a `kill -9`.

    `flush`, `move` and `seal` may be called again after a WriteFailed: no line is lost or written twice.
    Known weakness: only `seal` calls fsync, so a power cut may lose more than what came after the last
    flush. The next start finds what is missing and declares it as a gap.
    """

    def __init__(self, path: Path) -> None:
        self._file = UnsealedFile(path)
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._frame_bytes = 0
        self._is_ended = False
        self._compressor = zstd.ZstdCompressor(options=_OPTIONS)

    @property
    def path(self) -> Path:
        """The tape's current path."""
        return self._file.path

    @property
    def written_bytes(self) -> int:
        """What the file holds so far."""
        return self._file.written_bytes

    def write(self, record: TapeRecord) -> None:
        """Append one record in memory. The next flush writes it to the file."""
        line = encode_record(record)
        self._lines.append(line)
        self._waiting_bytes += len(line)

    @property
    def wants_flush(self) -> bool:
        """Whether BUFFER_BYTES wait in memory, so that the caller should flush at once."""
        return self._waiting_bytes >= BUFFER_BYTES

    def flush(self) -> None:
        """Give everything written so far to the operating system, in a form that can already be read."""
        if self._lines:
            ends = self._frame_bytes + self._waiting_bytes >= FRAME_BYTES
            self._frame_bytes = 0 if ends else self._frame_bytes + self._waiting_bytes
            self._pack(ends=ends)
        self._file.write()

    def move(self, path: Path) -> None:
        """Flush, then rename: under the new name the tape never has less than has been written so far."""
        self.flush()
        self._file.move(path)

    def seal(self) -> FileSeal:
        """End the last zstd frame and make the file durable. Nothing may be written afterwards."""
        if not self._is_ended:
            self._pack(ends=True)
            self._is_ended = True
        return self._file.seal()

    def _pack(self, *, ends: bool) -> None:
        text, self._lines, self._waiting_bytes = b"".join(self._lines), [], 0
        pack = self._compressor
        self._file.append(pack.compress(text, pack.FLUSH_FRAME if ends else pack.FLUSH_BLOCK))
