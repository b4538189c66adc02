"""What full snapshots cost on disk, against the raw messages they follow from.

Promises nothing. A minute of the real BTCUSDT, where the captures are there, and an hour of the
built-in market's, both through the recorder's own store; beside them the raw messages through zstd
at level 9. Then what a reader pays for one minute of that hour, and for all of it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import booktape
from booktape.core.frames import Connected, Frame, RestFrame, SegmentStart, StreamFrame
from booktape.sim.market import Market
from booktape.store.archive import open_archive
from booktape.store.writer import GROUP_BYTES, GROUP_ROWS
from captures.capture import BTCUSDT, CAPTURES, frames
from docs.generated import table

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.bench

SECONDS: Final = int(os.environ.get("BOOKTAPE_BENCH_SECONDS", "3600"))
SYMBOL: Final = "BTCUSDT"
START_NS: Final = 1_780_000_000 * 10**9
SLOTS_PER_S: Final = 10
EVERY: Final = (1, 10, 100)
LEVEL_BYTES: Final = 16

Report: TypeAlias = Callable[[str, str], None]


def built_in() -> Iterator[Frame]:
    """A snapshot of 5,000 levels a side, and then ten events a second."""
    market = Market((SYMBOL,), seed=1)
    market.want([f"{SYMBOL.lower()}@depth@100ms"])
    market.start(START_NS // 1_000)
    market.advance()
    yield Connected(START_NS, 1, (SYMBOL,))
    yield RestFrame(START_NS, SYMBOL, 5_000, market.depth(SYMBOL, 5_000, 0.0))
    for slot in range(1, SECONDS * SLOTS_PER_S):
        for message in market.advance():
            payload = message.payload(combined=True, microseconds=True)
            yield StreamFrame(START_NS + slot * 10**9 // SLOTS_PER_S, 1, payload)


def real() -> Iterator[Frame]:
    """The capture without its other streams, and its snapshot first: what came before is stale."""
    _, connected, *arrived = frames(*BTCUSDT)
    yield connected
    yield from (frame for frame in arrived if isinstance(frame, RestFrame))
    events = (frame for frame in arrived if isinstance(frame, StreamFrame))
    yield from (frame for frame in events if b"@depth@" in frame.payload[:60])


def record(root: Path, arrived: Iterable[Frame], every: int) -> Path:
    """A sealed archive of them; its file of rows."""
    with open_archive(root) as archive:
        start = SegmentStart(START_NS, "bench", "sim", every, 5_000, (SYMBOL,), audit_s=0)
        recording = archive.begin(start, "bench")
        for frame in arrived:
            for _ in recording.take(frame):
                pass
            if recording.writer.wants_flush:
                recording.writer.flush()
            busy = recording.writer.busy
            if busy:
                busy.result()
        recording.end("stopped").result()
    (rows,) = root.glob("snapshots/*/*/*.parquet")
    return rows


def sizes(root: Path, name: str, arrived: list[Frame]) -> Iterator[list[str]]:
    """A line of the table for every N."""
    payloads = [frame.payload for frame in arrived if isinstance(frame, StreamFrame)]
    packed = len(zstd.compress(b"\n".join(payloads), level=9)) / len(payloads)
    for every in EVERY:
        path = record(root / f"{name}-{every}", arrived, every)
        size, found = path.stat().st_size, pq.read_metadata(path)
        first = record(root / f"{name}-{every}-first", arrived[:2], every).stat().st_size
        lists = pq.read_table(path, columns=["bid_price", "ask_price"]).columns
        count = sum(pc.sum(pc.list_value_length(each)).as_py() for each in lists)
        row = LEVEL_BYTES * count / found.num_rows
        further = (size - first * found.num_row_groups) / (found.num_rows - found.num_row_groups)
        whole = further + first / min(GROUP_ROWS, GROUP_BYTES / row)
        cells = (found.num_rows, row / LEVEL_BYTES, size / found.num_rows, first, further, whole)
        yield [
            *(f"{name}, N = {every}", *(f"{cell:,.0f}" for cell in cells)),
            f"{packed * every:,.0f}",
            f"{whole / packed / every:.2f}",
        ]


HEAD: Final = [
    *("market", "rows", "levels a row", "bytes a row", "a group's first row", "each further row"),
    *("a row of a full group", "its messages, zstd-9", "ratio"),
]


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
    lines = []
    if CAPTURES.is_dir():
        lines += list(sizes(tmp_path, "real minute", list(real())))
    lines += list(sizes(tmp_path, "built-in hour", list(built_in())))
    head = ["archive", "row groups", "rows of a minute", "s", "rows of all", "s"]
    read = [reading(tmp_path / f"built-in hour-{every}") for every in EVERY]
    report("sizes", f"{table(HEAD, lines)}\n\n{table(head, read)}")
