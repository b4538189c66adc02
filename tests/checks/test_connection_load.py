"""Connections that were busy and no longer deliver anything."""

from __future__ import annotations

import pytest

from booktape.checks.connection_load import BUSY_TICKS, SILENT_NS, ConnectionLoads
from support.oracle import SECOND

A, B = 1, 2
SILENT_S = SILENT_NS // SECOND


def busy(seconds: int = BUSY_TICKS, *connections: int) -> ConnectionLoads:
    """Each of them brought a frame in every second."""
    loads = ConnectionLoads()
    for connection in connections or (A,):
        loads.add(connection)
    for _ in range(seconds):
        assert second(loads, *connections or (A,)) == []
    return loads


def second(loads: ConnectionLoads, *bring: int, passed_ns: int = SECOND) -> list[int]:
    """These bring a frame, then comes a tick: who falls silent."""
    for connection in bring:
        loads.on_message(connection)
    return loads.on_tick(passed_ns)


def test_a_busy_connection_falls_silent_after_five_seconds() -> None:
    """Once: until it brings something again, it is silent and no news."""
    loads = busy()
    fallen = [second(loads) for _ in range(SILENT_S + 100)]
    assert fallen == [[]] * (SILENT_S - 1) + [[A]] + [[]] * 100
    assert loads.silent == {A}


def test_tape_time_counts() -> None:
    """Not the number of ticks."""
    loads = busy()
    assert [second(loads, passed_ns=SECOND // 2) for _ in range(2 * SILENT_S)].index(
        [A]
    ) == 2 * SILENT_S - 1


def test_a_connection_that_was_not_busy_long_enough_may_be_quiet() -> None:
    """One second less of frames, or a second without any in between."""
    loads = busy(BUSY_TICKS - 1)
    assert [second(loads) for _ in range(100)] == [[]] * 100
    loads = busy(BUSY_TICKS - 1)
    second(loads)
    second(loads, A)
    assert [second(loads) for _ in range(100)] == [[]] * 100


@pytest.mark.parametrize("quiet", range(1, SILENT_S))
def test_a_frame_in_time_is_enough(quiet: int) -> None:
    """And after a pause it must be busy again before it can fall silent."""
    loads = busy()
    assert [second(loads) for _ in range(quiet)] == [[]] * quiet
    assert [second(loads, A) for _ in range(BUSY_TICKS - 1)] == [[]] * (BUSY_TICKS - 1)
    assert [second(loads) for _ in range(100)] == [[]] * 100


def test_a_silent_one_speaks_again() -> None:
    """At once, not at a tick."""
    loads = busy()
    for _ in range(SILENT_S):
        second(loads)
    assert loads.silent == {A}
    assert loads.on_message(A)
    assert loads.silent == set()
    assert not loads.on_message(A)


def test_each_connection_has_its_own_clock() -> None:
    """In the order in which they came."""
    loads = busy(BUSY_TICKS, B, A)
    for _ in range(SILENT_S - 1):
        assert second(loads, A) == []
    assert second(loads, A) == [B]
    loads = busy(BUSY_TICKS, B, A)
    assert [second(loads) for _ in range(SILENT_S)][-1] == [B, A]


def test_a_connection_that_is_gone_is_forgotten() -> None:
    """Also one that was silent; frames of one that never stood say nothing."""
    loads = busy()
    for _ in range(SILENT_S):
        second(loads)
    loads.remove(A)
    loads.remove(7)
    assert loads.silent == set()
    assert not loads.on_message(A)
    assert [second(loads) for _ in range(100)] == [[]] * 100


def test_habits_begin_afresh_in_each_segment() -> None:
    """It can be read alone: no checkpoint tells of them."""
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
