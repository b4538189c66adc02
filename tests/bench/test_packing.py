"""Which codec a deep book's rows are packed with: bytes, writing and reading them.

Promises nothing: `make bench` prints it. Everything goes through the recorder's own writer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.lifelike import LIMIT, START_NS, SYMBOL, lifelike
from bench.test_core_costs import microseconds
from booktape.core.events import BookRow
from booktape.core.tape_records import SegmentStart
from booktape.reconstruct import Reconstruction
from booktape.store import parquet_file
from booktape.store.schema import snapshot_batch
from docs.generated import table

pytestmark = pytest.mark.bench

SECONDS: Final = {1: 120, 10: 600}
"""Of the lifelike market, for each N: some row groups."""

PACKINGS: Final = (
    *(("zstd", level) for level in (3, 9, 12, 16)),
    *(("brotli", level) for level in (4, 5, 7, 9)),
)
SUMS: Final = "sum(list_sum(bid_size) + list_sum(ask_size) + bid_price[1] + ask_price[1])"
READERS: Final[dict[str, Callable[[str], object]]] = {
    "pyarrow": pq.read_table,
    "polars": pl.read_parquet,
    "DuckDB": lambda path: duckdb.read_parquet(path).aggregate(SUMS).fetchall(),
}


def rows_of(every: int) -> list[BookRow]:
    """Of some minutes."""
    books = Reconstruction()
    list(books.apply(SegmentStart(START_NS, "bench", "sim", every, LIMIT, (SYMBOL,))))
    outputs = (output for frame in lifelike(SECONDS[every]) for output in books.apply(frame))
    return [output for output in outputs if isinstance(output, BookRow)]


def batches(rows: list[BookRow]) -> list[pa.RecordBatch]:
    """The row groups that the recorder would make of them."""
    most = min(
        parquet_file.GROUP_ROWS, parquet_file.GROUP_BYTES // parquet_file.row_bytes(rows[-1])
    )
    return [snapshot_batch(rows[at : at + most]) for at in range(0, len(rows), most)]


def costs(path: Path, rows: list[BookRow]) -> list[float]:
    """Bytes of a row, then microseconds to write it, and to read it by each reader."""
    groups = batches(rows)

    def write() -> None:
        path.unlink(missing_ok=True)
        file = parquet_file.rows_file(path, parquet_file.row_bytes(rows[-1]))
        for group in groups:
            file.append(group)
        file.seal(len(rows))

    written = microseconds(write, len(rows))
    read = [microseconds(partial(read, str(path)), len(rows)) for read in READERS.values()]
    return [path.stat().st_size / len(rows), written, *read]


def test_packings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Callable[[str, str], None]
) -> None:
    """Codec and level against bytes and microseconds of processor time a row, at two N."""
    lines = []
    for every in SECONDS:
        rows = rows_of(every)
        for codec, level in PACKINGS:
            found = (codec, level)
            monkeypatch.setattr(parquet_file, "packing", lambda _, found=found: found)
            figures = (f"{cost:,.0f}" for cost in costs(tmp_path / "rows.parquet", rows))
            lines.append((f"{every}", f"{codec} {level}", *figures))
    head = ("N", "packed with", "bytes a row", "µs a row to write")
    report("packing", table((*head, *(f"µs to read: {name}" for name in READERS)), lines))
