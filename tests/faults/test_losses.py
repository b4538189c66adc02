"""The coverage lost to a fault is what the fault makes unavoidable, and never more than twice that."""

from __future__ import annotations

import re

import pytest

from docs.generated import DOCS
from faults.losses import BLOCK, CASES, RESYNC_S, SEEDS, Case, losses

MINUTES_S = 100
"""Longer cases run in `make test-long`: a shorter case tests the same."""

SHORT = [
    pytest.param(case, id=case.name, marks=pytest.mark.long if case.forced_s > MINUTES_S else ())
    for case in CASES
    if case.seeds == SEEDS
]


@pytest.mark.parametrize("case", SHORT)
def test_no_fault_costs_more_than_twice_what_it_forces(case: Case) -> None:
    """The loss is exact, because time is virtual; rows are true, and every limit is kept."""
    (unknown_s,) = losses(case, seeds=1)
    assert unknown_s <= 2 * (case.forced_s + RESYNC_S)


def test_the_document_has_every_fault_and_no_ratio_above_two() -> None:
    """`make coverage` measured each fault in several markets, and the worst counts."""
    text = (DOCS / "reliability.md").read_text()
    block = text.split(f"<!-- begin: {BLOCK} -->")[1].split(f"<!-- end: {BLOCK} -->")[0]
    rows = [re.split(r" *\| *", line)[1:-1] for line in block.strip().splitlines()[2:]]
    assert [row[0] for row in rows] == [case.name for case in CASES]
    for case, row in zip(CASES, rows, strict=True):
        forced_s, _, worst_s, _ = (float(number.replace(",", "")) for number in row[1:-1])
        assert forced_s == case.forced_s + RESYNC_S
        assert worst_s <= 2 * forced_s
