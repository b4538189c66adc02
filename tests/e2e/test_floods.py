"""Whatever arrives, and however much, the recorder's memory stays below a bound, and recording continues.

The bound is the one that docs/reliability.md states ("Memory"). It is measured by the operating system:
the most that the process ever held (VmHWM).
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest

from e2e.flooding import (
    DEPTH,
    LISTED,
    Flood,
    FloodingExchange,
    Pieces,
    announced,
    answer,
    endless_body,
    endless_fragments,
    events,
    growing,
    gzip_bomb,
    messages,
    nothing,
)
from e2e.tables import PATIENCE_S

PEAK_MIB = 768
"""As stated in docs/reliability.md."""

_LAUNCHER = """
import atexit, sys
def tell():
    with open("/proc/self/status") as status:
        print(next(line for line in status if line.startswith("VmHWM")), file=sys.__stderr__)
atexit.register(tell)
from booktape.cli import main
main()
"""

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(
        not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak"
    ),
]


async def recording(exchange: FloodingExchange, out: Path) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _LAUNCHER, "record", "BTCUSDT", "--every", "1", "--out", str(out)),
        *("--rest-url", f"http://{exchange.address}", "--ws-url", f"ws://{exchange.address}"),
        *("--witness", "none", "--pulse", "0"),
        stderr=PIPE,
        env={**os.environ, "NO_COLOR": "1"},
    )


async def heard(process: Process, words: str, times: int) -> str:
    """The log, once it contains this text this often."""
    assert process.stderr is not None
    log = ""
    async with asyncio.timeout(PATIENCE_S):
        while log.count(words) < times:
            line = await process.stderr.readline()
            assert line, f"it ended without saying {words!r}:\n{log}"
            log += line.decode()[:500]
    return log


async def ended(process: Process) -> tuple[int | None, float, str]:
    """Stop it; returns its exit code, its peak memory in MiB, and the rest of its log."""
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(PATIENCE_S):
        _, err = await process.communicate()
    rest = err.decode()
    peak = re.search(r"VmHWM:\s+(\d+) kB", rest)
    assert peak, rest
    return process.returncode, int(peak[1]) / 1024, rest


HONEST = answer(LISTED)
# Random, so they take time to compress: more arrives than can be written.
GROWING = messages(lambda: growing(levels=400_000))
GARBAGE = messages(lambda: iter([random.Random(1).randbytes(20 << 20)] * 1_000))
BIG_EVENTS = messages(lambda: events(levels=50_000))


class Case(NamedTuple):
    """The exchange's answers, and what the log must say about them, with the least number of times."""

    listed: Flood
    depth: Flood
    stream: Flood
    says: str
    times: int = 2


CASES = {
    "a gzip bomb": Case(gzip_bomb(), nothing, nothing, "more than 64 MiB"),
    "an endless list": Case(endless_body(), nothing, nothing, "more than 64 MiB"),
    "a gzip bomb of a depth": Case(HONEST, gzip_bomb(), nothing, "more than 8 MiB"),
    "an endless depth": Case(HONEST, endless_body(), nothing, "more than 8 MiB"),
    "a bomb of an error": Case(HONEST, gzip_bomb(b"500 Broken"), nothing, "answered 500"),
    "an endless error": Case(HONEST, endless_body(b"500 Broken"), nothing, "answered 500"),
    "a message of 1 GB": Case(HONEST, nothing, announced(1 << 30), "more than 32 MiB"),
    "endless fragments": Case(HONEST, nothing, endless_fragments, "more than 32 MiB"),
    "a queue full of garbage": Case(HONEST, nothing, GARBAGE, "malformed message", 40),
    "a book without end": Case(HONEST, answer(DEPTH), GROWING, "reason=too_large", 1),
    "events that do not chain": Case(HONEST, nothing, BIG_EVENTS, "ending a connection"),
}


QUICK = {"a gzip bomb", "a message of 1 GB"}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=() if name in QUICK else pytest.mark.long)
        for name, case in CASES.items()
    ],
)
async def test_memory_is_bounded(tmp_path: Path, case: Case) -> None:
    """Excess data is dropped and reported, and another attempt follows; the sealed files are sound."""
    exchange = FloodingExchange(case.stream, case.depth, case.listed)
    async with exchange.serving():
        process = await recording(exchange, tmp_path)
        log = await heard(process, case.says, case.times)
        code, peak_mib, rest = await ended(process)
        assert code == 0, log + rest
        assert peak_mib < PEAK_MIB


async def test_a_loss_is_declared(tmp_path: Path) -> None:
    """A message is too long on the connection of a known book: a gap, and then the book is known again."""
    known, never = asyncio.Event(), asyncio.Event()

    def first() -> Pieces:
        yield known
        yield from announced(1 << 30)()

    def stream() -> Pieces:
        return iter([never]) if known.is_set() else first()

    async with FloodingExchange(stream, answer(DEPTH), HONEST).serving() as exchange:
        process = await recording(exchange, tmp_path)
        log = await heard(process, "book synced", 1)
        known.set()
        log += await heard(process, "more than 32 MiB", 1)
        log += await heard(process, "book synced", 1)
        code, _, rest = await ended(process)
        assert code == 0, log + rest
    gaps = pq.read_table(tmp_path / "gaps").to_pylist()
    assert [gap["reason"] for gap in gaps] == ["disconnected"]
