"""What short segments cost in bytes, and what they spare: the wait for rows, and the recovery after a kill.

The hour that is like a real one (`lifelike.py`), recorded by the recorder's own store in segments of several lengths. What a
kill leaves is a segment that was written up to its last second, and not sealed.

Promises nothing: `make bench` prints it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from bench.lifelike import LIMIT, START_NS, SYMBOL
from bench.recorded import SECONDS, lifelike_hour
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import SegmentStart
from booktape.store.layout import segment_end_ns
from docs.generated import table
from support.archives import open_archive
from support.rotation import finish, follow, rotate

pytestmark = pytest.mark.bench

EVERY: Final = (10, 100)
LENGTHS_S: Final = (3_600, 900, 300, 60)


def record(root: Path, every: int, length_s: int) -> None:
    """The whole hour, in segments of this length."""
    with open_archive(root) as archive:
        start = SegmentStart(START_NS, "bench", "sim", every, LIMIT, (SYMBOL,), audit_s=0)
        recording = archive.begin(start, "bench")
        ends_ns = segment_end_ns(START_NS, length_s * 10**9)
        for frame in lifelike_hour():
            if frame.received_ns >= ends_ns:
                rotate(recording, ends_ns).result()
                ends_ns = segment_end_ns(ends_ns, length_s * 10**9)
            follow(recording, frame)
        finish(recording, STOPPED).result()


def recovery_s(root: Path, every: int, length_s: int) -> float:
    """Seconds of processor time that the next start takes for a segment of this length, which a kill has left."""
    with open_archive(root) as archive:
        start = SegmentStart(START_NS, "bench", "sim", every, LIMIT, (SYMBOL,), audit_s=0)
        recording = archive.begin(start, "bench")
        for frame in lifelike_hour():
            if frame.received_ns >= START_NS + length_s * 10**9:
                break
            follow(recording, frame)
        recording.writer.flush()
    began_s = time.process_time()
    with open_archive(root) as archive:
        took_s = time.process_time() - began_s
        assert len(archive.recovered) == 1
    return took_s


def megabytes(root: Path, ending: str) -> float:
    """Of all sealed files with this ending."""
    return sum(path.stat().st_size for path in root.rglob(f"*{ending}")) / 1e6


def test_the_length_of_a_segment(tmp_path: Path, report: Callable[[str, str], None]) -> None:
    """Bytes of the whole hour, and seconds of one recovery, at each length."""
    rows = []
    for every in EVERY:
        longest = 0.0
        for length_s in LENGTHS_S:
            root = tmp_path / f"{every}-{length_s}"
            record(root, every, length_s)
            stored, tape = megabytes(root, ".parquet"), megabytes(root, ".jsonl.zst")
            longest = longest or stored + tape
            took_s = recovery_s(tmp_path / f"{root.name}-killed", every, min(length_s, SECONDS))
            more = (stored + tape) / longest - 1
            figures = (f"{stored:,.1f}", f"{tape:,.1f}", f"{more:.0%}", f"{took_s:.1f}")
            rows.append((str(every), f"{length_s // 60} min", *figures))
    head = (
        "N",
        "segment",
        "rows and tables, MB",
        "tape, MB",
        "more than in one",
        "s of processor to recover one",
    )
    report("segment length", table(head, rows))
