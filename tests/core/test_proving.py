"""What other streams say is a value as well, and so is what came of comparing it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from booktape.core.proving import BookTicker, Check, Difference, TopLevels


@pytest.mark.parametrize("noun", [BookTicker, Check, Difference, TopLevels])
def test_a_proof_cannot_be_changed(noun: type) -> None:
    """Neither what was said nor what was found; and none has a dict of its own."""
    empty: object = object.__new__(noun)
    for name in (field.name for field in fields(noun)):
        with pytest.raises(FrozenInstanceError):
            setattr(empty, name, 2)
    assert "__slots__" in vars(noun)


def test_a_check_is_one_comparison_that_passed() -> None:
    """Unless something else is said."""
    check = Check("BTCUSDT", 1, 10, "rest", 5)
    assert (check.differences, check.comparisons) == ((), 1)
