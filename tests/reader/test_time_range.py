"""The time range that a picture shows, and its resolution."""

from __future__ import annotations

from datetime import timedelta

import pytest

import booktape
from booktape.errors import NotRecorded
from booktape.reader.time_range import TimeRange
from reader.day import write
from reader.truth import moment


@pytest.fixture(scope="module")
def rec(tmp_path_factory: pytest.TempPathFactory) -> booktape.Recording:
    """Two minutes with ten seconds missing."""
    folder = tmp_path_factory.mktemp("two-minutes")
    write(folder, 120, segment_s=60, cuts=(40,))
    return booktape.open(folder)


def test_a_range_is_limited_to_what_was_recorded(rec: booktape.Recording) -> None:
    """It contains neither the time before the first row nor that after the last one."""
    whole = TimeRange.clip(rec, "BTCUSDT", None, "2036-01-01T00:00:00Z", 600)
    assert (whole.start, whole.end) == (moment(0), moment(119))
    part = TimeRange.clip(rec, "BTCUSDT", moment(10), moment(45), 600)
    assert (part.start, part.end) == (moment(10), moment(45))
    assert [part.span_of(gap) for gap in part.gaps] == [(moment(40), moment(45))]
    assert part.lost_s == 5


@pytest.mark.parametrize(
    ("columns", "interval", "text"),
    [(600, 0.2, "200 ms"), (119, 1, "1 s"), (30, 5, "5 s"), (1, 120, "2 min")],
)
def test_intervals_are_round_and_few_enough(
    rec: booktape.Recording, columns: int, interval: float, text: str
) -> None:
    """There are never more columns than there is room for."""
    found = TimeRange.clip(rec, "BTCUSDT", None, None, columns)
    assert found.interval == timedelta(seconds=interval)
    assert found.interval_text == text


def test_a_range_without_rows_is_refused(rec: booktape.Recording) -> None:
    """The sentence says when there are some."""
    with pytest.raises(NotRecorded, match="from 2026-06-09T00:00:00Z to 2026-06-09T00:01:59Z"):
        TimeRange.clip(rec, "BTCUSDT", moment(200), None, 600)
    with pytest.raises(NotRecorded, match="Recorded are: BTCUSDT, ETHUSDT"):
        TimeRange.clip(rec, "XMRBTC", None, None, 600)
