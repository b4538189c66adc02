"""Which codec a deep book's rows are packed with: bytes, writing and reading them.

Promises nothing: `make bench` prints it. Everything goes through the recorder's own writer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.lifelike import LIMIT, START_NS, SYMBOL, lifelike
from booktape.core.events import BookRow
from booktape.core.frames import SegmentStart
from booktape.reconstruct import Reconstruction
from booktape.store import writer
from booktape.store.schema import snapshot_batch
from docs.generated import table

pytestmark = pytest.mark.bench

SECONDS: Final = {1: 120, 10: 600}
"""Of the lifelike market, for each N: some row groups."""

PACKINGS: Final = (
    *(("zstd", level) for level in (3, 9, 12, 16)),
    *(("brotli", level) for level in (4, 5, 7, 9)),
)
READERS: Final[dict[str, Callable[[str], object]]] = {
    "pyarrow": pq.read_table,
    "polars": pl.read_parquet,
    "DuckDB": lambda path: duckdb.sql(
        f"SELECT sum(list_sum(bid_size) + list_sum(ask_size) + bid_price[1] + ask_price[1]) "
        f"FROM '{path}'"
    ).fetchall(),
}
ROUNDS: Final = 3


def batches(every: int) -> list[pa.RecordBatch]:
    """The row groups of some minutes."""
    books = Reconstruction()
    list(books.feed(SegmentStart(START_NS, "bench", "sim", every, LIMIT, (SYMBOL,))))
    said = (output for frame in lifelike(SECONDS[every]) for output in books.feed(frame))
    rows = [output for output in said if isinstance(output, BookRow)]
    most = min(writer.GROUP_ROWS, writer.GROUP_BYTES // writer.row_bytes(rows[-1]))
    return [snapshot_batch(rows[at : at + most]) for at in range(0, len(rows), most)]


def least_us(work: Callable[[], object], rows: int) -> float:
    """Processor time of all threads, a row: the best of some rounds."""
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took) / rows * 1e6


def cost(path: Path, groups: list[pa.RecordBatch]) -> list[float]:
    """Bytes of a row, then microseconds to write it, and to read it by each reader."""
    rows = sum(group.num_rows for group in groups)
    deep = BookRow(SYMBOL, 0, 0, 0, 0, 0, *[groups[0]["bid_price"][0].values.to_numpy()] * 4, 0, 0)

    def write() -> None:
        with writer.parquet_writer(path, deep) as parquet:
            for group in groups:
                parquet.write_batch(group)

    written = least_us(write, rows)
    read = [least_us(lambda read=read: read(str(path)), rows) for read in READERS.values()]
    return [path.stat().st_size / rows, written, *read]


def test_packings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Callable[[str, str], None]
) -> None:
    """Codec and level against bytes and microseconds of processor time a row, at two N."""
    rows = []
    for every in SECONDS:
        groups = batches(every)
        for packing in PACKINGS:
            monkeypatch.setattr(writer, "_OF_DEEP", packing)
            found = cost(tmp_path / "rows.parquet", groups)
            rows.append((str(every), f"{packing[0]} {packing[1]}", *(f"{c:,.0f}" for c in found)))
    head = ("N", "packed with", "bytes a row", "µs a row to write")
    report("packing", table((*head, *(f"µs to read: {name}" for name in READERS)), rows))
