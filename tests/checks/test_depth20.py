"""`@depth20`: compared as of its own id, once, and only as far as the book is known."""

from __future__ import annotations

import pytest

from booktape.checks import depth20 as top_module
from booktape.checks.compare import Comparison
from booktape.checks.depth20 import LEVELS, Depth20Check
from booktape.core.checks import Difference
from booktape.core.sync import SymbolSync
from support.oracle import SECOND, Texts, connected, event, snapshot, top

SAME = Comparison(10, 2, ())


def book(bids: Texts, asks: Texts, limit: int = 5000) -> SymbolSync:
    """LIVE at id 10."""
    sync = SymbolSync("BTCUSDT")
    sync.handle(connected(1), SECOND)
    sync.handle(snapshot(10, bids, asks, limit=limit), SECOND)
    return sync


def known() -> SymbolSync:
    return book({"99": "1"}, {"101": "2"})


def apply_event(sync: SymbolSync, last_id: int) -> None:
    """The next event, which changes nothing."""
    sync.handle(event(sync.update_id + 1, last_id), SECOND)


def test_a_partial_book_of_the_book_s_own_id_is_compared_at_once() -> None:
    """A quiet symbol needs no event."""
    partial = top(10, {"99": "1"}, {"101": "2"})
    assert Depth20Check(20).on_levels(partial, known()) == SAME


def test_a_partial_book_that_is_ahead_waits_for_its_event() -> None:
    """It usually comes just before the event."""
    sync, witness = known(), Depth20Check(20)
    assert witness.on_levels(top(12, {"99": "1"}, {"101": "2"}), sync) is None
    apply_event(sync, 11)
    assert witness.on_applied(sync) is None
    apply_event(sync, 12)
    assert witness.on_applied(sync) == SAME._replace(update_id=12)
    apply_event(sync, 13)
    assert witness.on_applied(sync) is None


def test_a_partial_book_of_an_id_that_no_event_ends_with_is_dropped() -> None:
    """The one after it is still compared."""
    sync, witness = known(), Depth20Check(20)
    for last_id in (12, 13):
        witness.on_levels(top(last_id, {"99": "1"}, {"101": "2"}), sync)
    apply_event(sync, 13)
    assert witness.on_applied(sync) == SAME._replace(update_id=13)
    assert not witness.waiting


def test_an_old_partial_book_is_ignored() -> None:
    """It shows a past state, or is a copy, from another connection, of one compared or waiting."""
    sync, witness = known(), Depth20Check(20)
    assert witness.on_levels(top(9), sync) is None
    assert witness.on_levels(top(10, {"99": "1"}, {"101": "2"}), sync)
    assert witness.on_levels(top(10), sync) is None
    for last_id in (12, 12, 11):
        assert witness.on_levels(top(last_id), sync) is None
    assert [partial.last_id for partial in witness.waiting] == [12]


def test_the_number_of_waiting_partial_books_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is dropped: the events of the newest may still come."""
    monkeypatch.setattr(top_module, "WAITING_MAX", 2)
    sync, witness = known(), Depth20Check(20)
    for last_id in (12, 13, 14):
        witness.on_levels(top(last_id), sync)
    assert [partial.last_id for partial in witness.waiting] == [13, 14]


def test_forgetting_starts_afresh() -> None:
    """Nothing waits, and nothing counts as seen."""
    sync, witness = known(), Depth20Check(20)
    witness.on_levels(top(12), sync)
    witness.reset()
    assert not witness.waiting
    assert witness.on_levels(top(10, {"99": "1"}, {"101": "2"}), sync) == SAME


def test_every_kind_of_difference_is_found() -> None:
    """A size, a level too many, a level too few, on both sides."""
    partial = top(10, {"99": "5", "98": "1"}, {"102": "2"})
    found = Depth20Check(20).on_levels(partial, known())
    assert found == Comparison(
        10,
        4,
        (
            Difference("bid", 99, 1, 5),
            Difference("bid", 98, 0, 1),
            Difference("ask", 101, 2, 0),
            Difference("ask", 102, 0, 2),
        ),
    )


def test_as_many_levels_are_compared_as_the_stream_shows() -> None:
    """`@depth20` shows 20; levels of the book behind those are not compared."""
    assert LEVELS == 20
    sync = book({"99": "1", "98": "1", "97": "1"}, {"101": "1", "102": "1", "103": "1"})
    partial = top(10, {"99": "1", "98": "1"}, {"101": "1", "102": "1"})
    assert Depth20Check(2).on_levels(partial, sync) == Comparison(10, 4, ())
    found = Depth20Check(3).on_levels(partial, sync)
    assert found
    assert [difference.price for difference in found.differences] == [97, 103]


def test_nothing_is_compared_beyond_the_horizon() -> None:
    """Levels that the witness shows there may be missing from the book; those that the book has are real."""
    sync = book({"99": "1"}, {"101": "1"}, limit=1)
    sync.handle(event(11, 11, {"97": "1"}, {"103": "1"}), SECOND)
    partial = top(11, {"99": "1", "98": "1", "97": "1"}, {"101": "1", "102": "1", "103": "1"})
    assert Depth20Check(20).on_levels(partial, sync) == Comparison(11, 2, ())
