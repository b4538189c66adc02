"""A long recording under load and faults: memory, tasks and descriptors must not grow.

`BOOKTAPE_SOAK_S` says for how long (default a minute). It prints what it saw, and the slope of the
resident memory, with and without what is known to come and go: rows that are staged, what Arrow holds,
the levels of the books, and what malloc keeps of what was freed. It promises nothing about time.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import re
import shutil
import sys
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from booktape.processes import tuning
from booktape.recorder.recorder import Recorder
from booktape.recorder.settings import Settings
from booktape.store.tape_reader import read_lines
from booktape.wire.endpoints import Venue
from e2e.inside import session_of
from e2e.promises import rows_of

SYMBOLS = tuple(f"S{number}USDT" for number in range(50))
FAULTS = "drop=0.0002,close=400,rest-error=0.05"  # in seconds of the exchange
SPEED = 25.0
MB: Final = 1 << 20
LEVEL_BYTES: Final = 16
SOAK_S = float(os.environ.get("BOOKTAPE_SOAK_S", "60"))


def resident_mb() -> float:
    """Resident memory of this process."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1_024


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


class MallInfo(ctypes.Structure):
    """What glibc says of its heaps, those of all threads together."""

    names: ClassVar = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")
    _fields_: ClassVar = [
        (name, ctypes.c_size_t) for name in (*names, "uordblks", "fordblks", "keepcost")
    ]


def freed_mb() -> float:
    """What was freed and is kept by malloc; 0 where malloc does not say."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return 0.0
    ask.restype = MallInfo
    return float(ask().fordblks) / MB


class Moment(NamedTuple):
    """What was seen at one time. Memory in MB."""

    second: float
    resident: float
    staged: float
    arrow: float
    books: float
    freed: float
    descriptors: int
    tasks: int
    frames: int
    objects: int

    @property
    def unexplained(self) -> float:
        """Resident memory without what is known to come and go."""
        return self.resident - self.staged - self.arrow - self.books - self.freed


def look(recorder: Recorder, second: float) -> Moment:
    """How things stand."""
    status = recorder.status()
    return Moment(
        second,
        resident_mb(),
        session_of(recorder).writer._staged_bytes / MB if status else 0.0,
        pa.total_allocated_bytes() / MB,
        sum(book.top.levels for book in status.books if book.top) * LEVEL_BYTES / MB
        if status
        else 0.0,
        freed_mb(),
        descriptors(),
        len(asyncio.all_tasks()),
        status.records if status else 0,
        len(gc.get_objects()),
    )


async def soak(out: Path) -> list[Moment]:
    """What was seen every few seconds."""
    simulator = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "booktape", "simulate", "--port", "0", "--speed", str(SPEED)),
        *("--symbols", *SYMBOLS, "--faults", FAULTS),
        stdout=asyncio.subprocess.PIPE,
    )
    assert simulator.stdout
    line = (await simulator.stdout.readline()).decode()
    rest_url, ws_url = re.findall(r"\S+://\S+", line)
    recorder = Recorder(
        Settings(
            Venue("soak", rest_url, ws_url),
            SYMBOLS,
            10,
            out,
            depth=100,
            connections=2,
            segment_s=10,
            connection_life_s=10,
        )
    )
    tuning.tune_interpreter()  # as the command does: what dies old is not collected here either
    work = asyncio.create_task(recorder.run())
    seen: list[Moment] = []
    for second in range(0, int(SOAK_S), 2):
        await asyncio.sleep(2)
        seen.append(look(recorder, second))
    recorder.stop()
    await work
    simulator.terminate()
    await simulator.wait()
    return seen


def tell(seen: list[Moment]) -> None:
    """The figures; slopes are of the last two thirds, when the first segments are over."""
    later = seen[len(seen) // 3 :]
    print(f"\n{seen[-1].frames / SOAK_S:,.0f} frames/s over {SOAK_S:.0f} s, {len(SYMBOLS)} symbols")
    every = max(1, len(seen) // 15)
    for what in ("resident", "staged", "arrow", "books", "freed", "unexplained"):
        found = [getattr(moment, what) for moment in later]
        slope = np.polyfit([moment.second for moment in later], found, 1)[0] * 3_600
        course = " ".join(f"{getattr(moment, what):.0f}" for moment in seen[::every])
        print(f"{what:12} {slope:+6.0f} MB/h, MB over time: {course}")
    print("objects over time:", *(f"{moment.objects:,}" for moment in seen[::every]))
    for what in ("descriptors", "tasks"):
        found = [getattr(moment, what) for moment in later]
        print(f"{what} {min(found)}-{max(found)}")


@pytest.mark.bench
def test_soak(tmp_path: Path) -> None:
    """Files are whole at the end; the figures are for a person to judge."""
    seen = asyncio.run(soak(tmp_path))
    tell(seen)
    assert set(rows_of(tmp_path)) == set(SYMBOLS)
    for tape in tmp_path.glob("tape/*/*.zst"):
        assert sum(1 for _ in read_lines(tape)) > 0
    assert not list((tmp_path / "unsealed").iterdir())
    shutil.rmtree(tmp_path)
