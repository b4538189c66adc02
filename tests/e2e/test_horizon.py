"""A falling market: the horizon claims no more than is true, and moves before the price reaches it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from e2e.falling import Course, record_fall

# A small one; `make proofs` has the fall through 12,000 levels a side. 500 levels a side are
# requested, of which at most 250 may be used up before more are known.
COURSE = Course(levels=1_200, depth=500, top=100, lasts_s=200, depth_bps=400, ids_mu=1.5)


def test_the_best_levels_stay_known_however_far_the_price_falls(tmp_path: Path) -> None:
    """The best 100 true levels of each side, in every row, on the way down and up again."""
    known = record_fall(COURSE, 900, tmp_path)
    assert known.sides > 150
    assert (known.least, known.short, known.untrue) == (100, 0, 0)
    assert known.requests >= 3


def test_without_refresh_the_rows_admit_that_they_do_not_know(tmp_path: Path) -> None:
    """The price falls through the horizon: no level is claimed as known, and the best shown are not the true ones."""
    course = replace(COURSE, lasts_s=COURSE.lasts_s / 2)
    known = record_fall(course, 0, tmp_path)
    assert known.least == 0
    assert known.short > known.sides / 4
    assert 0 < known.untrue <= known.short
    assert known.requests == 1
