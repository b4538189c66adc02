"""From the socket to Parquet: how many messages a second, on how many books, at which N.

Promises nothing about speed: `make bench` prints the table of this machine. The exchange (firehose.py)
runs on the same cores and sends as fast as it is read; what is measured is how long the recorder takes
to handle all messages, its processor time (all processes and threads, the kernel's part included), and
its memory. When everything was read, a full queue may still wait: those records do not count as handled.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow.dataset as ds
import pytest

from booktape.recorder.recorder import QUEUE_RECORDS
from booktape.wire.witness import DEPTH20
from docs.generated import table

pytestmark = pytest.mark.bench

TESTS: Final = Path(__file__).parents[1]
MESSAGES: Final = int(os.environ.get("BOOKTAPE_BENCH_MESSAGES", "600000"))
"""At N = 100; half as many at 10, a twentieth at 1."""

PART: Final = {1: 20, 10: 2, 100: 1}
ROUNDS: Final = 3


class Load(NamedTuple):
    """How many books, at which N, recorded by how many processes, and compared with what."""

    books: int
    every: int
    workers: int
    witness: str


LOADS: Final = (
    *(Load(books, every, 1, "none") for books, every in product((1, 100, 1_400), PART)),
    *(Load(1_400, every, 2, "none") for every in PART),
    *(Load(1_400, every, 2, DEPTH20) for every in (10, 100)),
)


class Run(NamedTuple):
    """One recording."""

    messages_per_s: float
    cpu_us: float
    memory_mb: float
    disk_mb: float


@contextmanager
def firehose(
    symbols: int, slots: int, messages: int, witness: str
) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The exchange, ready, and its port."""
    command = [
        sys.executable,
        "-m",
        "bench.firehose",
        *map(str, (symbols, slots, messages, witness)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=TESTS) as process:
        assert process.stdout
        yield int(process.stdout.readline()), process
        process.kill()


def family(pid: int) -> Iterator[Path]:
    """What the system knows of a process and its children."""
    yield Path(f"/proc/{pid}")
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from family(int(child))


def resident_mb(pid: int) -> float:
    """The most memory that they ever had resident, added up."""
    lines = [line for one in family(pid) for line in (one / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1_024


def cpu_s(pid: int) -> float:
    """Processor time of all their threads so far."""
    fields = [(one / "stat").read_text().rpartition(")")[2].split() for one in family(pid)]
    return sum(int(found[11]) + int(found[12]) for found in fields) / os.sysconf("SC_CLK_TCK")


def options(out: Path, port: int, every: int, witness: str) -> list[str]:
    """The options of a recorder that is to take in all that the firehose sends."""
    server = f"127.0.0.1:{port}"
    arguments = ["record", "--all", "--out", str(out), "--every", str(every), "--witness", witness]
    return [*arguments, "--rest-url", f"http://{server}", "--ws-url", f"ws://{server}"]


def record(out: Path, load: Load, messages: int) -> Run:
    """Record until everything has been read, then stop."""
    with firehose(load.books, 150, messages, load.witness) as (port, exchange):
        command = [sys.executable, "-m", "booktape", *options(out, port, load.every, load.witness)]
        command += ["--workers", str(load.workers)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as recorder:
            assert exchange.stdout
            exchange.stdout.readline()
            before_s = cpu_s(recorder.pid)
            seconds = json.loads(exchange.stdout.readline())["seconds"]
            handled = messages - load.workers * QUEUE_RECORDS
            cpu_us = (cpu_s(recorder.pid) - before_s) / handled * 1e6
            memory_mb = resident_mb(recorder.pid)
            recorder.send_signal(signal.SIGINT)
            assert recorder.wait(120) == 0
    disk = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    return Run(handled / seconds, cpu_us, memory_mb, disk)


def check(out: Path, witness: str) -> None:
    """What was sent makes sense: where a witness spoke, it was heard, and it agreed."""
    checks = ds.dataset(out / "checks").to_table(filter=ds.field("witness") == witness)
    assert bool(checks.num_rows) == (witness != "none")
    assert not any(checks["mismatches"].to_pylist())


HEAD: Final = (
    *("books", "N", "processes", "witness", "messages a second", "µs of processor a message"),
    *("memory, MB", "written, MB"),
)


def test_throughput(tmp_path: Path, report: Callable[[str, str], None]) -> None:
    """Books, N and processes against messages a second, processor time, memory and bytes.

    The run of the median pace out of some: this takes long, and a machine may be busy meanwhile.
    """
    rows = []
    for load in LOADS:
        runs = []
        for _ in range(ROUNDS):
            out = tmp_path / "data"
            runs.append(record(out, load, MESSAGES // PART[load.every]))
            check(out, load.witness)
            shutil.rmtree(out)
        median = sorted(runs)[ROUNDS // 2]
        figures = (f"{figure:,.0f}" for figure in median)
        rows.append((f"{load.books:,}", *map(str, load[1:]), *figures))
    report("throughput", table(HEAD, rows))
