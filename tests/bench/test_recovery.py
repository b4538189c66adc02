"""How long the next start takes to recover what a killed recorder left.

Promises nothing: `make bench` prints it. The recorder is the real one, and it is killed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from bench.test_throughput import firehose, options
from docs.generated import table

pytestmark = pytest.mark.bench

MESSAGES: Final = (20_000, 320_000)
"""On a short tape and on a longer one, to separate the cost of what every tape begins with from that of a message."""

SYMBOLS: Final = 1_400
QUIET_PER_S: Final = 3_000
"""Roughly what the real exchange sends over all symbols in a quiet minute."""


def killed(out: Path, every: int, messages: int) -> None:
    """Record until everything has been read, then `kill -9`."""
    with firehose(SYMBOLS, 150, messages, "none") as (port, exchange):
        command = [sys.executable, "-m", "booktape", *options(out, port, every, "none")]
        command += ["--segment", "24h"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as recorder:
            assert exchange.stdout
            for _ in ("it begins", "it has been read"):
                exchange.stdout.readline()
            recorder.kill()


def recovered(out: Path) -> tuple[int, float]:
    """Start again: how many records were found, and how many seconds it took."""
    command = [sys.executable, "-m", "booktape", "record", "BTCUSDT", "--exchange", "sim"]
    command += ["--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as recorder:
        assert recorder.stderr
        began_s = 0.0
        for line in recorder.stderr:
            if "recovering" in line:
                began_s = time.perf_counter()
            elif found := re.search(r"event=recovered .*records=(\d+)", line):
                recorder.terminate()
                return int(found[1]), time.perf_counter() - began_s
    raise AssertionError("nothing was recovered")


def test_recovery(tmp_path: Path, report: Callable[[str, str], None]) -> None:
    """How long every book's snapshots take, how fast messages become rows, and what that means."""
    rows = []
    for every in (10, 100):
        found = []
        for messages in MESSAGES:
            out = tmp_path / f"{every}-{messages}"
            killed(out, every, messages)
            found.append(recovered(out))
        (short, short_s), (long, long_s) = found
        per_s = (long - short) / (long_s - short_s)
        begin_s = short_s - short / per_s
        hour_min = (begin_s + 3_600 * QUIET_PER_S / per_s) / 60
        figures = (f"{begin_s:.0f}", f"{per_s:,.0f}", f"{hour_min:.0f}")
        rows.append((f"{SYMBOLS:,}", str(every), *figures))
    head = ("books", "N", "s for the first snapshots", "messages a second")
    report("recovery", table((*head, f"minutes for an hour of {QUIET_PER_S:,} a second"), rows))
