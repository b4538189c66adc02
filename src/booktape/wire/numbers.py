"""Numbers as the exchange writes them.

Every number that comes from outside as text is read here: numbers in JSON by declared types, numbers in
headers and filters by `whole_number` and `decimal_number`, which raise one kind of error. Python itself would
raise three (for 5,000 digits, an exponent of ten million, letters), or accept what no exchange writes: digits
of other scripts, underscores, "NaN".
"""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from booktape.errors import MalformedNumber

# A NaN fails both comparisons, an infinity the second one.
Size: TypeAlias = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Price: TypeAlias = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
Levels: TypeAlias = list[tuple[Price, Size]]
Id: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]

# From 1970 to 2286, in milliseconds or microseconds.
Time: TypeAlias = Annotated[int, Meta(ge=0, le=10**16)]

_MICROSECONDS_FROM: Final = 10**14
"""Milliseconds reach this in the year 5138; microseconds reached it in 1973."""

_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")

_DIGITS_MAX: Final = 28
"""Significant digits that Python's decimals compute with: more would be rounded without an error."""

_SHOWN: Final = 40


def time_us(time: int) -> int:
    """A time of the exchange in microseconds, whichever of the two units it came in."""
    return time if time >= _MICROSECONDS_FROM else time * 1_000


def whole_number(text: str) -> int:
    """A whole number, as in a header: 1 to 18 digits and nothing else. Raises MalformedNumber."""
    if not _WHOLE.fullmatch(text):
        raise MalformedNumber(f"{text[:_SHOWN]!r} is not a number of at most 18 digits.")
    return int(text)


def decimal_number(text: str) -> Decimal:
    """A price, a size or a step, exactly as written; never negative, infinite or NaN.

    Raises MalformedNumber, also for more than 28 significant digits and for an exponent of more
    than three digits.
    """
    if _DECIMAL.fullmatch(text):
        number = Decimal(text)
        if len(number.as_tuple().digits) <= _DIGITS_MAX:
            return number
    raise MalformedNumber(f"{text[:_SHOWN]!r} is not a decimal of at most {_DIGITS_MAX} digits.")
