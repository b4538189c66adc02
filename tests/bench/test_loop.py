"""How long the recorder's event loop is kept waiting while 1,400 books are recorded at a busy pace.

Promises nothing: `make bench` prints the distribution on this machine. The recorder is the real one,
started by watched.py; the exchange (firehose.py) sends as many messages as on a busy day, ten times a
second. Segments are short, so that several are sealed meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from bench.test_throughput import TESTS, options
from booktape.store.tape_reader import read_lines
from docs.generated import table

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(
        not Path("/proc/self/schedstat").exists(),
        reason="needs Linux, which says how long a thread waited for a processor",
    ),
]

SYMBOLS: Final = int(os.environ.get("BOOKTAPE_BENCH_SYMBOLS", "1400"))
PACE: Final = int(os.environ.get("BOOKTAPE_BENCH_PACE", "10000"))
SECONDS: Final = int(os.environ.get("BOOKTAPE_BENCH_LOOP_S", "60"))
SEGMENT_S: Final = 20
EVERY: Final = 10
LONG_MS: Final = 20.0
SLOTS: Final = 150

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Watched:
    """What watched.py saw. Sending began and the recorder was told to stop at these times."""

    seen: dict[str, Any]
    began_s: float
    stopped_s: float

    def column(self, kind: str, name: str, first_s: float, end_s: float) -> Floats:
        """Of what began in this time; durations in ms."""
        at = np.array(self.seen[kind]["at"])
        chosen: Floats = np.array(self.seen[kind][name])[(at >= first_s) & (at < end_s)]
        return chosen if name == "at" else chosen * 1e3

    def own_ms(self, first_s: float, end_s: float) -> Floats:
        """Passes, without the time for which others had the processors."""
        whole = self.column("passes", "s", first_s, end_s)
        return whole - self.column("passes", "queued_s", first_s, end_s)

    def blamed(self, began_s: float, ms: float) -> str:
        """What a pass was doing in most of its samples."""
        pauses = [s for at, s, _ in self.seen["pauses"] if began_s <= at < began_s + ms / 1e3]
        if sum(pauses) * 1e3 > ms / 2:
            return "garbage collection"
        stacks = [place(text) for at, _, text in self.seen["seen"] if at == began_s]
        return Counter(stacks).most_common(1)[0][0] if stacks else "not looked at"


def place(text: str) -> str:
    """Where the loop's thread was, according to faulthandler: inside which of our functions."""
    threads = re.split(r"\n(?=Thread|Current thread)", text)
    loop = next((thread for thread in threads if "in run_forever" in thread), "")
    loop = loop.partition("in run_forever")[0]  # the innermost stands first
    inner = re.findall(r"([\w/]+)\.py\", line \d+ in ([\w<>]+)", loop)[:1]
    ours = re.findall(r"booktape/([\w/]+)\.py\", line \d+ in ([\w<>]+)", loop)[:3]
    if inner and not inner[0][0].endswith(tuple(file for file, _ in ours[:1]) or "/"):
        ours = [("/".join(inner[0][0].split("/")[-2:]), inner[0][1]), *ours]
    return " ← ".join(f"`{file}.{name}`" for file, name in ours) or "asyncio and aiohttp"


def start(module: str, *words: object, log: Path) -> subprocess.Popen[str]:
    """One of the two processes; its log goes to a file, because nothing would read a pipe."""
    command = [sys.executable, "-m", module, *map(str, words)]
    with log.open("w") as output:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=output, text=True, cwd=TESTS
        )


def record(out: Path) -> Watched:
    """Record for a while at this pace, and stop."""
    sent = (SYMBOLS, SLOTS, 10 * PACE * SECONDS, "none", PACE)
    with start("bench.firehose", *sent, log=out / "exchange.log") as exchange:
        assert exchange.stdout
        port, passes, log = int(exchange.stdout.readline()), out / "passes.json", out / "log"
        arguments = [*options(out / "data", port, EVERY, "none"), "--segment", f"{SEGMENT_S}s"]
        with start("bench.watched", passes, *arguments, log=log) as recorder:
            exchange.stdout.readline()
            began_s = time.time()
            with suppress(subprocess.TimeoutExpired):
                recorder.wait(SECONDS)
            stopped_s = time.time()
            recorder.send_signal(signal.SIGINT)
            exchange.kill()
            assert recorder.wait(300) == 0, log.read_text()[-2_000:]
    return Watched(json.loads(passes.read_text()), began_s, stopped_s)


def stored(data: Path) -> str:
    """How much was recorded, to show that there was work to do."""
    tapes = list(data.glob("tape/*/*"))
    frames = sum(line.startswith(b'{"k":"ws"') for tape in tapes for line in read_lines(tape))
    files = list(data.glob("snapshots/*/*/*.parquet"))
    groups = sum(pq.read_metadata(file).num_row_groups for file in files)
    return (
        f"{SYMBOLS:,} books, N = {EVERY}, {SECONDS} s: {frames / SECONDS:,.0f} messages a second of"
        f" {PACE:,} sent; {len(tapes)} segments, {len(files):,} Parquet files, {groups:,} row groups."
    )


def distribution(of: str, ms: Floats, seconds: float) -> tuple[str, ...]:
    """One line of the table."""
    quantiles = np.quantile(ms, (0.5, 0.99, 0.999, 1.0))
    longer = int((ms > LONG_MS).sum())
    cells = (f"{one:,.2f}" for one in quantiles)
    return of, f"{len(ms):,}", *cells, f"{longer:,} ({longer / seconds:.2f} a second)"


HEAD: Final = ("ms", "number", "p50", "p99", "p99.9", "longest", f"above {LONG_MS:.0f} ms")


def figures(run: Watched) -> Iterator[str]:
    """The tables: while it recorded, before, and what took long."""
    began_s, stopped_s = run.began_s, run.stopped_s
    first_s, last_s = (run.seen["passes"]["at"][n] for n in (0, -1))
    while_recording = (began_s, stopped_s)
    seconds = stopped_s - began_s
    rows = [
        ("a pass, by the clock", run.column("passes", "s", *while_recording), seconds),
        ("a pass, without waiting for a processor", run.own_ms(*while_recording), seconds),
        ("a pass, on a processor", run.column("passes", "cpu_s", *while_recording), seconds),
        ("a timer is late by", run.column("late", "s", *while_recording), seconds),
        ("start-up: a pass, without waiting", run.own_ms(first_s, began_s), began_s - first_s),
        ("sealing: a pass, without waiting", run.own_ms(stopped_s, last_s), last_s - stopped_s),
    ]
    yield table(HEAD, [distribution(*row) for row in rows])
    for phase, first, end in (("recording", *while_recording), ("starting", first_s, began_s)):
        yield f"\nLonger than {LONG_MS:.0f} ms while {phase}, waits for a processor not counted:\n"
        yield table(("passes", "longest, ms", "most of it in"), list(long_passes(run, first, end)))


def long_passes(run: Watched, first_s: float, end_s: float) -> Iterator[tuple[str, ...]]:
    """What the passes that were too long were doing, the worst first."""
    own, whole = run.own_ms(first_s, end_s), run.column("passes", "s", first_s, end_s)
    at = run.column("passes", "at", first_s, end_s)
    found: dict[str, list[float]] = {}
    for n in np.flatnonzero(own > LONG_MS):
        found.setdefault(run.blamed(at[n], whole[n]), []).append(own[n])
    for what, ms in sorted(found.items(), key=lambda one: -max(one[1])):
        yield f"{len(ms)}", f"{max(ms):,.1f}", what
    if not found:
        yield "none", "", ""


def test_the_loop_is_not_kept_waiting(tmp_path: Path, report: Callable[[str, str], None]) -> None:
    """How long each pass of the loop takes, how late a timer fires, and what took too long."""
    run = record(tmp_path)
    report("loop", "\n".join([stored(tmp_path / "data"), "", *figures(run)]))
