"""The best levels of a quiet book, compared with an answer that names no id."""

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
    """Once; what is equal proves the moment at which the request left."""
    book = KnownBook()
    book.asked(5 * SECOND)
    assert book.ticks(5) == [None, (5 * SECOND, EQUAL), None, None, None]


def test_a_difference_names_the_levels() -> None:
    """The book's size and the exchange's."""
    book = KnownBook()
    book.asked(5 * SECOND, OTHER)
    found = Comparison(10, 2, (Difference("bid", 100, 1, 2),))
    assert book.ticks(2) == [None, (5 * SECOND, found)]


def test_an_empty_side_is_compared_too() -> None:
    """The exchange shows no bid."""
    book = KnownBook()
    book.asked(5 * SECOND, BestLevels(None, (101.0, 1.0)))
    found = Comparison(10, 2, (Difference("bid", 100, 1, 0),))
    assert book.ticks(2) == [None, (5 * SECOND, found)]


def test_what_lies_beyond_the_horizon_is_not_compared() -> None:
    """All known bids are gone: whether there is a better one than the next is not known."""
    book = KnownBook(limit=1)
    book.sync.handle(event(11, 11, {"100": "0"}), 2 * SECOND)
    book.asked(5 * SECOND, BestLevels((99.0, 7.0), (101.0, 1.0)))
    assert book.ticks(2) == [None, (5 * SECOND, Comparison(11, 2, ()))]


@pytest.mark.parametrize(("before_ns", "compared"), [(QUIET_NS, True), (QUIET_NS - 1, False)])
def test_a_book_must_have_been_quiet_for_a_second(before_ns: int, *, compared: bool) -> None:
    """Else an event that the answer contains may be on its way, or the other way round."""
    book = KnownBook()
    book.apply(5 * SECOND)
    book.asked(5 * SECOND + before_ns)
    assert (book.ticks(2)[1] is not None) == compared


def test_a_snapshot_is_no_quiet_either() -> None:
    """A book that was fetched less than a second before the request left."""
    book = KnownBook()
    book.asked(SECOND + QUIET_NS - 1, OTHER)
    assert book.ticks(2) == [None, None]


@pytest.mark.parametrize("ticks_before", [0, 1])
def test_an_event_meanwhile_ends_it(ticks_before: int) -> None:
    """The answer may be of before or after it."""
    book = KnownBook()
    book.asked(5 * SECOND, OTHER)
    book.ticks(ticks_before)
    book.apply(6 * SECOND)
    assert book.ticks(3) == [None] * 3


def test_an_event_that_waits_ends_it() -> None:
    """It ran ahead of another one, so the symbol is not quiet."""
    book = KnownBook()
    book.asked(5 * SECOND, OTHER)
    assert book.ticks(1) == [None]
    assert book.ticks(1, waits=True) == [None]
    assert book.ticks(3) == [None] * 3


def test_a_later_answer_replaces_one_that_waits() -> None:
    """Its two ticks are its own."""
    book = KnownBook()
    book.asked(5 * SECOND, OTHER)
    book.ticks(1)
    book.asked(6 * SECOND)
    assert book.ticks(2) == [None, (6 * SECOND, EQUAL)]


def test_an_answer_of_no_use_replaces_nothing() -> None:
    """The book was quiet when the first one was requested, and is not compared with the other."""
    book = KnownBook()
    book.apply(5 * SECOND)
    book.asked(6 * SECOND)
    book.asked(6 * SECOND - 1, OTHER)
    assert book.ticks(2) == [None, (6 * SECOND, Comparison(11, 2, ()))]


def test_a_book_that_is_lost_is_not_compared() -> None:
    """Nor one whose segment ends."""
    book = KnownBook()
    book.asked(5 * SECOND, OTHER)
    book.pulse.reset()
    assert book.ticks(3) == [None] * 3


def test_a_clock_that_is_set_back_moves_what_is_proved() -> None:
    """The moment at which the request left, by the clock as it is now."""
    book = KnownBook()
    book.asked(5 * SECOND)
    book.pulse.step_clock(-2 * SECOND)
    assert book.ticks(2) == [None, (3 * SECOND, EQUAL)]
    book.pulse.step_clock(-2 * SECOND)
    assert book.ticks(2) == [None, None]
