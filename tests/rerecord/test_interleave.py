"""The sequence of a merge's records, from tracks that tests make by hand."""

from __future__ import annotations

import pytest

from booktape.core.tape_records import (
    ClockOffset,
    ClockStep,
    Connected,
    Disconnected,
    StreamMessage,
    TapeRecord,
    Tick,
)
from booktape.rerecord.clocks import ClockMark, corrected, reference_ns, shifts_ns
from booktape.rerecord.interleave import _Ticks

MS = 10**6
SECOND = 1_000 * MS


def measured(offset_ms: int, error_ms: int = 1) -> ClockOffset:
    return ClockOffset(0, offset_ms * MS, error_ms * MS)


def step(step_ms: int) -> ClockStep:
    return ClockStep(0, step_ms * MS)


def shifts_ms(*marks: ClockOffset | ClockStep, reference: int = 0) -> list[int]:
    return [shift // MS for shift in shifts_ns(marks, reference * MS)]


def test_the_clock_nearest_to_the_exchange_is_the_reference() -> None:
    """Whichever archive is named first; a clock that was never measured does not count."""
    clocks: list[list[ClockMark]] = [
        [measured(-900)],
        [step(3), measured(40), measured(1)],
        [],
        [step(500), measured(0)],
    ]
    assert reference_ns(clocks) == reference_ns(clocks[::-1]) == 40 * MS
    assert reference_ns([[]]) == 0


def test_a_differing_clock_is_corrected_from_its_start() -> None:
    """By the difference that its first measurement shows, until another measurement differs from it."""
    assert shifts_ms(measured(9_000), measured(9_100), measured(9_400)) == [
        9_000,
        9_000,
        9_000,
        9_400,
    ]
    assert shifts_ms(measured(9_000), reference=8_900) == [0, 0]
    assert shifts_ms(measured(9_000), reference=-1_000) == [10_000, 10_000]
    assert shifts_ms(measured(300, error_ms=100)) == [0, 0]


def test_a_clock_that_was_set_is_corrected_by_the_next_measurement() -> None:
    """Without a measurement a step back is certain, but a step forward may be a machine that slept."""
    assert shifts_ms(measured(7_000), step(-7_000), measured(1)) == [7_000, 7_000, 0, 0]
    assert shifts_ms(measured(1), step(-7_000), step(7_000)) == [0, 0, -7_000, -7_000]
    assert shifts_ms(measured(1), step(60_000), measured(2)) == [0, 0, 0, 0]
    assert shifts_ms(measured(1), step(60_000), measured(60_001)) == [0, 0, 60_001, 60_001]
    assert shifts_ms(measured(1), step(100)) == [0, 0, 0]


def test_every_stamp_of_a_record_moves() -> None:
    """So do those inside it; a record of a right clock is unchanged."""
    lost = Disconnected(20 * SECOND, 1, 19 * SECOND, "disconnected")
    assert corrected(lost, SECOND) == Disconnected(19 * SECOND, 1, 18 * SECOND, "disconnected")
    message = StreamMessage(20 * SECOND, 1, b"{}")
    assert corrected(message, SECOND) == StreamMessage(19 * SECOND, 1, b"{}")
    assert corrected(measured(1_000), SECOND) == ClockOffset(-SECOND, 0, MS)
    opened: TapeRecord = Connected(5 * SECOND, 1, ("BTCUSDT",))
    assert corrected(opened, 0) is opened


def spaced(*ticks: tuple[str, float, float]) -> list[tuple[str, float]]:
    """The remaining ones of these ticks (tag, time, elapsed): tag and elapsed."""
    kept, found = _Ticks(), []
    for tag, at_s, elapsed_s in ticks:
        at_ns = round(at_s * 1_000) * MS
        tick = kept.spaced(tag, Tick(at_ns, round(elapsed_s * 1_000) * MS), at_ns)
        if tick:
            found.append((tag, tick.elapsed_ns / SECOND))
    return found


@pytest.mark.parametrize("phase_s", [0.0, 0.1, 0.5, 0.7, 0.8, 0.99])
def test_a_second_of_two_machines_is_one_second(phase_s: float) -> None:
    """However their ticks are placed relative to each other, the sum is the time that passed."""
    ticks = [
        (tag, 100 + second + off_s, 1.0)
        for second in range(60)
        for tag, off_s in (("a", 0), ("b", phase_s))
    ]
    kept = spaced(*ticks)
    assert sum(elapsed_s for _, elapsed_s in kept[1:]) == pytest.approx(59, abs=1)
    assert all(0.75 <= elapsed_s <= 1.75 for _, elapsed_s in kept)


def test_one_machine_alone_keeps_its_ticks() -> None:
    """To the nanosecond, because tape time is their sum; a copy of the machine adds nothing."""
    assert spaced(("a", 1, 1.0), ("a", 2.003, 1.001), ("a", 3, 1.0)) == [
        ("a", 1),
        ("a", 1.001),
        ("a", 1),
    ]
    assert spaced(("a", 1, 1.0), ("b", 1, 1.0), ("a", 2, 1.0), ("b", 2, 1.0)) == [
        ("a", 1),
        ("a", 1),
    ]


def test_a_pause_of_one_machine_stays() -> None:
    """Its messages waited; the same pause of a copy is one pause."""
    assert spaced(("b", 10, 1.0), ("a", 10.2, 8.0), ("b", 11, 1.0)) == [
        ("b", 1),
        ("a", 8),
        ("b", 0.8),
    ]
    assert spaced(("a", 10, 8.0), ("b", 10, 8.0)) == [("a", 8)]


def test_a_time_in_which_no_machine_ran_is_not_a_pause() -> None:
    """The first tick after it counts only its own machine's time."""
    assert spaced(("a", 10, 1.0), ("b", 5_000, 1.0)) == [("a", 1), ("b", 1)]
