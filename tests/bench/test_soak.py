"""A long recording under load and faults: memory, tasks and descriptors must not grow.

`BOOKTAPE_SOAK_S` says for how long (default a minute). It prints what it saw, and the slope of the
resident memory; it promises nothing about time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from booktape.recorder import Recorder, Settings
from booktape.store.tape import read_lines
from booktape.wire.venues import Venue
from e2e.promises import rows_of

SYMBOLS = tuple(f"S{number}USDT" for number in range(50))
FAULTS = "drop=0.0002,close=400,rest-error=0.05"  # in seconds of the exchange
SPEED = 25.0
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


async def soak(out: Path) -> list[tuple[float, float, int, int, int, int]]:
    """Seconds, MB, descriptors, tasks, frames and Python objects, every few seconds."""
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
    work = asyncio.create_task(recorder.run())
    seen: list[tuple[float, float, int, int, int, int]] = []
    for second in range(0, int(SOAK_S), 2):
        await asyncio.sleep(2)
        status = recorder.status()
        frames = status.frames if status else 0
        gc.collect()
        tasks, objects = len(asyncio.all_tasks()), len(gc.get_objects())
        seen.append((second, resident_mb(), descriptors(), tasks, frames, objects))
    recorder.stop()
    await work
    simulator.terminate()
    await simulator.wait()
    return seen


@pytest.mark.bench
def test_soak(tmp_path: Path) -> None:
    """Files are whole at the end; the figures are for a person to judge."""
    seen = asyncio.run(soak(tmp_path))
    later = np.array(seen[len(seen) // 3 :])
    slope = np.polyfit(later[:, 0], later[:, 1], 1)[0] * 3_600
    print(f"\n{seen[-1][4] / SOAK_S:,.0f} frames/s over {SOAK_S:.0f} s, {len(SYMBOLS)} symbols")
    print(f"memory {later[0, 1]:.0f} → {later[-1, 1]:.0f} MB, slope {slope:+.0f} MB/h")
    every = max(1, len(seen) // 15)
    print("memory over time, MB:", *(f"{moment[1]:.0f}" for moment in seen[::every]))
    print("objects over time:", *(f"{moment[5]:,}" for moment in seen[::every]))
    print(f"descriptors {later[:, 2].min():.0f}-{later[:, 2].max():.0f}")
    print(f"tasks {later[:, 3].min():.0f}-{later[:, 3].max():.0f}")
    assert set(rows_of(tmp_path)) == set(SYMBOLS)
    for tape in tmp_path.glob("tape/*/*.zst"):
        assert sum(1 for _ in read_lines(tape)) > 0
    assert not list((tmp_path / "unsealed").iterdir())
    shutil.rmtree(tmp_path)
