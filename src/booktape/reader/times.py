"""Times and durations, as users write them and as the columns store them: in microseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from booktape.errors import UsageError

Moment: TypeAlias = datetime | str
"""A datetime with a time zone, or an ISO 8601 text with one: `2026-11-22T10:13:00Z`."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_UNITS_US: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}


def moment_us(moment: Moment) -> int:
    """Microseconds since 1970. Raises UsageError if it is not a valid time, or has no time zone."""
    if isinstance(moment, str):
        moment = _parsed(moment)
    if moment.utcoffset() is None:
        text = moment.isoformat()
        raise UsageError(f"{text} has no time zone. Write {text}Z, or use datetime.UTC.")
    return (moment - EPOCH) // _MICROSECOND


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a valid time. Write it like 2026-11-22T10:13:00Z."
        ) from error


def moment_at(microseconds: int) -> datetime:
    """The time as a datetime in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)


def length_us(length: timedelta | str) -> int:
    """Microseconds of a duration such as `100ms`, `1s`, `5m` or a timedelta. Raises UsageError."""
    if isinstance(length, timedelta):
        found = length // _MICROSECOND
    else:
        match = re.fullmatch(r"([0-9]{1,15})\s*(us|ms|s|m|h|d)", length)
        found = int(match[1]) * _UNITS_US[match[2]] if match else 0
    if found <= 0:
        raise UsageError(f"{length} is not a valid duration. Write 100ms, 1s, 5m or 1h.")
    return found
