"""Numbers as the exchange writes them: the text's own value, and the double that must stand for it.

The exchange caps a size at the largest value that eight decimals leave room for, 92233720368.54775807,
and means that "or more" (2022-05-23). No double is this number; the nearest one stands for it.

A stored double is right when it is the nearest one to the text (Python's `float` rounds correctly)
and when the shortest text of that double has the text's value: then nothing was lost on the way.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Final, NamedTuple

CAP: Final = Decimal("92233720368.54775807")

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch
_ID_MAX: Final = 2**63 - 1
_REMEMBERED: Final = 200_000


class NoNumber(ValueError):
    """A value that the exchange's form does not allow in this place."""


class Number(NamedTuple):
    """`exact` says that the double, printed, has the text's value again."""

    value: Decimal
    double: float
    exact: bool

    @property
    def is_capped(self) -> bool:
        """Whether it says "or more"."""
        return self.value == CAP


_remembered: dict[str, Number] = {}


def number(said: object) -> Number:
    """A finite number that is not negative, from a JSON text or number. Raises NoNumber."""
    if isinstance(said, str):
        found = _remembered.get(said)
        if found is None:
            # Prices come again and again; sizes rarely do, so the memory is emptied now and then.
            if len(_remembered) >= _REMEMBERED:
                _remembered.clear()
            found = _remembered[said] = _parse(said)
        return found
    if isinstance(said, bool) or not isinstance(said, int | Decimal):
        raise NoNumber(repr(said))
    return _parse(str(said))


def _parse(text: str) -> Number:
    if not _NUMBER(text):
        raise NoNumber(text)
    double = float(text)
    if not isfinite(double):
        raise NoNumber(text)
    try:
        value = Decimal(text)
    except InvalidOperation:
        return Number(Decimal(0), 0.0, exact=False)  # an exponent of -10^18 or less
    if value < 0 and double:
        raise NoNumber(text)
    # What is too small for a double is zero to whoever has doubles.
    return Number(value if double else Decimal(0), double, Decimal(repr(double)) == value)


def from_double(said: object) -> Number:
    """A number that was a double when it was written: that of the cap stands for the cap. Raises NoNumber."""
    found = number(said)
    return number(str(CAP)) if found.double == float(CAP) else found


def as_double(value: Decimal) -> Decimal:
    """The value as somebody writes it who has doubles."""
    return Decimal(repr(float(value)))


def price(said: object) -> Number:
    """A number above zero. Raises NoNumber."""
    found = number(said)
    if not found.double:
        raise NoNumber(repr(said))
    return found


def whole(said: object, most: int = _ID_MAX) -> int:
    """An id or a time: a whole number from 0 to `most`. Raises NoNumber."""
    if type(said) is int and 0 <= said <= most:
        return said
    found = number(said)
    text = said if isinstance(said, str) else ""
    # Written with a point or an exponent it is what its double is.
    written_out = isinstance(said, int) or text.isdigit()
    value = found.value if written_out else Decimal(found.double)
    if value > most or value != value.to_integral_value():
        raise NoNumber(repr(said))
    return int(value)
