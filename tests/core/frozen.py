"""Checks that a value cannot be changed."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest


def check_frozen(value: type) -> None:
    """No field of this dataclass can be changed, and its instances have no `__dict__`."""
    empty: object = object.__new__(value)
    for name in (field.name for field in fields(value)):
        with pytest.raises(FrozenInstanceError):
            setattr(empty, name, 2)
    assert "__slots__" in vars(value)
