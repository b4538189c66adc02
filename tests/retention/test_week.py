"""A recorder runs for a week, pruned after each segment, its days compacted: disk and memory stay flat, and
everything verifies."""

from __future__ import annotations

from pathlib import Path

import pytest

import booktape
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout
from booktape.store.removals import removed_segments
from retention.week import DAY_S, SYMBOLS, Folders, Plan, record_and_prune
from verify.small import verified

WEEK_DAYS = 7
RULES = Rules(Limit(age_s=2 * DAY_S), Limit(age_s=DAY_S))
DAYS = Rules(Limit(age_s=3 * DAY_S))


@pytest.mark.parametrize(
    ("days", "segment_s", "event_s"),
    [(5, 43_200, 4_800), pytest.param(WEEK_DAYS, 3_600, 20, marks=pytest.mark.long)],
)
def test_a_week_with_retention_stays_flat_and_verifies(
    tmp_path: Path, days: int, segment_s: int, event_s: int
) -> None:
    """Tapes are kept for a day, rows for two, files of a day for three; the quick test is shorter, with fewer events."""
    folders, a_day = Folders.under(tmp_path), DAY_S // segment_s
    plan = Plan(days * a_day, segment_s, event_s, RULES, DAYS)
    samples = list(record_and_prune(folders, plan))
    half, last = samples[len(samples) // 2], samples[-1]
    full = samples[3 * a_day + 1 :]
    # A restart keeps one more segment for a while; without retention the archive would double.
    assert max(one.disk_bytes for one in full) < 1.4 * min(one.disk_bytes for one in full)
    assert max(one.files for one in full) <= min(one.files for one in full) + 30
    assert last.resident_mb < half.resident_mb + 32
    assert last.removed_segments >= plan.segments - 2 * a_day - 3
    assert last.copied_days >= days - 1
    assert last.removed_days >= last.copied_days - 5 > 0
    for folder in folders:
        report = verified(folder)
        assert report.exit_code == 0, report.found.kept
        rows = sum(booktape.open(folder).snapshots(one).to_arrow().num_rows for one in SYMBOLS)
        counts = [report.found.counts_of(symbol) for symbol in SYMBOLS]
        assert sum(one.equal["rows"] + one.verified_before for one in counts) == rows > 0
    there = Layout(folders.archive)
    assert len(removed_segments(there)) + len(sealed_tapes(there)) == plan.segments
    _assert_the_copy_has_the_same_rows(folders)


def _assert_the_copy_has_the_same_rows(folders: Folders) -> None:
    """For all the time that both cover."""
    archive, days = map(booktape.open, folders)
    for symbol in SYMBOLS:
        first = archive.snapshots(symbol).to_arrow()["receive_time"][0].as_py()
        last = days.snapshots(symbol).to_arrow()["receive_time"][-1].as_py()
        assert (last - first).total_seconds() > DAY_S / 2
        both = [one.snapshots(symbol, first, last).to_arrow() for one in (archive, days)]
        assert both[0].equals(both[1])
