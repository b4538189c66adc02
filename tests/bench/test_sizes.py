"""What full snapshots cost on disk, against the raw messages they follow from.

A minute of the real BTCUSDT, where the captures are there, as it is and with a book of about 8,400
levels; an hour that is like it (`lifelike.py`); and an hour of the built-in market, whose changes repeat
less. All go through the recorder's own store; beside them the raw messages through zstd at
level 9. Then what a reader pays for one minute of the hour, and for all of it.

Promises one thing: the hour that is like the real minute is not easier to compress than that minute.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import booktape
from bench.lifelike import START_NS, SYMBOL
from bench.likeness import beside, minutes
from bench.recorded import SECONDS, built_in_hour, lifelike_hour, real_minute, record
from booktape.core.tape_records import StreamMessage, TapeRecord
from booktape.store.parquet_file import GROUP_BYTES, GROUP_ROWS
from captures.capture import CAPTURES, needs_captures
from docs.generated import table

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.bench

EVERY: Final = (1, 10, 100)
LEVEL_BYTES: Final = 16
SHALLOW: Final = 4_200
"""Levels a side that make a book of about 8,400."""

Report: TypeAlias = Callable[[str, str], None]

HEAD: Final = [
    *("market", "rows", "levels a row", "bytes a row", "a group's first row", "each further row"),
    *("a row of a full group", "its messages, zstd-9", "ratio"),
]


class Cost(NamedTuple):
    """Of a row at one N, in bytes, and of the messages it follows from."""

    rows: int
    levels: float
    bytes: float
    first: int
    further: float
    whole: float
    messages: float

    def cells(self, name: str) -> list[str]:
        """A line of the table."""
        return [name, *(f"{cell:,.0f}" for cell in self), f"{self.whole / self.messages:.2f}"]


def costs(root: Path, name: str, arrived: list[TapeRecord]) -> Iterator[Cost]:
    """For every N."""
    payloads = [frame.payload for frame in arrived if isinstance(frame, StreamMessage)]
    packed = len(zstd.compress(b"\n".join(payloads), level=9)) / len(payloads)
    for every in EVERY:
        path = record(root / f"{name}-{every}", arrived, every)
        size, found = path.stat().st_size, pq.read_metadata(path)
        rows, groups = found.num_rows, found.num_row_groups
        first = record(root / f"{name}-{every}-first", arrived[:2], every).stat().st_size
        lists = pq.read_table(path, columns=["bid_price", "ask_price"]).columns
        levels = sum(pc.sum(pc.list_value_length(each)).as_py() for each in lists) / rows
        further = (size - first * groups) / (rows - groups)
        whole = further + first / min(GROUP_ROWS, GROUP_BYTES / (LEVEL_BYTES * levels))
        yield Cost(rows, levels, size / rows, first, further, whole, packed * every)


def reading(root: Path) -> list[str]:
    """What one minute costs, and all of it, in seconds and row groups."""
    (path,) = root.glob("snapshots/*/*/*.parquet")
    found = pq.read_metadata(path)
    middle = datetime.fromtimestamp(START_NS / 1e9, UTC) + timedelta(seconds=SECONDS // 2)
    rec = booktape.open(root)
    spans = ((middle, middle + timedelta(minutes=1)), (None, None))
    took = []
    for start, end in spans:
        began = time.perf_counter()
        rows = sum(batch.num_rows for batch in rec.snapshots(SYMBOL, start, end).batches())
        took += [f"{rows:,}", f"{time.perf_counter() - began:.2f}"]
    return [root.name, f"{found.num_row_groups}", *took]


def test_sizes_of_snapshots(tmp_path: Path, report: Report) -> None:
    """Bytes a row at each N against the messages in zstd-9, and the cost of reading a minute."""
    markets = {"lifelike hour": lifelike_hour(), "built-in hour": list(built_in_hour())}
    shallow = f"real minute, {SHALLOW:,} levels a side"
    if CAPTURES.is_dir():
        real = {"real minute": list(real_minute()), shallow: list(real_minute(SHALLOW))}
        markets = real | markets
    found = {name: list(costs(tmp_path, name, arrived)) for name, arrived in markets.items()}
    lines = [
        cost.cells(f"{name}, N = {every}")
        for name, each in found.items()
        for every, cost in zip(EVERY, each, strict=True)
    ]
    head = ["archive", "row groups", "rows of a minute", "s", "rows of all", "s"]
    read = [reading(tmp_path / f"lifelike hour-{every}") for every in EVERY]
    report("sizes", f"{table(HEAD, lines)}\n\n{table(head, read)}")
    for real_cost, cost in zip(found.get(shallow, ()), found["lifelike hour"], strict=False):
        assert cost.whole >= real_cost.whole


@needs_captures
def test_likeness(report: Report) -> None:
    """What the real minute and those of the lifelike hour are made of, side by side."""
    (real,) = minutes(real_minute(SHALLOW))
    report("likeness", beside(real, list(minutes(lifelike_hour()))))
