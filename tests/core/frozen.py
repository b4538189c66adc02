"""What a noun must not let happen to itself."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest


def check_frozen(noun: type) -> None:
    """No field of this dataclass can be changed, and it has no dict of its own."""
    empty: object = object.__new__(noun)
    for name in (field.name for field in fields(noun)):
        with pytest.raises(FrozenInstanceError):
            setattr(empty, name, 2)
    assert "__slots__" in vars(noun)
