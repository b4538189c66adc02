"""A message of another stream is a value as well, and so is the result of comparing it."""

from __future__ import annotations

from booktape.core.checks import Check


def test_a_check_is_one_comparison_that_passed() -> None:
    """Unless something else is said."""
    check = Check("BTCUSDT", 1, 10, "rest", 5)
    assert (check.differences, check.comparisons) == ((), 1)
