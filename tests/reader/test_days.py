"""The share of a day in which a book was known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from booktape.reader.days import DayCoverage, day_coverage, days_between

NOON = datetime(2026, 6, 9, 12, tzinfo=UTC)
DAYS = days_between(NOON, NOON + timedelta(days=2))


def test_a_day_is_what_was_recorded_less_what_was_lost() -> None:
    """Half a day, a day with a gap over midnight, and the rest."""
    lost = [(NOON + timedelta(hours=11), NOON + timedelta(hours=15))]
    found = [day_coverage(NOON, NOON + timedelta(days=2), lost, day) for day in DAYS]
    assert [day.day for day in DAYS] == [9, 10, 11]
    assert found == [
        DayCoverage(11 * 3600, 1),
        DayCoverage(21 * 3600, 1),
        DayCoverage(12 * 3600, 0),
    ]
    assert day_coverage(NOON, NOON, [], date(2026, 6, 1)) == DayCoverage()
