"""A week of hourly segments, pruned after each: what is on the disk, in memory, and removed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from booktape.retention.limits import Limit
from booktape.retention.prune import Rules
from retention.week import record_and_prune
from verify.small import verified

HOURS = 168
DAY_S = 86_400


@pytest.mark.bench
def test_a_week(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tapes of a day are kept, and rows of three. It prints each day's end, and promises nothing."""
    rules = Rules(Limit(age_s=3 * DAY_S), Limit(age_s=DAY_S))
    began_s = time.process_time()
    samples = list(record_and_prune(tmp_path, HOURS, 3_600, rules))
    took_s = time.process_time() - began_s
    report = verified(tmp_path)
    with capsys.disabled():
        print(f"\n{HOURS} hours recorded and pruned in {took_s:.0f} s of a core")
        print("| day | MB on the disk | files | MB in memory | tapes removed | segments removed |")
        print("|---|---|---|---|---|---|")
        for day, one in enumerate(samples[23::24], 1):
            disk, memory = one.disk_bytes / 1e6, one.resident_mb
            print(
                f"| {day} | {disk:.2f} | {one.files} | {memory:.0f} | {one.removed_tapes} "
                f"| {one.removed_segments} |"
            )
        print(f"verify at the end: exit {report.exit_code}, {report.segments} segments kept")
