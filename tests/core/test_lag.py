"""How late events usually are: the smallest lag of the last minute."""

from __future__ import annotations

from booktape.core.lag import LATE_NS, TICKS, TICKS_AFTER_STEP, UsualLag


def after(*lags_ns: int | None) -> UsualLag:
    lag = UsualLag()
    for lag_ns in lags_ns:
        lag.on_tick(lag_ns)
    return lag


def usual(lag: UsualLag, *lags_ns: int | None) -> list[int | None]:
    """The usual lag after each of these ticks."""
    found = []
    for lag_ns in lags_ns:
        lag.on_tick(lag_ns)
        found.append(lag.usual_ns)
    return found


def test_there_is_no_usual_lag_before_the_first_sample() -> None:
    """Without one no gap is corrected."""
    assert UsualLag().usual_ns is None
    assert after(None, None).usual_ns is None


def test_the_smallest_lag_counts() -> None:
    """Nothing arrives before it was sent; a negative lag means that our clock is behind."""
    assert usual(UsualLag(), 7, 9, 5, None, -3, 8) == [7, 7, 5, 5, -3, -3]


def test_a_sample_counts_for_sixty_ticks() -> None:
    """It counts at its own tick and at 59 more."""
    lag = after(5)
    assert usual(lag, *[None] * (TICKS - 1)) == [5] * (TICKS - 1)
    assert usual(lag, None) == [None]
    lag = after(5)
    assert usual(lag, *[9] * (TICKS - 1))[-1] == 5
    assert usual(lag, 9) == [9]


def test_after_a_clock_step_old_samples_count_for_two_ticks() -> None:
    """At the second tick they count for the last time, and are dropped when it ends.

    So are the samples of the first tick: most of them were taken before the step.
    """
    lag = after(5, 5)
    lag.step_clock()
    assert lag.usual_ns == 5
    assert usual(lag, *[9] * TICKS_AFTER_STEP) == [5, 9]
    lag = after(5)
    lag.step_clock()
    assert usual(lag, 2, 9) == [2, 9]


def test_a_second_step_does_not_keep_samples_longer() -> None:
    """Samples due to be dropped at the next tick are dropped then, despite another step."""
    lag = after(5)
    lag.step_clock()
    lag.on_tick(7)
    lag.step_clock()
    assert usual(lag, 8, 9) == [8, 9]


def test_events_that_arrive_after_a_pause_count_as_having_waited() -> None:
    """Until the next tick, and then while all events are more than a second later than usual."""
    lag = after(5)
    assert not lag.messages_waited
    lag.on_tick(None, paused=True)
    assert lag.messages_waited
    found = []
    for lag_ns in (5 + LATE_NS + 1, 5 + LATE_NS, 5 + LATE_NS + 1, None):
        lag.on_tick(lag_ns)
        found.append(lag.messages_waited)
    assert found == [True, False, True, False]
    lag.on_tick(None, paused=True)
    lag.begin_segment()
    assert not lag.messages_waited


def test_a_segment_begins_with_nothing() -> None:
    """It can be read alone; a step before it is forgotten too."""
    lag = after(5)
    lag.step_clock()
    lag.begin_segment()
    assert lag.usual_ns is None
    assert usual(lag, *[9] * TICKS, None) == [9] * TICKS + [9]
    lag = after(5)
    lag.step_clock()
    lag.begin_segment()
    assert usual(lag, 9, *[None] * (TICKS - 1)) == [9] * TICKS
    lag = UsualLag()
    lag.begin_segment()
    assert usual(lag, 9, None) == [9, 9]
