"""The nouns hold what they are given, and a gap counts what it missed."""

from __future__ import annotations

import sys
from dataclasses import FrozenInstanceError, is_dataclass

import numpy as np
import pytest

from booktape.core import events
from booktape.core.events import (
    WHOLE_DEPTH,
    BookRow,
    DepthEvent,
    FetchSnapshot,
    GapInterval,
    ReplaceConnection,
    Urgency,
    WaitingEvent,
)
from core.frozen import check_frozen


def gap(next_update_id: int | None) -> GapInterval:
    return GapInterval("BTCUSDT", 1, 10, 100, "disconnected", 20, next_update_id)


@pytest.mark.parametrize(
    ("next_update_id", "missed"), [(100, 0), (101, 0), (102, 1), (150, 49), (90, -11)]
)
def test_gap_counts_ids_between_two_known_states(next_update_id: int, missed: int) -> None:
    """Both ends are known, so only what lies strictly between was missed; ids may fall back."""
    assert gap(next_update_id).missed_updates == missed


def test_how_many_ids_an_open_gap_misses_is_unknown() -> None:
    """While a gap is open the number of missed updates is not known."""
    assert gap(None).missed_updates is None


OF_EVERY_EVENT = {BookRow, DepthEvent, WaitingEvent}
NOUNS = [each for each in vars(events).values() if is_dataclass(each) and isinstance(each, type)]


@pytest.mark.parametrize("noun", [noun for noun in NOUNS if noun not in OF_EVERY_EVENT])
def test_nouns_cannot_be_changed(noun: type) -> None:
    """What the exchange said and what the core said back is history.

    All but those that are made for every event or row: there it would cost more than it is worth.
    """
    check_frozen(noun)
    empty: object = object.__new__(noun)
    # One without fields answers so (the standard library cannot say better there).
    with pytest.raises((FrozenInstanceError, TypeError)):
        empty.anything = 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("noun", NOUNS)
def test_nouns_are_small(noun: type) -> None:
    """Thousands of them are held: none has a dict of its own."""
    assert "__slots__" in vars(noun)


def test_requests_are_equal_when_they_ask_for_the_same() -> None:
    """However urgent, however deep; by themselves they are of a new book, and for all of it."""
    plain = FetchSnapshot("BTCUSDT", 1)
    assert (plain.urgency, plain.limit) == (Urgency.NEW, WHOLE_DEPTH)
    assert plain == FetchSnapshot("BTCUSDT", 1, Urgency.AUDIT, 100)
    assert plain != FetchSnapshot("BTCUSDT", 2)
    assert WHOLE_DEPTH == 5_000


def test_who_is_served_first() -> None:
    """A hole in the data, then what has never been known, then what could be known better."""
    assert sorted(Urgency) == [
        Urgency.LOST,
        Urgency.DOUBT,
        Urgency.NEW,
        Urgency.DEEPER,
        Urgency.AUDIT,
    ]


def test_rows_are_compared_by_identity() -> None:
    """Arrays have no single truth value, so a row's equality does not pretend to have one."""
    none = np.array([])
    one, other = (
        BookRow("BTCUSDT", None, 1, 2, 3, 0, none, none, none, none, None, None) for _ in range(2)
    )
    assert one != other


def memory_of(thing: object) -> int:
    """What an object and all that it holds take, in bytes."""
    parts: list[object] = []
    if isinstance(thing, list | tuple):
        parts = list(thing)
    elif hasattr(thing, "__slots__"):
        parts = [getattr(thing, name) for name in type(thing).__slots__]
    return sys.getsizeof(thing) + sum(memory_of(part) for part in parts)


@pytest.mark.parametrize(("bids", "asks"), [(0, 0), (3, 0), (0, 3), (1_000, 200)])
def test_a_waiting_event_counts_with_what_it_takes_of_memory(bids: int, asks: int) -> None:
    """Never with less, and with little more: limits of memory are kept by this number."""
    sides = ([(float(n), 0.5) for n in range(count)] for count in (bids, asks))
    waiting = WaitingEvent(10**18, DepthEvent("BTCUSDT", 10**15, 10**12, 10**12, *sides))
    taken = memory_of(waiting)
    assert taken <= waiting.bytes <= taken + 300 + 40 * (bids + asks)


def test_a_connection_is_replaced_for_other_reasons_than_silence() -> None:
    """Only a silent one makes the pulse urgent."""
    assert not ReplaceConnection(1, "it delivered garbage").silent
