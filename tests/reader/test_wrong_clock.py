"""Which rows and which times of gaps were stamped by a wrong clock."""

from __future__ import annotations

from itertools import combinations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.reader.records import Gap
from booktape.reader.times import moment_at
from booktape.reader.wrong_clock import WRONG_US, fit_gap, rightly_stamped
from booktape.store.extents import GroupExtent

DAY: Final = 86_400_000_000


def group(first_us: int, last_us: int, epoch: int = 1, rows: int = 10) -> GroupExtent:
    return GroupExtent(0, rows, first_us, last_us, epoch, epoch, epoch * 100, epoch * 100 + rows)


def gap(epoch: int, start_us: int, end_us: int | None) -> Gap:
    start, end = moment_at(start_us), None if end_us is None else moment_at(end_us)
    return Gap("X", epoch, start, end, 0, 0, 0, "stopped")


def test_a_clock_that_was_never_far_off_leaves_nothing_out() -> None:
    """Held events, or a clock corrected by minutes, are not a wrong clock."""
    groups = [group(0, 100), group(90, 200), group(200 - WRONG_US, 300, epoch=2)]
    assert rightly_stamped(groups) == groups
    assert rightly_stamped([]) == []


def test_the_fewest_rows_are_left_out() -> None:
    """If one recording's clock was ahead or behind, only its rows are left out; the longer recording counts."""
    first, ahead = group(0, 10, 1), group(400 * DAY, 400 * DAY + 10, 2)
    back = group(20, 30, 3)
    assert rightly_stamped([first, ahead, back]) == [first, back]
    behind = group(-400 * DAY, -400 * DAY + 5, 2, rows=3)
    assert rightly_stamped([first, behind, back]) == [first, back]
    long_ahead = group(400 * DAY, 401 * DAY, 2, rows=600)
    assert rightly_stamped([first, long_ahead, back]) == [first, long_ahead]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(1, 9)), min_size=1, max_size=7
    )
)
def test_no_other_choice_keeps_more(ranges: list[tuple[int, int, int]]) -> None:
    """Among all that never fall back by more than a day."""
    groups = [
        group(2 * DAY * at, 2 * DAY * (at + length), number, rows)
        for number, (at, length, rows) in enumerate(ranges)
    ]

    def fits(chosen: tuple[GroupExtent, ...]) -> bool:
        reached = -(2**62)
        for one in chosen:
            if one.first_us < reached - WRONG_US:
                return False
            reached = one.last_us
        return True

    kept = rightly_stamped(groups)
    assert fits(tuple(kept))
    most = max(
        sum(one.rows for one in chosen)
        for size in range(len(groups) + 1)
        for chosen in combinations(groups, size)
        if fits(chosen)
    )
    assert sum(one.rows for one in kept) == most


def test_a_gap_of_a_wrong_clock_lies_between_the_rows_around_it() -> None:
    """Whichever of its ends that clock stamped; any other gap keeps its times."""
    first, ahead, back = group(0, 10, 1), group(400 * DAY, 400 * DAY + 10, 2), group(20, 30, 3)
    right = rightly_stamped([first, ahead, back])
    between = moment_at(10), moment_at(20)
    into, out = gap(1, 11, 400 * DAY), gap(2, 400 * DAY + 10, 400 * DAY + 10)
    assert (fit_gap(into, right).start_time, fit_gap(into, right).end_time) == (
        moment_at(11),
        moment_at(20),
    )
    assert (fit_gap(out, right).start_time, fit_gap(out, right).end_time) == between
    for usual in (gap(1, 12, 19), gap(3, 31, None), gap(3, 31, 5 * DAY)):
        assert fit_gap(usual, right) == usual


def test_a_time_before_the_last_row_is_wrong_too() -> None:
    """The clock was behind at the end of the recording, or while the book was not known."""
    first, back = group(0, 10, 1), group(20, 30, 3)
    at_the_end = fit_gap(gap(1, -400 * DAY, None), [first])
    assert (at_the_end.start_time, at_the_end.end_time) == (moment_at(10), None)
    between = fit_gap(gap(1, 11, -400 * DAY), [first, back])
    assert (between.start_time, between.end_time) == (moment_at(11), moment_at(20))


def test_a_gap_with_rows_after_it_is_over() -> None:
    """It is open in one file, and the file that closes it is missing."""
    first, back = group(0, 10, 1), group(20, 30, 2)
    assert fit_gap(gap(1, 11, None), [first, back]).end_time == moment_at(20)
    assert fit_gap(gap(2, 31, None), [first, back]).end_time is None


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_gap_without_rows_around_it_keeps_its_times(epoch: int) -> None:
    """There is nothing to compare them with."""
    untouched = gap(epoch, 5, 400 * DAY)
    assert fit_gap(untouched, []) == untouched
