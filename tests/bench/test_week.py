"""A week of hourly segments, pruned after each, its days compacted: what is on the disk, in memory, and removed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from retention.test_week import DAYS, RULES, WEEK_DAYS
from retention.week import Folders, Plan, record_and_prune
from verify.small import verified


@pytest.mark.bench
def test_a_week(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tapes of a day are kept, rows of two, and files for each day for three. It prints each day's end, and promises nothing."""
    folders = Folders.under(tmp_path)
    plan = Plan(WEEK_DAYS * 24, 3_600, 20, RULES, DAYS)
    began_s = time.process_time()
    samples = list(record_and_prune(folders, plan))
    took_s = time.process_time() - began_s
    reports = [verified(folder) for folder in folders]
    with capsys.disabled():
        print(f"\n{plan.segments} hours recorded, pruned and compacted in {took_s:.0f} s of a core")
        print(
            "| day | MB on the disk | files | MB in memory | tapes removed | segments removed | days copied "
            "| days removed |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for day, one in enumerate([*samples[24::24], samples[-1]], 1):
            disk, memory = one.disk_bytes / 1e6, one.resident_mb
            print(
                f"| {day} | {disk:.2f} | {one.files} | {memory:.0f} | {one.removed_tapes} "
                f"| {one.removed_segments} | {one.copied_days} | {one.removed_days} |"
            )
        for folder, report in zip(folders, reports, strict=True):
            print(f"verify {folder.name}: exit {report.exit_code}, {report.segments} segments kept")
