"""`booktape ship` says which segments cannot be shipped; tests/bucket has the rest."""

from __future__ import annotations

from pathlib import Path

from booktape.commands.ship import lost_segments
from booktape.ship.receipts import write_receipt
from booktape.store.layout import Layout
from booktape.store.removals import Removal, write_removal
from bucket.segments import seal

BUCKET = "s3://bucket/prefix"


def test_a_segment_whose_tape_is_lost_cannot_be_shipped(tmp_path: Path) -> None:
    """Unless it is in the bucket already, or the tape was removed on purpose."""
    layout = Layout(tmp_path)
    lost, shipped, removed, _ = (seal(tmp_path, number) for number in range(1, 5))
    for segment in (lost, shipped, removed):
        layout.tape(segment).unlink()
    write_receipt(layout, BUCKET, shipped)
    write_removal(layout, removed, Removal(removed.name, "tape", ""))
    assert lost_segments(tmp_path, BUCKET) == [lost]
    assert lost_segments(tmp_path, "s3://another") == [lost, shipped]
