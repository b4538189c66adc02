"""Recorded for a week, pruned after each hour: disk and memory are flat, and all that is kept verifies."""

from __future__ import annotations

from pathlib import Path

import pytest

import booktape
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout
from booktape.store.removals import removed_segments
from retention.week import SYMBOLS, record_and_prune
from verify.small import verified

HOUR_S = 3_600


@pytest.mark.parametrize(
    ("segments", "segment_s"),
    [(14, 40), pytest.param(168, HOUR_S, marks=pytest.mark.long)],
)
def test_a_week(tmp_path: Path, segments: int, segment_s: int) -> None:
    """Tapes of a seventh of the time are kept, and rows of three sevenths; the quick one does it in minutes."""
    tapes, whole = segments // 7, segments * 3 // 7
    rules = Rules(Limit(age_s=whole * segment_s), Limit(age_s=tapes * segment_s))
    samples = list(record_and_prune(tmp_path, segments, segment_s, rules))
    half, last = samples[segments // 2], samples[-1]
    full = samples[whole + 1 :]
    # A restart keeps one segment more for a while; without retention it would double.
    assert max(one.disk_bytes for one in full) < 1.4 * min(one.disk_bytes for one in full)
    assert max(one.files for one in full) <= min(one.files for one in full) + 12
    assert last.resident_mb < half.resident_mb + 32
    report = verified(tmp_path)
    assert report.exit_code == 0, report.found.kept
    kept = sealed_tapes(Layout(tmp_path))
    assert len(removed_segments(Layout(tmp_path))) + len(kept) == segments
    assert last.removed_segments == len(report.removed) >= segments - whole - 3
    rows = sum(booktape.open(tmp_path).snapshots(one).to_arrow().num_rows for one in SYMBOLS)
    counts = [report.found.counts_of(symbol) for symbol in SYMBOLS]
    assert sum(one.equal["rows"] + one.verified_before for one in counts) == rows
