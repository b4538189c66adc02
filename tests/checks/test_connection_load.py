"""Connections that were busy and no longer bring anything."""

from __future__ import annotations

import pytest

from booktape.checks.connection_load import BUSY_TICKS, SILENT_NS, ConnectionLoads
from support.oracle import SECOND

A, B = 1, 2
SILENT_S = SILENT_NS // SECOND


def busy(seconds: int = BUSY_TICKS, *connections: int) -> ConnectionLoads:
    """Each of these connections brought a frame in every second."""
    loads = ConnectionLoads()
    for connection in connections or (A,):
        loads.add(connection)
    for _ in range(seconds):
        assert second(loads, *connections or (A,)) == []
    return loads


def second(loads: ConnectionLoads, *bring: int, passed_ns: int = SECOND) -> list[int]:
    """These bring a frame, then a tick comes; returns the connections that fall silent."""
    for connection in bring:
        loads.on_message(connection)
    return loads.on_tick(passed_ns)


def test_a_busy_connection_falls_silent_after_five_seconds() -> None:
    """It is reported once: until it brings a frame again, its silence is no news."""
    loads = busy()
    fallen = [second(loads) for _ in range(SILENT_S + 100)]
    assert fallen == [[]] * (SILENT_S - 1) + [[A]] + [[]] * 100
    assert loads.silent == {A}


def test_only_tape_time_counts() -> None:
    """The number of ticks does not."""
    loads = busy()
    assert [second(loads, passed_ns=SECOND // 2) for _ in range(2 * SILENT_S)].index(
        [A]
    ) == 2 * SILENT_S - 1


def test_a_connection_that_was_not_busy_long_enough_may_be_quiet() -> None:
    """It had frames for one second less, or a second without any in between."""
    loads = busy(BUSY_TICKS - 1)
    assert [second(loads) for _ in range(100)] == [[]] * 100
    loads = busy(BUSY_TICKS - 1)
    second(loads)
    second(loads, A)
    assert [second(loads) for _ in range(100)] == [[]] * 100


@pytest.mark.parametrize("quiet", range(1, SILENT_S))
def test_one_frame_in_time_is_enough(quiet: int) -> None:
    """After a pause it must have been busy again before it can fall silent."""
    loads = busy()
    assert [second(loads) for _ in range(quiet)] == [[]] * quiet
    assert [second(loads, A) for _ in range(BUSY_TICKS - 1)] == [[]] * (BUSY_TICKS - 1)
    assert [second(loads) for _ in range(100)] == [[]] * 100


def test_a_silent_connection_that_brings_a_frame_is_no_longer_silent() -> None:
    """This happens at once, not at the next tick."""
    loads = busy()
    for _ in range(SILENT_S):
        second(loads)
    assert loads.silent == {A}
    assert loads.on_message(A)
    assert loads.silent == set()
    assert not loads.on_message(A)


def test_each_connection_has_its_own_clock() -> None:
    """They are reported in the order in which they came."""
    loads = busy(BUSY_TICKS, B, A)
    for _ in range(SILENT_S - 1):
        assert second(loads, A) == []
    assert second(loads, A) == [B]
    loads = busy(BUSY_TICKS, B, A)
    assert [second(loads) for _ in range(SILENT_S)][-1] == [B, A]


def test_a_lost_connection_is_forgotten() -> None:
    """So is a silent one; frames from a connection that was never open are ignored."""
    loads = busy()
    for _ in range(SILENT_S):
        second(loads)
    loads.remove(A)
    loads.remove(7)
    assert loads.silent == set()
    assert not loads.on_message(A)
    assert [second(loads) for _ in range(100)] == [[]] * 100


def test_habits_are_learnt_again_in_each_segment() -> None:
    """A segment can be read alone: no checkpoint contains them."""
    loads = busy()
    loads.begin_segment()
    assert [second(loads) for _ in range(100)] == [[]] * 100
    loads = busy()
    for _ in range(SILENT_S):
        second(loads)
    loads.begin_segment()
    assert loads.silent == set()
    for _ in range(BUSY_TICKS):
        second(loads, A)
    assert [second(loads) for _ in range(SILENT_S)][-1] == [A]
