"""A gap counts the ids it missed; a waiting event knows how much memory it takes."""

from __future__ import annotations

import sys

import pytest

from booktape.core.events import (
    DepthEvent,
    GapInterval,
    ReplaceConnection,
    WaitingEvent,
)


def gap(next_update_id: int | None) -> GapInterval:
    return GapInterval("BTCUSDT", 1, 10, 100, "disconnected", 20, next_update_id)


@pytest.mark.parametrize(
    ("next_update_id", "missed"), [(100, 0), (101, 0), (102, 1), (150, 49), (90, -11)]
)
def test_gap_counts_ids_between_two_known_states(next_update_id: int, missed: int) -> None:
    """Both ends are known, so only ids strictly between them were missed; ids may fall back."""
    assert gap(next_update_id).missed_updates == missed


def test_how_many_ids_an_open_gap_misses_is_unknown() -> None:
    """While a gap is open the number of missed updates is not known."""
    assert gap(None).missed_updates is None


def memory_of(thing: object) -> int:
    """The memory of an object and of everything it holds, in bytes."""
    parts: list[object] = []
    if isinstance(thing, list | tuple):
        parts = list(thing)
    elif hasattr(thing, "__slots__"):
        parts = [getattr(thing, name) for name in type(thing).__slots__]
    return sys.getsizeof(thing) + sum(memory_of(part) for part in parts)


@pytest.mark.parametrize(("bids", "asks"), [(0, 0), (3, 0), (0, 3), (1_000, 200)])
def test_a_waiting_event_counts_by_the_memory_it_takes(bids: int, asks: int) -> None:
    """The number is never too small and only a little too large: memory limits rely on it."""
    sides = ([(float(n), 0.5) for n in range(count)] for count in (bids, asks))
    waiting = WaitingEvent(10**18, DepthEvent("BTCUSDT", 10**15, 10**12, 10**12, *sides))
    taken = memory_of(waiting)
    assert taken <= waiting.bytes <= taken + 300 + 40 * (bids + asks)


def test_a_connection_may_be_replaced_for_reasons_other_than_silence() -> None:
    """Only silence makes the pulse urgent."""
    assert not ReplaceConnection(1, "it delivered garbage").silent
