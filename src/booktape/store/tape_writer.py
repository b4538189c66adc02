"""The tape: the journal of everything that arrived, one JSON object a line, in zstd frames.

`zstdcat … | jq` reads it, and so does store/tape_reader.py; store/tape_codec.py says what stands in a line.

A block is finished at every `flush`, so a tape that was cut off is readable up to its last flush.
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
"""A zstd frame ends, and with it a checksum stands, after so much text."""

BUFFER_BYTES: Final = 1 << 20
"""Text that may wait in memory before a flush is wanted."""

_OPTIONS: Final = {
    int(zstd.CompressionParameter.compression_level): 3,
    int(zstd.CompressionParameter.checksum_flag): 1,
}


class TapeWriter:
    """Appends frames to a new tape. What `flush` has returned from survives a `kill -9`.

    What brings it to the disk (`flush`, `move`, `seal`) may be called again after a WriteFailed: nothing
    is lost, and nothing stands there twice. Known weakness: only `seal` calls fsync, so a power cut may take more than the last flush;
    whatever is missing is found by the next start and declared as a gap.
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
        """Where it stands now."""
        return self._file.path

    def write(self, frame: TapeRecord) -> None:
        """Append one frame; it reaches the disk with the next flush."""
        line = encode_record(frame)
        self._lines.append(line)
        self._waiting_bytes += len(line)

    @property
    def wants_flush(self) -> bool:
        """Whether so much waits in memory that the next flush should come at once."""
        return self._waiting_bytes >= BUFFER_BYTES

    def flush(self) -> None:
        """Hand everything written so far to the operating system, readable as it stands."""
        if self._lines:
            ends = self._frame_bytes + self._waiting_bytes >= FRAME_BYTES
            self._frame_bytes = 0 if ends else self._frame_bytes + self._waiting_bytes
            self._pack(ends=ends)
        self._file.write()

    def move(self, path: Path) -> None:
        """Flush, and only then take another name: it is never there with less than this."""
        self.flush()
        self._file.move(path)

    def seal(self) -> FileSeal:
        """End the last frame and make the file durable. Nothing may be written after it."""
        if not self._is_ended:
            self._pack(ends=True)
            self._is_ended = True
        return self._file.seal()

    def _pack(self, *, ends: bool) -> None:
        text, self._lines, self._waiting_bytes = b"".join(self._lines), [], 0
        pack = self._compressor
        self._file.append(pack.compress(text, pack.FLUSH_FRAME if ends else pack.FLUSH_BLOCK))
