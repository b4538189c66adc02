"""Passed checks are one row a minute, failed checks one row each."""

from __future__ import annotations

from booktape.checks.compare import Comparison
from booktape.checks.summary import CheckSummary
from booktape.core.checks import Check, Difference
from support.oracle import SECOND

WRONG = Difference("bid", 99.0, 1.0, 2.0)
MINUTE = 60 * SECOND


def tally() -> CheckSummary:
    return CheckSummary("BTCUSDT", "depth20")


def add(
    to: CheckSummary, update_id: int, at_ns: int, levels: int = 40, wrong: int = 0
) -> list[Check]:
    return list(to.add(Comparison(update_id, levels, (WRONG,) * wrong), at_ns))


def check(at_ns: int, update_id: int, levels: int, count: int = 1, wrong: int = 0) -> Check:
    return Check("BTCUSDT", at_ns, update_id, "depth20", levels, (WRONG,) * wrong, count)


def test_passed_checks_are_summed_until_the_next_minute() -> None:
    """The sum has the time and id of the last; the check that ends a minute is the first of the next."""
    passed = tally()
    assert add(passed, 11, 0) == []
    assert add(passed, 12, MINUTE - 1, levels=3) == []
    assert add(passed, 13, MINUTE) == [check(MINUTE - 1, 12, 43, 2)]
    assert add(passed, 14, 2 * MINUTE) == [check(MINUTE, 13, 40)]


def test_a_failure_is_reported_at_once() -> None:
    """It neither counts among the passed checks nor ends their minute."""
    passed = tally()
    add(passed, 11, 1)
    assert add(passed, 12, 2, wrong=1) == [check(2, 12, 40, wrong=1)]
    add(passed, 13, 3)
    assert list(passed.close()) == [check(3, 13, 80, 2)]


def test_a_failure_in_another_minute_ends_the_minute() -> None:
    """Both rows come in the order in which things happened."""
    passed = tally()
    add(passed, 11, 1)
    assert add(passed, 12, MINUTE, wrong=1) == [check(1, 11, 40), check(MINUTE, 12, 40, wrong=1)]
    assert list(passed.close()) == []


def test_a_clock_that_was_set_back_ends_the_minute_too() -> None:
    """Any other minute counts as a new one."""
    passed = tally()
    add(passed, 11, MINUTE)
    assert add(passed, 12, MINUTE - 1) == [check(MINUTE, 11, 40)]


def test_closing_reports_the_sum_once() -> None:
    """This happens at the end of a segment."""
    passed = tally()
    assert list(passed.close()) == []
    add(passed, 11, 1)
    assert list(passed.close()) == [check(1, 11, 40)]
    assert list(passed.close()) == []
