"""A silent fault is detected all the same, within a bound, and the gap begins where proof ended."""

from __future__ import annotations

import re

import pytest

from docs.generated import DOCS
from faults.detection import BLOCK, CASES, Case, detections


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}, {case.settings}")
def test_silence_is_seen_within_its_bound(case: Case) -> None:
    """The gap begins at the last evidence: not after the fault, except for messages already on their way."""
    (seen,) = detections(case, seeds=1)
    assert 0 < seen.lost_s <= case.bound_s
    assert seen.begins_s <= case.begins_by_s


def test_the_document_has_every_case_within_its_bound() -> None:
    """`make coverage` measured each case in several markets, and the worst counts."""
    text = (DOCS / "reliability.md").read_text()
    block = text.split(f"<!-- begin: {BLOCK} -->")[1].split(f"<!-- end: {BLOCK} -->")[0]
    rows = [re.split(r" *\| *", line)[1:-1] for line in block.strip().splitlines()[2:]]
    assert [row[0] for row in rows] == [case.name for case in CASES]
    for case, row in zip(CASES, rows, strict=True):
        bound_s, _, worst_s, _ = (float(number) for number in row[1:5])
        assert bound_s == case.bound_s
        assert worst_s <= bound_s
