"""What several commands take: numbers within bounds, lengths of time, times of day."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter
from cyclopts.validators import Number

from booktape.errors import UsageError
from booktape.reader.times import moment_us

Positive: TypeAlias = Annotated[int, Parameter(validator=Number(gte=1))]
Speed: TypeAlias = Annotated[float, Parameter(validator=Number(gt=0))]

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds(option: str, text: str) -> float:
    """A length of time such as 20, 90s, 15m, 8h or 30d. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    length = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not length:
        raise UsageError(f"{option} {text} is no length of time. Write 90s, 15m, 8h or 30d.")
    return length


def time_of_day_s(text: str) -> float:
    """Seconds since midnight of a time such as 04:30. Raises UsageError."""
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if not match:
        raise UsageError(f"--rollover-at {text} is no time of day. Write 04:30, in UTC.")
    return int(match[1]) * 3_600.0 + int(match[2]) * 60


def stretch_us(from_: str | None, to: str | None) -> tuple[int | None, int | None]:
    """What --from and --to say, in microseconds since 1970. Raises UsageError."""
    return (
        moment_us(moment("--from", from_)) if from_ else None,
        moment_us(moment("--to", to)) if to else None,
    )


def moment(option: str, text: str) -> datetime:
    """A time such as 2026-11-22T10:15; UTC unless it says otherwise. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text} is no time. Write 2026-11-22 or 2026-11-22T10:15."
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
