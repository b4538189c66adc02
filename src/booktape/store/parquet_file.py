"""A Parquet file that is being written: encoded in memory first, then written to the disk.

Arrow's own writer gives up a file at the first write that fails, and the data of that write is lost.
So it only ever writes to memory here. What the disk refuses stays in memory and is written again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from booktape.core.events import BookRow
from booktape.core.trades import TradeRow
from booktape.errors import WriteFailed
from booktape.processes.terminal import counted
from booktape.store.durable_files import disk_errors_named
from booktape.store.schema import SCALARS, SNAPSHOTS, TRADES, snapshot_batch, trade_batch
from booktape.store.unsealed_file import FileSeal, UnsealedFile

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")

GROUP_ROWS: Final = 600
GROUP_BYTES: Final = 96 << 20
"""A row group ends at GROUP_ROWS rows or GROUP_BYTES decoded bytes, whichever comes first."""

TRADE_GROUP_ROWS: Final = 50_000
"""A row group of trades ends at this many: 3 MB decoded, some ten minutes of the busiest symbol."""

_TRADE_BYTES: Final = 400
"""What a staged trade takes of memory, rounded up: two objects and six numbers."""

_PAGE_BYTES: Final = 32 << 20
"""Pages span several compression windows, so that each snapshot is compressed against the previous one."""

_DEEP_BYTES: Final = 64 << 10
"""For rows of at least this size Brotli saves a seventh of the bytes or more, and is worth twice the time."""


class StagedGroup(ABC, Generic[T]):
    """Rows of one symbol and table that become one row group."""

    def __init__(self) -> None:
        self.rows: list[T] = []
        self.bytes = 0

    @abstractmethod
    def add(self, row: T) -> bool:
        """Add a row. Returns whether the group is full now."""

    @abstractmethod
    def batch(self) -> pa.RecordBatch:
        """The rows as one Arrow batch."""

    @abstractmethod
    def new_file(self, path: Path) -> ParquetFile:
        """A new file for rows like these."""


class RowGroup(StagedGroup[BookRow]):
    """Rows of `snapshots`."""

    def add(self, row: BookRow) -> bool:
        """See `StagedGroup`."""
        self.rows.append(row)
        self.bytes += row_bytes(row)
        return len(self.rows) >= GROUP_ROWS or self.bytes >= GROUP_BYTES

    def batch(self) -> pa.RecordBatch:
        """See `StagedGroup`."""
        return snapshot_batch(self.rows)

    def new_file(self, path: Path) -> ParquetFile:
        """See `StagedGroup`."""
        return rows_file(path, self.rows[-1])


class TradeGroup(StagedGroup[TradeRow]):
    """Rows of `trades`."""

    def add(self, row: TradeRow) -> bool:
        """See `StagedGroup`."""
        self.rows.append(row)
        self.bytes += _TRADE_BYTES
        return len(self.rows) >= TRADE_GROUP_ROWS

    def batch(self) -> pa.RecordBatch:
        """See `StagedGroup`."""
        return trade_batch(self.rows)

    def new_file(self, path: Path) -> ParquetFile:
        """See `StagedGroup`."""
        return _trades_file(path)


class ParquetFile:
    """A new file of one table. Each appended batch becomes a row group.

    `write` and `seal` may be called again after a WriteFailed. Memory: what is encoded and not written yet.
    """

    # Any: `packing` are pyarrow's own options, of many types.
    def __init__(self, path: Path, schema: pa.Schema, **packing: Any) -> None:  # noqa: ANN401
        self.path = path
        self._file = UnsealedFile(path)
        self._encoder = _Encoder(pa.PythonFile(_Sink(self._file), mode="w"), schema, **packing)

    @property
    def written_bytes(self) -> int:
        """What the file holds so far; what is encoded and not written yet is not in it."""
        return self._file.written_bytes

    def append(self, batch: pa.RecordBatch) -> None:
        """Encode a row group. It reaches the disk with the next `write`."""
        self._encoder.write_batch(batch)

    def write(self) -> None:
        """Write to the disk what is encoded."""
        self._file.write()

    def seal(self, rows: int) -> FileSeal:
        """End the file and make it durable. Raises WriteFailed if it does not hold `rows` rows."""
        if self._encoder.is_open:
            self._encoder.close()
        seal = self._file.seal()
        with disk_errors_named(self.path):
            found = pq.read_metadata(self.path).num_rows
        if found != rows:
            raise WriteFailed(
                self.path, f"it should hold {counted(rows, 'row')}, and holds {found:,}"
            )
        return seal


class _Sink(RawIOBase):
    """The file object that Arrow writes to."""

    def __init__(self, file: UnsealedFile) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        # Copied, because Arrow uses its buffer again.
        copy = bytes(data)
        self._file.append(copy)
        return len(copy)


class _Encoder(pq.ParquetWriter):
    """A writer that is dropped before `close` writes nothing more: the next start makes the file again.

    pyarrow's own `__del__` would encode the end of the file even then.
    """

    def __del__(self) -> None:
        pass


def row_bytes(row: BookRow) -> int:
    """The decoded size of a row: its four lists."""
    return 2 * (row.bid_price.nbytes + row.ask_price.nbytes)


def packing(like: BookRow) -> tuple[Literal["brotli", "zstd"], int]:
    """Codec and level for rows like this one. Both have a window of 4 MB: dozens of whole books."""
    return _packing(row_bytes(like))


def _packing(size_bytes: int) -> tuple[Literal["brotli", "zstd"], int]:
    return ("brotli", 7) if size_bytes >= _DEEP_BYTES else ("zstd", 9)


def rows_file(path: Path, like: BookRow) -> ParquetFile:
    """A new file of rows `like` this one. Each row is compressed against the ones before it."""
    return rows_file_of(path, row_bytes(like))


def rows_file_of(path: Path, size_bytes: int) -> ParquetFile:
    """A new file of rows that have about `size_bytes`, decoded."""
    codec, level = _packing(size_bytes)
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
    """A new file of one batch: a small table."""
    file = ParquetFile(path, batch.schema, compression="zstd")
    file.append(batch)
    return file


def trades_file(path: Path, batch: pa.RecordBatch) -> ParquetFile:
    """A new file of trades that begins with this batch."""
    file = _trades_file(path)
    file.append(batch)
    return file


def _trades_file(path: Path) -> ParquetFile:
    return ParquetFile(path, TRADES, compression="zstd", use_dictionary=False)
