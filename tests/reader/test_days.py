"""The share of a day in which a book was known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from booktape.reader.days import DAYS_MAX, DayCoverage, day_coverage, days_between

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


def test_days_have_an_end() -> None:
    """Rows of year 2 and of year 9998 in one recording are a forgery, or a clock: the last hundred years count."""
    days = days_between(datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC))
    assert (len(days), days[-1]) == (DAYS_MAX, date(9998, 12, 31))
