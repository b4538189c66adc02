"""The exchange's numbers at their borders."""

from __future__ import annotations

import pytest

from booktape.wire import limits


@pytest.mark.parametrize(
    ("limit", "weight"),
    [(1, 5), (100, 5), (101, 25), (500, 25), (501, 50), (1000, 50), (1001, 250), (5000, 250)],
)
def test_weight_of_a_snapshot(limit: int, weight: int) -> None:
    """Weight of `/depth`: 1-100 levels 5, 101-500 25, 501-1000 50, 1001-5000 250."""
    assert limits.depth_weight(limit) == weight


def test_a_minute_pays_for_24_full_snapshots() -> None:
    """The numbers that bound how fast many symbols can start."""
    assert limits.WEIGHT_PER_MINUTE // limits.depth_weight(limits.DEPTH_MAX) == 24
