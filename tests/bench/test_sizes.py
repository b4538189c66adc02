"""What full snapshots cost on disk, against the raw messages they follow from.

Promises nothing: `make bench` prints the table. A book like BTCUSDT's (some 8,000 levels a side), the
same minutes at N = 1, 10 and 100, through the recorder's own store; beside it the raw messages, as
they are and through zstd at level 9.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd
import pytest

from booktape.core.frames import Connected, Frame, RestFrame, SegmentStart, StreamFrame
from booktape.sim.market import Market
from booktape.store.archive import open_archive

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.bench

SECONDS: Final = int(os.environ.get("BOOKTAPE_BENCH_SECONDS", "600"))
SYMBOL: Final = "BTCUSDT"
START_NS: Final = 1_780_000_000 * 10**9
SLOTS_PER_S: Final = 10


def messages() -> Iterator[tuple[int, bytes]]:
    """Every message of the market, with its slot; the snapshot first, in slot 0."""
    market = Market((SYMBOL,), seed=1)
    market.want([f"{SYMBOL.lower()}@depth@100ms"])
    market.start(START_NS // 1_000)
    market.advance()
    yield 0, market.depth(SYMBOL, 5_000, 0.0)
    for slot in range(1, SECONDS * SLOTS_PER_S):
        for message in market.advance():
            yield slot, message.payload(combined=True, microseconds=True)


def frames() -> Iterator[Frame]:
    """The same as a recorder would have met it."""
    opening, *events = messages()
    yield Connected(START_NS, 1, (SYMBOL,))
    yield RestFrame(START_NS, SYMBOL, 5_000, opening[1])
    for slot, payload in events:
        yield StreamFrame(START_NS + slot * 10**9 // SLOTS_PER_S, 1, payload)


def record(root: Path, every: int) -> None:
    """A sealed archive of all of it."""
    with open_archive(root) as archive:
        start = SegmentStart(START_NS, "bench", "sim", every, 5_000, (SYMBOL,))
        recording = archive.begin(start, "bench")
        for frame in frames():
            for _ in recording.take(frame):
                pass
            if recording.writer.wants_flush:
                recording.writer.flush()
            busy = recording.writer.busy
            if busy:
                busy.result()
        recording.end("stopped").result()


def test_sizes_of_snapshots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table: N, rows, bytes a row, and all of them against the raw messages in zstd-9."""
    raw = b"\n".join(payload for _, payload in messages())
    packed = len(zstd.compress(raw, level=9))
    with capsys.disabled():
        print(f"\n\n{SECONDS} s of {SYMBOL}: {len(raw):,} bytes of messages, zstd-9 {packed:,}")
        print("every    rows   levels   bytes a row   snapshots / zstd-9 messages   tape bytes")
        for every in (1, 10, 100):
            root = tmp_path / str(every)
            record(root, every)
            (rows,) = root.glob("snapshots/*/*/*.parquet")
            (tape,) = root.glob("tape/*/*")
            frame = pd.read_parquet(rows, columns=["bid_price", "ask_price"])
            levels = int(frame.map(len).to_numpy().sum())
            size = rows.stat().st_size
            print(
                f"{every:5} {len(frame):7,} {levels / len(frame):8,.0f}"
                f" {size / len(frame):13,.0f} {size / packed:29.2f} {tape.stat().st_size:12,}"
            )
