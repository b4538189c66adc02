"""What the reader needs for a day of two symbols: time and memory of each call.

Each call runs in a separate process, which reports its peak of resident memory.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from reader.day import write

CALLS = {
    "nothing but opening": "None",
    "symbols()": "rec.symbols()",
    "coverage()": "rec.coverage()",
    "gaps()": "rec.gaps()",
    "checks()": "rec.checks()",
    "one minute, to_pandas": "rec.snapshots(S, M, M2, depth=20).to_pandas()",
    "one minute, to_polars wide": "rec.snapshots(S, M, M2, depth=20).to_polars('wide')",
    "one minute, iterated": "list(rec.snapshots(S, M, M2, depth=20))",
    "the day, to_arrow": "rec.snapshots(S, depth=20).to_arrow()",
    "the day, wide": "rec.snapshots(S, depth=20).to_arrow('wide')",
    "the day, long, 5 levels": "rec.snapshots(S, depth=5).to_arrow('long')",
    "the day, to_numpy": "rec.snapshots(S, depth=20).to_numpy()",
    "the day, by batches": "sum(b.num_rows for b in rec.snapshots(S).batches())",
    "the day, iterated": "sum(1 for _ in rec.snapshots(S, depth=20))",
    "the day, resample 1m": "rec.snapshots(S, depth=20).resample('1m').to_arrow()",
    "at, end of an hour": "rec.at(S, A)",
    "replay of a minute": "sum(1 for _ in rec.replay(S, M, M2))",
    "replay of the day": "sum(1 for _ in rec.replay(S))",
}
PROGRAM = """
import resource, sys, time
import booktape
import pandas, polars
S, M, M2 = "BTCUSDT", "2026-06-09T12:30:00Z", "2026-06-09T12:31:00Z"
A = "2026-06-09T12:59:59Z"
rec = booktape.open(sys.argv[1])
began = time.perf_counter()
{call}
seconds = time.perf_counter() - began
print(f"{{seconds:.2f}} {{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}}")
"""


@pytest.mark.bench
def test_a_day_of_two_symbols(tmp_path: Path) -> None:
    """86,400 seconds, 20 levels a side, a row a second, hourly segments."""
    began = time.perf_counter()
    write(tmp_path, 86_400, segment_s=3_600, cuts=(30_000, 60_000))
    print(f"\nwritten in {time.perf_counter() - began:.0f} s")
    print(f"{'call':30} {'s':>6} {'peak MB':>8}")
    for name, call in CALLS.items():
        program = PROGRAM.format(call=call)
        command = [sys.executable, "-c", program, str(tmp_path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, peak_mb = done.stdout.split()
        print(f"{name:30} {seconds:>6} {peak_mb:>8}")
