"""Messages of other streams are values too, and so is the result of comparing them."""

from __future__ import annotations

from booktape.core.checks import Check


def test_a_check_is_one_comparison_that_passed() -> None:
    """That is the default."""
    check = Check("BTCUSDT", 1, 10, "rest", 5)
    assert (check.differences, check.comparisons) == ((), 1)
