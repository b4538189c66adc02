"""A Parquet file that is being written: encoded in memory first, then written to the disk.

Arrow's own writer gives up on a file at the first write that fails, and the data of that write is lost.
So here it only ever writes to memory. Whatever the disk refuses stays in memory and is written again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from booktape.core.events import BookRow
from booktape.errors import WriteFailed
from booktape.processes.terminal import counted
from booktape.store.durable_files import disk_errors_named
from booktape.store.layout import Layout, Segment
from booktape.store.schema import SCALARS, SNAPSHOTS, TRADES, snapshot_batch, trade_batch
from booktape.store.unsealed_file import FileSeal, UnsealedFile

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")

GROUP_ROWS: Final = 600
GROUP_BYTES: Final = 96 << 20
"""A row group ends at GROUP_ROWS rows or GROUP_BYTES decoded bytes, whichever comes first."""

TRADE_GROUP_ROWS: Final = 50_000
"""A row group of trades ends at this many: 3 MB decoded, about ten minutes of the busiest symbol."""

_TRADE_BYTES: Final = 400
"""The memory that a staged trade takes, rounded up: two objects and six numbers."""

_PAGE_BYTES: Final = 32 << 20
"""Pages span several compression windows, so that each snapshot is compressed against the previous one."""

_DEEP_BYTES: Final = 64 << 10
"""For rows of at least this size, Brotli saves a seventh of the bytes or more, and is worth twice the time."""


@dataclass(frozen=True, slots=True, eq=False)
class RowKind(Generic[T]):
    """What differs between the files of rows and those of trades.

    `is_full` is called with a row group's number of rows and bytes. `writing` and `final` give the paths of a
    symbol's file; `new_file` makes one, for rows like the given one.
    """

    is_full: Callable[[int, int], bool]
    row_bytes: Callable[[T], int]
    batch: Callable[[Sequence[T]], pa.RecordBatch]
    new_file: Callable[[Path, T], ParquetFile]
    writing: Callable[[Layout, Segment, str], Path]
    final: Callable[[Layout, Segment, str], Path]


class StagedGroup(Generic[T]):
    """Rows of one symbol and one kind that become one row group."""

    def __init__(self, kind: RowKind[T]) -> None:
        self.kind = kind
        self.rows: list[T] = []
        self.bytes = 0

    def add(self, row: T) -> bool:
        """Add a row. Returns whether the group is full now."""
        self.rows.append(row)
        self.bytes += self.kind.row_bytes(row)
        return self.kind.is_full(len(self.rows), self.bytes)


class ParquetFile:
    """A new file of one table. Each appended batch becomes a row group.

    `write` and `seal` may be called again after a WriteFailed. Memory: what is encoded but not yet written.
    """

    # Any: `packing` are pyarrow's own options, of many types.
    def __init__(self, path: Path, schema: pa.Schema, **packing: Any) -> None:  # noqa: ANN401
        self.path = path
        self._file = UnsealedFile(path)
        self._encoder = _Encoder(pa.PythonFile(_Sink(self._file), mode="w"), schema, **packing)

    @property
    def written_bytes(self) -> int:
        """What the file holds so far, without what is encoded but not yet written."""
        return self._file.written_bytes

    def append(self, batch: pa.RecordBatch) -> None:
        """Encode a row group. It reaches the disk with the next `write`."""
        self._encoder.write_batch(batch)

    def write(self) -> None:
        """Write what is encoded to the disk."""
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
                self.path, f"it should hold {counted(rows, 'row')}, but holds {found:,}"
            )
        return seal


class _Sink(RawIOBase):
    """The file object that Arrow writes to."""

    def __init__(self, file: UnsealedFile) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        # Copied, because Arrow reuses its buffer.
        copy = bytes(data)
        self._file.append(copy)
        return len(copy)


class _Encoder(pq.ParquetWriter):
    """A writer that writes nothing more when it is dropped before `close`: the next start makes the file again.

    pyarrow's own `__del__` would encode the end of the file even then.
    """

    def __del__(self) -> None:
        pass


def row_bytes(row: BookRow) -> int:
    """The decoded size of a row: its four lists."""
    return 2 * (row.bid_price.nbytes + row.ask_price.nbytes)


def packing(size_bytes: int) -> tuple[Literal["brotli", "zstd"], int]:
    """Codec and level for rows of this size, decoded. Both have a window of 4 MB: dozens of whole books."""
    return ("brotli", 7) if size_bytes >= _DEEP_BYTES else ("zstd", 9)


def rows_file(path: Path, size_bytes: int) -> ParquetFile:
    """A new file for rows of about `size_bytes`, decoded. Each row is compressed against those before it."""
    codec, level = packing(size_bytes)
    return ParquetFile(
        path,
        SNAPSHOTS,
        compression=codec,
        compression_level=level,
        use_dictionary=False,
        write_statistics=SCALARS,
        data_page_size=_PAGE_BYTES,
    )


def trades_file(path: Path) -> ParquetFile:
    """A new file for trades."""
    return ParquetFile(path, TRADES, compression="zstd", use_dictionary=False)


def table_file(path: Path, schema: pa.Schema) -> ParquetFile:
    """A new file for a small table."""
    return ParquetFile(path, schema, compression="zstd")


BOOK_ROWS: Final = RowKind(
    lambda rows, size_bytes: rows >= GROUP_ROWS or size_bytes >= GROUP_BYTES,
    row_bytes,
    snapshot_batch,
    lambda path, like: rows_file(path, row_bytes(like)),
    Layout.writing_rows,
    Layout.rows,
)
TRADE_ROWS: Final = RowKind(
    lambda rows, _: rows >= TRADE_GROUP_ROWS,
    lambda _: _TRADE_BYTES,
    trade_batch,
    lambda path, _: trades_file(path),
    Layout.writing_trades,
    Layout.trades,
)
