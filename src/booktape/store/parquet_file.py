"""A Parquet file in the making: encoded into memory, and only then brought to the disk.

Arrow's own writer gives up a file at the first write that fails, and whatever it was writing is lost.
So it never meets the disk here: what a disk refuses stays in memory, and is written again.
"""

from __future__ import annotations

from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from booktape.core.events import BookRow
from booktape.errors import WriteFailed
from booktape.store.durable_files import disk_errors_named
from booktape.store.schema import SCALARS, SNAPSHOTS
from booktape.store.unsealed_file import FileSeal, UnsealedFile

if TYPE_CHECKING:
    from typing_extensions import Buffer

_PAGE_BYTES: Final = 32 << 20
"""Pages a few windows long, or the last snapshot would be out of sight."""

_DEEP_BYTES: Final = 64 << 10
"""From such rows on Brotli saves a seventh of the bytes or more, and is worth twice the time."""


class ParquetFile:
    """A new file of one table; each batch that is appended becomes a row group.

    `write` and `seal` may be called again after a WriteFailed. Memory: what is encoded and not written.
    """

    # Any: `packing` is pyarrow's own options, of many types.
    def __init__(self, path: Path, schema: pa.Schema, **packing: Any) -> None:  # noqa: ANN401
        self.path = path
        self._file = UnsealedFile(path)
        self._encoder = _Encoder(pa.PythonFile(_Sink(self._file), mode="w"), schema, **packing)

    def append(self, batch: pa.RecordBatch) -> None:
        """Encode a row group. It reaches the disk with the next `write`."""
        self._encoder.write_batch(batch)

    def write(self) -> None:
        """Bring to the disk what is encoded."""
        self._file.write()

    def seal(self, rows: int) -> FileSeal:
        """End the file and make it durable. Raises WriteFailed when it does not hold so many rows."""
        if self._encoder.is_open:
            self._encoder.close()
        seal = self._file.seal()
        with disk_errors_named(self.path):
            found = pq.read_metadata(self.path).num_rows
        if found != rows:
            raise WriteFailed(self.path, f"it holds {found} rows, and should hold {rows}")
        return seal


class _Sink(RawIOBase):
    """What Arrow takes for the file that it writes."""

    def __init__(self, file: UnsealedFile) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        # Copied: a buffer of Arrow's is used again.
        copy = bytes(data)
        self._file.append(copy)
        return len(copy)


class _Encoder(pq.ParquetWriter):
    """Thrown away unfinished, it stays as it is: the next start makes all of it again.

    pyarrow's own would encode the end of the file even then.
    """

    def __del__(self) -> None:
        pass


def row_bytes(row: BookRow) -> int:
    """Decoded size of a row: its four lists."""
    return 2 * (row.bid_price.nbytes + row.ask_price.nbytes)


def packing(like: BookRow) -> tuple[Literal["brotli", "zstd"], int]:
    """Codec and level for rows like this one. Either looks back 4 MB: dozens of whole books."""
    return ("brotli", 7) if row_bytes(like) >= _DEEP_BYTES else ("zstd", 9)


def rows_file(path: Path, like: BookRow) -> ParquetFile:
    """A new file of rows `like` this one, compressed so that each is seen beside the last ones."""
    codec, level = packing(like)
    return ParquetFile(
        path,
        SNAPSHOTS,
        compression=codec,
        compression_level=level,
        use_dictionary=False,
        write_statistics=SCALARS,
        data_page_size=_PAGE_BYTES,
    )


def table_file(path: Path, batch: pa.RecordBatch) -> ParquetFile:
    """A new file of this one batch: `gaps`, `checks` or `notes`."""
    file = ParquetFile(path, batch.schema, compression="zstd")
    file.append(batch)
    return file
