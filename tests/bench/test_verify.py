"""How long `booktape verify` takes for an hour of BTCUSDT at real load, on one core.

    python -m pytest tests/bench/test_verify.py -o addopts=--import-mode=importlib -s -m bench

`BOOKTAPE_BENCH_SECONDS` is the length of the recording (default 3,600). The hour is the one of
`lifelike.py`, written straight through the store in one segment.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.lifelike import SYMBOL
from bench.recorded import SECONDS, lifelike_hour, record
from booktape.verify.order import Scope
from booktape.verify.run import verdict, verify
from booktape.verify.stored_files import FolderFiles


@pytest.mark.bench
def test_an_hour_of_btcusdt(tmp_path: Path) -> None:
    """In under three minutes, everything equal."""
    record(tmp_path, lifelike_hour(), every=10)
    began, cpu_began = time.perf_counter(), time.process_time()
    report = verify(FolderFiles(tmp_path), Scope())
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    rows = report.found.counts_of(SYMBOL).equal["rows"]
    print(f"\n{SECONDS} s of {SYMBOL}: {len(lifelike_hour()):,} records, {rows:,} rows")
    print(f"verified in {took_s:.0f} s, {cpu_s:.0f} s of them on a core")
    assert report.clean, verdict(report)
    assert took_s < SECONDS / 20
