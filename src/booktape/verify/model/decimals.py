"""Numbers as the exchange writes them: the exact value of the text, and the double that is stored for it.

The exchange caps a size at 92233720368.54775807, the largest value that eight decimals leave room for, and
means that size "or more" (2022-05-23). No double is this number; the nearest one is stored for it.

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


class Malformed(ValueError):
    """A value that does not have the form of its place, or that is missing."""


class Number(NamedTuple):
    """`exact`: the double, printed, has the value of the text again."""

    value: Decimal
    double: float
    exact: bool

    @property
    def is_capped(self) -> bool:
        """Whether it means "or more"."""
        return self.value == CAP


_remembered: dict[str, Number] = {}


def number(written: object) -> Number:
    """A finite number that is not negative, from a JSON text or number. Raises Malformed."""
    if isinstance(written, str):
        found = _remembered.get(written)
        if found is None:
            # Prices come again and again; sizes rarely do, so the memory is emptied now and then.
            if len(_remembered) >= _REMEMBERED:
                _remembered.clear()
            found = _remembered[written] = _parse(written)
        return found
    if isinstance(written, bool) or not isinstance(written, int | Decimal):
        raise Malformed(repr(written))
    return _parse(str(written))


def _parse(text: str) -> Number:
    if not _NUMBER(text):
        raise Malformed(text)
    double = float(text)
    if not isfinite(double):
        raise Malformed(text)
    try:
        value = Decimal(text)
    except InvalidOperation:
        return Number(Decimal(0), 0.0, exact=False)  # an exponent of -10^18 or less
    if value < 0 and double:
        raise Malformed(text)
    # A value too small for a double is zero in doubles.
    return Number(value if double else Decimal(0), double, Decimal(repr(double)) == value)


def from_double(written: object) -> Number:
    """A number that was a double when it was written: that of the cap stands for the cap. Raises Malformed."""
    found = number(written)
    return number(str(CAP)) if found.double == float(CAP) else found


def as_double(value: Decimal) -> Decimal:
    """The value as it is written from a double."""
    return Decimal(repr(float(value)))


def price(written: object) -> Number:
    """A number above zero. Raises Malformed."""
    found = number(written)
    if not found.double:
        raise Malformed(repr(written))
    return found


def whole(written: object, most: int = _ID_MAX) -> int:
    """An id or a time: a whole number from 0 to `most`. Raises Malformed."""
    if type(written) is int and 0 <= written <= most:
        return written
    found = number(written)
    text = written if isinstance(written, str) else ""
    # A number written with a point or an exponent has the value of its double.
    written_out = isinstance(written, int) or text.isdigit()
    value = found.value if written_out else Decimal(found.double)
    if value > most or value != value.to_integral_value():
        raise Malformed(repr(written))
    return int(value)
