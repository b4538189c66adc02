"""The time range that a picture shows, and the gaps in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from booktape.errors import NotRecorded
from booktape.reader import Coverage, Gap, Recording
from booktape.reader.times import Moment, moment_at, moment_us

_STEPS_MS: Final = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(1_000 * s for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200)),
)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """One symbol from `start` to `end`, one column every `interval`."""

    symbol: str
    start: datetime
    end: datetime
    interval: timedelta
    gaps: Sequence[Gap]

    @classmethod
    def clip(
        cls, rec: Recording, symbol: str, start: Moment | None, end: Moment | None, columns: int
    ) -> TimeRange:
        """The recorded part of this time range, in at most `columns` intervals.

        Raises NotRecorded if nothing was recorded then.
        """
        own = coverage_of(rec, symbol)
        first = own.first if start is None else max(own.first, moment_at(moment_us(start)))
        # A row is valid until the next one, so the last one is included.
        last = own.last if end is None else min(own.last, moment_at(moment_us(end)))
        if first > last:
            raise NotRecorded(
                f"{symbol} was not recorded then, but from {own.first:%Y-%m-%dT%H:%M:%SZ} "
                f"to {own.last:%Y-%m-%dT%H:%M:%SZ}."
            )
        return cls.of(own, first, last, columns, rec.snapshots(symbol).gaps())

    @classmethod
    def of(
        cls, own: Coverage, first: datetime, last: datetime, columns: int, gaps: Sequence[Gap]
    ) -> TimeRange:
        """From `first` to `last`, both within the recorded time. Only the gaps that overlap the range are kept."""
        interval = _interval(last - first, columns)
        kept = [
            gap
            for gap in gaps
            if gap.start_time <= last and (gap.end_time is None or gap.end_time > first)
        ]
        return cls(own.symbol, first, max(last, first + interval), interval, kept)

    @property
    def after(self) -> datetime:
        """The end to give to a query, which excludes its end."""
        return self.end + timedelta(microseconds=1)

    def span_of(self, gap: Gap) -> tuple[datetime, datetime]:
        """The part of a gap inside this range."""
        return max(gap.start_time, self.start), min(gap.end_time or self.end, self.end)

    @property
    def lost_s(self) -> float:
        """Seconds of this range in which the book was not known."""
        spans = (self.span_of(gap) for gap in self.gaps)
        return sum(max(0.0, (end - start).total_seconds()) for start, end in spans)

    @property
    def interval_text(self) -> str:
        """The interval as text: `200 ms`, `5 s`, `2 min`."""
        ms = self.interval // timedelta(milliseconds=1)
        for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
            if ms % unit_ms == 0:
                return f"{ms // unit_ms} {unit}"
        return f"{ms} ms"


def coverage_of(rec: Recording, symbol: str) -> Coverage:
    """The coverage of one symbol. Raises NotRecorded if it has no rows."""
    found = {own.symbol: own for own in rec.coverage()}
    if symbol not in found:
        there = ", ".join(sorted(found)[:10]) or "no rows yet"
        raise NotRecorded(f"{symbol} has no rows here. Recorded are: {there}.")
    return found[symbol]


def _interval(length: timedelta, columns: int) -> timedelta:
    """The shortest round interval of which at most `columns` cover the time; beyond 2 hours, whole days."""
    needed_ms = length / timedelta(milliseconds=columns)
    day_ms = 86_400_000
    days_ms = int(-(-needed_ms // day_ms)) * day_ms
    return timedelta(milliseconds=next((ms for ms in _STEPS_MS if ms >= needed_ms), days_ms))
