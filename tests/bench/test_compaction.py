"""What `booktape compact` is worth: bytes, and the time to read them, of 24 segments and of the day that they become.

A quiet symbol has few rows in each segment. So four minutes of the lifelike market are cut into 24 segments, with 50 rows
each (N = 2) or with five (N = 20). DuckDB's own copy lies beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

import booktape
from bench.lifelike import LIMIT, START_NS, SYMBOL, lifelike
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import SegmentStart
from booktape.retention.compact import compact
from support.archives import open_archive
from support.rotation import finish, follow, rotate

SECONDS = 240
SEGMENTS = 24


def record(root: Path, every: int) -> None:
    """A recording of the market, in this number of segments."""
    start = SegmentStart(START_NS, "test", "sim", every, LIMIT, (SYMBOL,))
    length_ns = SECONDS * 10**9 // SEGMENTS
    with open_archive(root) as archive:
        session, due_ns = archive.begin(start, "bench"), START_NS + length_ns
        for each in lifelike(SECONDS - 1):
            if each.received_ns >= due_ns:
                rotate(session, due_ns).result()
                due_ns += length_ns
            follow(session, each)
        finish(session, STOPPED).result()


def best_of(read: Callable[[Path], object], root: Path) -> float:
    """Milliseconds of a core, the least of five."""
    times = []
    for _ in range(5):
        began_s = time.process_time()
        read(root)
        times.append(time.process_time() - began_s)
    return min(times) * 1e3


def mean_best_bid(root: Path) -> object:
    """One number of each row."""
    rows = duckdb.read_parquet(f"{root}/snapshots/**/*.parquet")
    return rows.aggregate("avg(best_bid), count(*)").fetchall()


def copy_by_duckdb(root: Path, out: Path) -> None:
    """As docs/format.md shows it."""
    rows = duckdb.read_parquet(f"{root}/snapshots/**/*.parquet", hive_partitioning=True)
    rows.to_parquet(
        str(out / "snapshots"), compression="zstd", partition_by=["symbol", "date"], overwrite=True
    )


@pytest.mark.bench
@pytest.mark.parametrize("every", [20, 2])
def test_a_day_instead_of_segments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], every: int
) -> None:
    """It prints all three, and promises nothing."""
    segments, day, copy = tmp_path / "segments", tmp_path / "day", tmp_path / "copy"
    record(segments, every)
    assert not compact(segments, day).left_out
    copy.mkdir()
    copy_by_duckdb(segments, copy)
    lines = []
    for name, root in (("24 segments", segments), ("one day", day), ("DuckDB's copy", copy)):
        files = [path for path in root.glob("snapshots/**/*") if path.is_file()]
        size_kb = sum(path.stat().st_size for path in files) / 1e3
        times = [
            best_of(mean_best_bid, root),
            best_of(lambda root: pl.read_parquet(root / "snapshots"), root),
        ]
        if root is not copy:
            times.append(
                best_of(
                    lambda root: booktape.open(root).snapshots(SYMBOL, depth=20).to_arrow(), root
                )
            )
        cells = [name, str(len(files)), f"{size_kb:,.0f}", *(f"{one:,.0f}" for one in times)]
        lines.append(f"| {' | '.join(cells)} |")
    with capsys.disabled():
        print(f"\n{SECONDS * 10 // every // SEGMENTS} rows a segment")
        print(
            "| | files | kB of rows | DuckDB, mean best bid, ms | polars, all columns, ms "
            "| booktape, best 20 levels, ms |"
        )
        print("|---|---|---|---|---|---|")
        print("\n".join(lines))
