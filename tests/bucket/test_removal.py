"""`--ship-keep`: only segments that are in the bucket, and verified, may be removed here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from booktape.ship.removal import remove_shipped
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout, Segment
from booktape.store.removals import read_removal
from store.small_recording import OPENING, record
from support.archives import open_archive, past_of
from support.oracle import SECOND

BUCKET = "s3://bucket/prefix"
NOW_US = round(time.time() * 1e6)


def files(root: Path, segment: Segment) -> list[Path]:
    """All files except the receipt, which stays."""
    found = (path for path in root.rglob(f"*{segment.name}*") if path.is_file())
    return sorted(path for path in found if "removed" not in path.relative_to(root).parts)


@pytest.fixture
def segments(tmp_path: Path) -> list[Segment]:
    """Two segments, the second of which continues the first."""
    record(tmp_path)
    return sealed_tapes(Layout(tmp_path))


def test_shipped_segments_that_are_old_enough_are_removed(
    tmp_path: Path, segments: list[Segment]
) -> None:
    """All files of the segment, and no others. The last segment stays, because the next recording begins with it."""
    first, last = segments
    kept = files(tmp_path, last)
    assert remove_shipped(Layout(tmp_path), BUCKET, segments, NOW_US) == [first]
    assert not files(tmp_path, first)
    receipt = read_removal(Layout(tmp_path), first)
    assert receipt is not None
    assert (receipt.removed, receipt.shipped_to, receipt.verified_by) == ("all", BUCKET, "")
    assert files(tmp_path, last) == kept
    assert not remove_shipped(Layout(tmp_path), BUCKET, segments, NOW_US)


def test_segments_not_shipped_or_too_young_stay(tmp_path: Path, segments: list[Segment]) -> None:
    """Either reason is enough."""
    first, last = segments
    assert not remove_shipped(Layout(tmp_path), BUCKET, [last], NOW_US)
    assert not remove_shipped(Layout(tmp_path), BUCKET, segments, first.start_us)
    assert files(tmp_path, first)


def test_a_removal_that_was_interrupted_is_completed(
    tmp_path: Path, segments: list[Segment]
) -> None:
    """Whatever is gone already, even the tape: the manifest is removed last."""
    layout, (first, _) = Layout(tmp_path), segments
    for path in files(tmp_path, first):
        if path != layout.manifest(first):
            path.unlink()
    assert remove_shipped(layout, BUCKET, segments, NOW_US) == [first]
    assert not files(tmp_path, first)


def test_segments_removed_before_a_failure_are_named(tmp_path: Path) -> None:
    """The first segment that cannot be removed ends the removal: the remaining ones have no hole."""
    record(tmp_path)
    record(tmp_path, tag="second")
    layout = Layout(tmp_path)
    first, second, *_ = segments = sealed_tapes(layout)
    whole = layout.manifest(second).read_bytes()
    layout.manifest(second).write_bytes(b"{")
    assert remove_shipped(layout, BUCKET, segments, NOW_US) == [first]
    assert not layout.removal(second).exists()
    layout.manifest(second).write_bytes(whole)
    assert second in remove_shipped(layout, BUCKET, segments, NOW_US)


def test_a_recording_continues_if_only_the_last_segment_is_left(
    tmp_path: Path, segments: list[Segment]
) -> None:
    """Each symbol continues from the state that it would have had otherwise: epochs, gaps, everything."""
    with open_archive(tmp_path) as archive:
        before = past_of(archive, OPENING.symbols, 10**6 * SECOND)
    assert remove_shipped(Layout(tmp_path), BUCKET, segments, NOW_US)
    with open_archive(tmp_path) as archive:
        assert past_of(archive, OPENING.symbols, 10**6 * SECOND) == before
