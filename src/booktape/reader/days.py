"""How much of each day (UTC) a book was known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

_DAY: Final = timedelta(days=1)

DAYS_MAX: Final = 36_525
"""A hundred years: a clock may have been wrong, or a file forged, so that a recording seems to last for thousands."""


@dataclass(frozen=True, slots=True)
class DayCoverage:
    """One symbol on one day: the seconds in which its book was known, and the gaps."""

    known_s: float = 0.0
    gaps: int = 0

    @property
    def share(self) -> float:
        """The known share of the day's 24 hours."""
        return self.known_s / _DAY.total_seconds()


def days_between(first: datetime, last: datetime) -> list[date]:
    """Every day, both ends included; of more than DAYS_MAX the last ones."""
    count = min((last.date() - first.date()).days + 1, DAYS_MAX)
    return [last.date() - number * _DAY for number in reversed(range(count))]


def day_coverage(
    first: datetime, last: datetime, lost: Sequence[tuple[datetime, datetime]], day: date
) -> DayCoverage:
    """How much of a day was known: the recorded time minus the lost time."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    start, end = max(first, begin), min(last, begin + _DAY)
    if start >= end:
        return DayCoverage()
    gone = [max(0.0, (min(b, end) - max(a, start)).total_seconds()) for a, b in lost]
    return DayCoverage((end - start).total_seconds() - sum(gone), sum(1 for one in gone if one))
