"""Moments have a time zone, and durations have a unit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pandas as pd
import pytest

from booktape.errors import UsageError
from booktape.reader.times import length_us, moment_at, moment_us


@pytest.mark.parametrize(
    "moment",
    [
        "1970-01-01T00:00:01.000002Z",
        "1970-01-01T02:00:01.000002+02:00",
        datetime(1970, 1, 1, 0, 0, 1, 2, tzinfo=UTC),
        datetime(1970, 1, 1, 2, 0, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        pd.Timestamp("1970-01-01T00:00:01.000002Z"),
    ],
)
def test_a_moment_is_microseconds_whatever_its_zone(moment: datetime | str) -> None:
    """Texts, datetimes and pandas' own."""
    assert moment_us(moment) == 1_000_002
    assert moment_at(1_000_002) == moment_at(moment_us(moment))


@pytest.mark.parametrize(
    "moment",
    ["2026-11-22T10:13:00", "2026-11-22", datetime(2026, 11, 22)],  # noqa: DTZ001 naive
)
def test_a_moment_without_a_zone_is_refused(moment: datetime | str) -> None:
    """The sentence shows how to write it, and what it shows is accepted."""
    with pytest.raises(UsageError, match="has no time zone") as refused:
        moment_us(moment)
    proposed = str(refused.value).split("Write ")[1].split(",", 1)[0]
    assert moment_at(moment_us(proposed)).date() == datetime(2026, 11, 22, tzinfo=UTC).date()


def test_an_invalid_moment_is_refused() -> None:
    """With an example."""
    with pytest.raises(UsageError, match=r"'yesterday' is not a valid time. Write it like 2026"):
        moment_us("yesterday")


@pytest.mark.parametrize(
    ("length", "microseconds"),
    [
        ("250us", 250),
        ("100ms", 100_000),
        ("1s", 1_000_000),
        ("5 m", 300_000_000),
        ("1h", 3_600_000_000),
        ("1d", 86_400_000_000),
        (timedelta(seconds=2), 2_000_000),
    ],
)
def test_durations_are_read(length: str | timedelta, microseconds: int) -> None:
    """A number and a unit, or a timedelta."""
    assert length_us(length) == microseconds


@pytest.mark.parametrize("length", ["1", "0s", "-1s", "1.5s", "1 week", timedelta(0)])
def test_an_invalid_duration_is_refused(length: str | timedelta) -> None:
    """Nothing is guessed."""
    with pytest.raises(UsageError, match="is not a valid duration"):
        length_us(length)
