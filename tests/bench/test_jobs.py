"""How much faster `rebuild` and `verify` are with two jobs than with one.

    make bench BENCH=tests/bench/test_jobs.py

32 segments of a minute each, of the market of `lifelike.py`. The time includes the start of the processes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest

from bench.lifelike import LIMIT, START_NS, SYMBOL, lifelike
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import SegmentStart
from booktape.reader.archive_files import ArchiveFiles
from booktape.rerecord.rebuild import RebuildRequest, rebuild
from booktape.verify.order import Scope
from booktape.verify.run import verify
from booktape.verify.stored_files import FolderFiles
from support.archives import open_archive
from support.rotation import finish, follow, rotate

SEGMENTS = 32
SEGMENT_S = 60


def record(root: Path) -> None:
    with open_archive(root) as archive:
        start = SegmentStart(START_NS, "bench", "sim", 10, LIMIT, (SYMBOL,), audit_s=0)
        recording = archive.begin(start, "bench")
        sealing: list[Future[None]] = []
        for frame in lifelike(SEGMENTS * SEGMENT_S - 1):
            if frame.received_ns >= START_NS + (len(sealing) + 1) * SEGMENT_S * 10**9:
                sealing.append(rotate(recording, frame.received_ns))
            follow(recording, frame)
        for sealed in [*sealing, finish(recording, STOPPED)]:
            sealed.result()


def seconds(work: Callable[[int], object], jobs: int) -> float:
    began = time.perf_counter()
    work(jobs)
    return time.perf_counter() - began


@pytest.mark.bench
def test_two_jobs_beside_one(tmp_path: Path) -> None:
    """The ratio of both times, and how busy the machine was with other things."""
    root = tmp_path / "data"
    record(root)
    source = ArchiveFiles.find(root)
    assert len(source.tapes()) == SEGMENTS

    def rebuild_with(jobs: int) -> object:
        return rebuild(RebuildRequest(source, tmp_path / f"out{jobs}", 1), jobs)

    works: dict[str, Callable[[int], object]] = {
        "rebuild": rebuild_with,
        "verify": partial(verify, FolderFiles(root), Scope()),
    }
    for name, work in works.items():
        one_s, two_s = seconds(work, 1), seconds(work, 2)
        print(
            f"\n{name} {SEGMENTS} segments: {one_s:.1f} s with one job, {two_s:.1f} s with two: "
            f"{one_s / two_s:.2f} times as fast (load of the machine {os.getloadavg()[0]:.0f})"
        )
