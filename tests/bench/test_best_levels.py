"""What the best 20 levels cost to read: from the lists of whole books, and from short lists beside them.

Promises nothing: `make bench` prints the figures. They are why there are no short lists
(docs/decisions/0020-best-prices.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bench.test_core_costs import microseconds
from bench.test_packing import SECONDS, batches, rows_of
from booktape.store.parquet_file import packing, row_bytes
from booktape.store.schema import FIRST_OF, SCALARS
from docs.generated import table

pytestmark = pytest.mark.bench

LEVELS: Final = 20
LISTS: Final = tuple(FIRST_OF.values())
SHORT: Final = tuple(f"{name}_{LEVELS}" for name in LISTS)
PAGE_BYTES: Final = 32 << 20


def by_pyarrow(path: str, names: Sequence[str], levels: int | None) -> object:
    found = pq.read_table(path, columns=list(names))
    return found if levels is None else [pc.list_slice(found[n], 0, levels) for n in names]


def by_polars(path: str, names: Sequence[str], levels: int | None) -> object:
    columns = [pl.col(n) if levels is None else pl.col(n).list.head(levels) for n in names]
    return pl.scan_parquet(path).select(columns).collect()


def by_duckdb(path: str, names: Sequence[str], levels: int | None) -> object:
    """A sum, because fetching lists as Python objects would take far longer than decoding them."""
    cut = "" if levels is None else f"[:{levels}]"
    is_list = names[0] not in FIRST_OF
    sums = (f"sum(list_sum({name}{cut}))" if is_list else f"sum({name})" for name in names)
    return duckdb.read_parquet(path).aggregate(", ".join(sums)).fetchall()


READERS: Final[dict[str, Callable[[str, Sequence[str], int | None], object]]] = {
    "pyarrow": by_pyarrow,
    "polars": by_polars,
    "DuckDB": by_duckdb,
}
READINGS: Final[dict[str, tuple[Sequence[str], int | None]]] = {
    "all levels": (LISTS, None),
    f"{LEVELS} levels of the lists": (LISTS, LEVELS),
    f"short lists of {LEVELS} levels": (SHORT, None),
    "best prices": (tuple(FIRST_OF), None),
}


def with_short_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, and the best levels once more."""
    for name, short in zip(LISTS, SHORT, strict=True):
        batch = batch.append_column(short, pc.list_slice(batch.column(name), 0, LEVELS))
    return batch


def stored_bytes(path: Path, names: Sequence[str]) -> int:
    """What these columns take."""
    metadata = pq.read_metadata(path)
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(c.total_compressed_size for c in chunks if c.path_in_schema.split(".")[0] in names)


def test_best_levels(tmp_path: Path, report: Callable[[str, str], None]) -> None:
    """Bytes a row and microseconds of processor time a row, at two N."""
    lines = []
    for every in SECONDS:
        rows = rows_of(every)
        groups = [with_short_lists(batch) for batch in batches(rows)]
        codec, level = packing(row_bytes(rows[-1]))
        path = tmp_path / f"{every}.parquet"
        options = {"compression": codec, "compression_level": level, "use_dictionary": False}
        with pq.ParquetWriter(
            path,
            groups[0].schema,
            write_statistics=SCALARS,
            data_page_size=PAGE_BYTES,
            **options,  # type: ignore[arg-type]
        ) as writer:
            for group in groups:
                writer.write_batch(group)
        for what, (names, levels) in READINGS.items():
            took = [
                microseconds(partial(read, str(path), names, levels), len(rows))
                for read in READERS.values()
            ]
            size = stored_bytes(path, names) / len(rows)
            lines.append((f"{every}", what, f"{size:,.0f}", *(f"{us:,.1f}" for us in took)))
    head = ("N", "what is read", "bytes a row", *(f"µs a row: {name}" for name in READERS))
    report("levels", table(head, lines))
