"""What other streams say is a value as well, and so is what came of comparing it."""

from __future__ import annotations

import pytest

from booktape.core.checks import BookTicker, Check, Difference, TopLevels
from core.frozen import check_frozen


@pytest.mark.parametrize("noun", [Check, Difference])
def test_a_proof_cannot_be_changed(noun: type) -> None:
    """What was found is history; and neither has a dict of its own."""
    check_frozen(noun)


@pytest.mark.parametrize("noun", [BookTicker, TopLevels])
def test_what_is_reported_is_small(noun: type) -> None:
    """It is made for every message: it has no dict of its own."""
    assert "__slots__" in vars(noun)


def test_a_check_is_one_comparison_that_passed() -> None:
    """Unless something else is said."""
    check = Check("BTCUSDT", 1, 10, "rest", 5)
    assert (check.differences, check.comparisons) == ((), 1)
