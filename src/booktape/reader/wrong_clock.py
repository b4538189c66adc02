"""Which rows and which gaps were stamped by a wrong clock.

Rows are in the order of recording, by epoch and id, whatever their times are. If the times fall back by more than a day,
our clock was wrong either before or after that. Times do not show which; the recording with more rows is taken to be right.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf
from typing import Final, NamedTuple

from booktape.reader.records import Gap
from booktape.reader.times import moment_at, moment_us
from booktape.store.extents import GroupExtent

WRONG_US: Final = 86_400_000_000
"""A day. If times go back by less, the clock was corrected a little, or events were held."""


def fit_gap(gap: Gap, right: Sequence[GroupExtent]) -> Gap:
    """The gap, with times that fit between the last row before it and the first row after it, both of `right`.

    `right` are the row groups that `rightly_stamped` returns.

    A time that is more than WRONG_US outside of these two is replaced by that row's time, or by the other row's if that
    one does not exist. So is the end of a gap that is open and has rows after it: the file that closes it is missing.
    """
    # A binary search: epochs grow from group to group, and a long recording has many groups and many gaps.
    before = bisect_right(right, gap.epoch, key=lambda group: group.last_epoch)
    after = bisect_right(right, gap.epoch, key=lambda group: group.first_epoch)
    last_us = right[before - 1].last_us if before else None
    first_us = right[after].first_us if after < len(right) else None
    earliest_us = -inf if last_us is None else last_us - WRONG_US
    latest_us = inf if first_us is None else first_us + WRONG_US
    start, end = gap.start_time, gap.end_time
    nearest_us = first_us if last_us is None else last_us
    if nearest_us is not None and not earliest_us <= moment_us(start) <= latest_us:
        start = moment_at(nearest_us)
    if first_us is not None and (end is None or not earliest_us <= moment_us(end) <= latest_us):
        end = moment_at(first_us)
    return replace(gap, start_time=start, end_time=end)


class _Choice(NamedTuple):
    """Row groups whose times can all be right: the last group, the number of rows in all of them, and the groups before it."""

    last: GroupExtent
    rows: int
    before: _Choice | None


def rightly_stamped(groups: Sequence[GroupExtent]) -> list[GroupExtent]:
    """The choice of row groups with the most rows whose times never fall back by more than WRONG_US from one to the next.

    `groups` are those of one symbol, in the order of recording.
    """
    if all(one.last_us - WRONG_US <= other.first_us for one, other in pairwise(groups)):
        return list(groups)
    # The best choices so far, sorted by when they end. One that ends later must have more rows, or it is of no use.
    choices: list[_Choice] = []
    for group in groups:
        fitting = bisect_right(choices, group.first_us + WRONG_US, key=lambda one: one.last.last_us)
        before = choices[fitting - 1] if fitting else None
        rows = group.rows + (before.rows if before else 0)
        at = bisect_right(choices, group.last_us, key=lambda one: one.last.last_us)
        if at and choices[at - 1].rows >= rows:
            continue
        useless = bisect_right(choices, rows, lo=at, key=lambda one: one.rows)
        choices[at:useless] = [_Choice(group, rows, before)]
    kept: list[GroupExtent] = []
    best: _Choice | None = choices[-1]
    while best:
        kept.append(best.last)
        best = best.before
    return kept[::-1]
