"""The best levels of a quiet book, compared with an answer that has no id."""

from __future__ import annotations

import pytest

from booktape.checks.compare import Comparison
from booktape.checks.pulse import QUIET_NS, PulseCheck
from booktape.core.checks import BestLevels, Difference
from booktape.core.sync import SymbolSync
from support.oracle import SECOND, connected, event, snapshot

SAME = BestLevels((100.0, 1.0), (101.0, 1.0))
OTHER = BestLevels((100.0, 2.0), (101.0, 1.0))
EQUAL = Comparison(10, 2, ())


class KnownBook:
    """A book known at id 10 since second 1: 100 to 101, size 1 each."""

    def __init__(self, limit: int = 5000) -> None:
        self.sync = SymbolSync("BTCUSDT")
        self.sync.handle(connected(1), SECOND)
        self.sync.handle(snapshot(10, {"100": "1"}, {"101": "1"}, limit=limit), SECOND)
        self.pulse = PulseCheck()

    def asked(self, at_ns: int, best: BestLevels = SAME) -> None:
        self.pulse.on_answer(at_ns, best, self.sync)

    def ticks(self, count: int, *, waits: bool = False) -> list[tuple[int, Comparison] | None]:
        return [self.pulse.on_tick(self.sync, waits=waits) for _ in range(count)]

    def apply(self, at_ns: int) -> None:
        self.sync.handle(event(self.sync.update_id + 1, self.sync.update_id + 1), at_ns)


def test_a_quiet_book_is_compared_at_the_second_tick() -> None:
    """It is compared once; equality proves the moment at which the request was sent."""
    book = KnownBook()
    book.asked(5 * SECOND)
    assert book.ticks(5) == [None, (5 * SECOND, EQUAL), None, None, None]


def test_a_difference_names_the_levels() -> None:
    """With the book's size and the exchange's."""
    book = KnownBook()
    book.asked(5 * SECOND, OTHER)
    found = Comparison(10, 2, (Difference("bid", 100, 1, 2),))
    assert book.ticks(2) == [None, (5 * SECOND, found)]


def test_an_empty_side_is_compared_too() -> None:
    """Here the exchange shows no bid."""
    book = KnownBook()
    book.asked(5 * SECOND, BestLevels(None, (101.0, 1.0)))
    found = Comparison(10, 2, (Difference("bid", 100, 1, 0),))
    assert book.ticks(2) == [None, (5 * SECOND, found)]


def test_levels_beyond_the_horizon_are_not_compared() -> None:
    """All known bids are gone: a better bid than the next one may exist."""
    book = KnownBook(limit=1)
    book.sync.handle(event(11, 11, {"100": "0"}), 2 * SECOND)
    book.asked(5 * SECOND, BestLevels((99.0, 7.0), (101.0, 1.0)))
    assert book.ticks(2) == [None, (5 * SECOND, Comparison(11, 2, ()))]


@pytest.mark.parametrize(("before_ns", "compared"), [(QUIET_NS, True), (QUIET_NS - 1, False)])
def test_a_book_must_have_been_quiet_for_a_second(before_ns: int, *, compared: bool) -> None:
    """Otherwise an event that the answer contains may still be on its way, or the other way round."""
    book = KnownBook()
    book.apply(5 * SECOND)
    book.asked(5 * SECOND + before_ns)
    assert (book.ticks(2)[1] is not None) == compared


def test_a_book_is_not_quiet_just_after_its_snapshot() -> None:
    """It was fetched less than a second before the request was sent."""
    book = KnownBook()
    book.asked(SECOND + QUIET_NS - 1, OTHER)
    assert book.ticks(2) == [None, None]


@pytest.mark.parametrize("ticks_before", [0, 1])
def test_an_event_meanwhile_ends_the_comparison(ticks_before: int) -> None:
    """The answer may show the state before or after it."""
    book = KnownBook()
    book.asked(5 * SECOND, OTHER)
    book.ticks(ticks_before)
    book.apply(6 * SECOND)
    assert book.ticks(3) == [None] * 3


def test_a_waiting_event_ends_the_comparison() -> None:
    """It ran ahead of another event, so the symbol is not quiet."""
    book = KnownBook()
    book.asked(5 * SECOND, OTHER)
    assert book.ticks(1) == [None]
    assert book.ticks(1, waits=True) == [None]
    assert book.ticks(3) == [None] * 3


def test_a_later_answer_replaces_one_that_waits() -> None:
    """The later answer has its own two ticks."""
    book = KnownBook()
    book.asked(5 * SECOND, OTHER)
    book.ticks(1)
    book.asked(6 * SECOND)
    assert book.ticks(2) == [None, (6 * SECOND, EQUAL)]


def test_an_unusable_answer_replaces_nothing() -> None:
    """The book was quiet when the first was requested, and is not compared with the second."""
    book = KnownBook()
    book.apply(5 * SECOND)
    book.asked(6 * SECOND)
    book.asked(6 * SECOND - 1, OTHER)
    assert book.ticks(2) == [None, (6 * SECOND, Comparison(11, 2, ()))]


def test_a_lost_book_is_not_compared() -> None:
    """Nor is a book whose segment ends."""
    book = KnownBook()
    book.asked(5 * SECOND, OTHER)
    book.pulse.reset()
    assert book.ticks(3) == [None] * 3


def test_setting_the_clock_back_moves_the_time_of_the_proof() -> None:
    """The proof has the time of the request by the clock as it is now."""
    book = KnownBook()
    book.asked(5 * SECOND)
    book.pulse.step_clock(-2 * SECOND)
    assert book.ticks(2) == [None, (3 * SECOND, EQUAL)]
    book.pulse.step_clock(-2 * SECOND)
    assert book.ticks(2) == [None, None]
