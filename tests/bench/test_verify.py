"""How long `booktape verify` takes for an hour of BTCUSDT at real load, on one core.

    python -m pytest tests/bench/test_verify.py -o addopts=--import-mode=importlib -s -m bench

`BOOKTAPE_VERIFY_S` is the length of the recording in seconds (default 3,600). The hour is made by the
built-in market and written straight through the store, in segments of an hour.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from booktape.core.frames import STOPPED, Connected, Frame, RestFrame, SegmentStart, StreamFrame
from booktape.sim.market import Market
from booktape.store.archive import open_archive
from booktape.verify.run import Scope, verdict, verify

SECONDS = int(os.environ.get("BOOKTAPE_VERIFY_S", "3600"))
SYMBOL = "BTCUSDT"
START_NS = 1_780_000_000 * 10**9
SLOT_NS = 100_000_000
LIMIT = 5_000


def frames(seconds: int) -> Iterator[Frame]:
    """A snapshot, and then ten events a second."""
    market = Market((SYMBOL,), seed=1)
    market.start(START_NS // 1_000)
    yield Connected(START_NS + 1, 1, (SYMBOL,))
    yield RestFrame(START_NS + 2, SYMBOL, LIMIT, market.depth(SYMBOL, LIMIT, 0.0))
    for slot in range(1, seconds * 10 + 1):
        for message in market.advance():
            payload = message.payload(combined=True, microseconds=False)
            yield StreamFrame(START_NS + slot * SLOT_NS, 1, payload)


def record(root: Path) -> int:
    """How many frames it took."""
    count = 0
    with open_archive(root) as archive:
        recording = archive.begin(
            SegmentStart(START_NS, "bench", "sim", 10, LIMIT, (SYMBOL,)), "bench"
        )
        for frame in frames(SECONDS):
            count += 1
            for _ in recording.take(frame):
                pass
            if recording.writer.wants_flush:
                recording.writer.flush()
        recording.end(STOPPED).result()
    return count


@pytest.mark.bench
def test_an_hour_of_btcusdt(tmp_path: Path) -> None:
    """In under three minutes, everything equal."""
    count = record(tmp_path)
    began, cpu_began = time.perf_counter(), time.process_time()
    report = verify(tmp_path, Scope(), jobs=1)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    rows = report.found.of(SYMBOL).equal["rows"]
    print(f"\n{SECONDS} s of {SYMBOL}: {count:,} frames, {rows:,} rows")
    print(f"verified in {took_s:.0f} s, {cpu_s:.0f} s of them on a core")
    assert report.clean, verdict(report)
    assert took_s < SECONDS / 20
