"""Witnesses: which state of the book each one is compared with, and what follows."""

from __future__ import annotations

from decimal import Decimal

import pytest

from booktape.verify.model import audit, side_streams
from verify.replayed import ReplayedTape, known

MINUTE = 60 * 10**9


def wrong(price: str, book: str, witness: str) -> tuple[object, ...]:
    return ("bid", *(Decimal(text).normalize() for text in (price, book, witness)))


# ── audits ──────────────────────────────────────────────────────────────────────────────────


def test_an_audit_waits_for_the_event_that_reaches_it() -> None:
    """A row that is due at that event comes after the audit."""
    replayed = known().asked(3).answer(4, 12, {"100": "1", "99": "2"})
    assert replayed.since() == []
    assert replayed.event(5, 11, 13, {"99": "2"}).since() == [
        ("check", 5, 13, "rest", 3, 0, ""),
        ("row", 1, 1, 13, 5),
    ]


def test_an_answer_is_carried_forward() -> None:
    """By the events applied since it was requested."""
    replayed = known().asked(3).event(4, 11, 11, {"99": "2"}).event(5, 12, 12, {"99": "3"})
    replayed.since()
    assert replayed.answer(6, 11, {"100": "1", "99": "2"}).since() == [
        ("check", 6, 12, "rest", 3, 0, "")
    ]


def test_an_audit_that_differs_ends_the_epoch() -> None:
    """No more rows of that book are stored."""
    replayed = known().asked(3).answer(4, 11, {"100": "2"}).event(5, 11, 11)
    assert replayed.since() == [("check", 5, 11, "rest", 2, 1, (wrong("100", "1", "2"),))]
    assert replayed.answer(7, 11, {"100": "2"}).since() == [
        ("gap", 1, 5, 7, 11, 11, 0, "disproved"),
        ("row", 2, 0, 11, 7),
    ]


@pytest.mark.parametrize("nothing", ["not asked", "too old", "too much", "lost"])
def test_an_answer_that_is_no_audit_does_not_affect_a_known_book(
    nothing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not requested, is too old, comes after too much else, or the book was lost meanwhile."""
    monkeypatch.setattr(audit, "_KEPT_MAX", 2)
    replayed = known()
    if nothing != "not asked":
        replayed.asked(3)
    last = 9 if nothing == "too old" else 10
    if nothing == "too much":
        replayed.event(4, 11, 11).event(4, 12, 12).event(4, 13, 13)
    if nothing == "lost":
        replayed.gone(4).connected(4).answer(4, 10, {"100": "1"})
    replayed.since()
    assert replayed.answer(5, last, {"100": "7"}).since() == []


def test_a_second_request_discards_the_first() -> None:
    """Also the first one's answer, if it was waiting."""
    replayed = known().asked(3).answer(4, 12, {"100": "7"}).asked(5)
    assert replayed.event(6, 11, 12).since() == [("row", 1, 1, 12, 6)]


def test_levels_that_only_the_audit_knows_are_learnt() -> None:
    """Levels that only the book has beyond its own horizon must be in the answer too."""
    replayed = ReplayedTape().connected(1).answer(2, 10, {"100": "1", "99": "1"}, limit=2)
    replayed.event(3, 11, 11, {"97": "1"}).asked(4).since()
    replayed.answer(5, 11, {"100": "1", "99": "1", "98": "4", "97": "1"}, limit=5)
    assert replayed.since() == [("check", 5, 11, "rest", 4, 0, "")]
    bids = replayed.sync.book.bids
    assert list(bids) == [100, 99, 98, 97]
    assert bids.horizon is None
    replayed.asked(6).answer(7, 11, {"100": "1", "99": "1"}, limit=2)
    assert replayed.since() == [("check", 7, 11, "rest", 3, 0, "")], "inside both horizons"
    assert bids.horizon is None, "knowing less, it teaches nothing"


def test_a_ghost_beyond_the_horizon_is_found() -> None:
    """A level that the book has there and the answer does not."""
    replayed = ReplayedTape().connected(1).answer(2, 10, {"100": "1", "99": "1"}, limit=2)
    replayed.event(3, 11, 11, {"97": "1"}).asked(4).since()
    replayed.answer(5, 11, {"100": "1", "99": "1", "98": "4"})
    assert replayed.since()[0] == ("check", 5, 11, "rest", 4, 1, (wrong("97", "1", "0"),))


# ── streams ─────────────────────────────────────────────────────────────────────────────────


def test_depth20_is_compared_after_its_event() -> None:
    """Comparisons are summed up by the minute, and written at the end."""
    replayed = known().top(3, 11, {"100": "2"}).event(4, 11, 11, {"100": "2"})
    replayed.top(5, 11, {"100": "7"}).top(6, 12, {"100": "2"}).event(7, 12, 12)
    replayed.top(8, 14, {"100": "7"}).event(9, 13, 15)
    replayed.since()
    assert replayed.end(20, "rotated").since() == [
        ("check", 7, 12, "depth20", 4, 0, "2 comparisons")
    ]


def test_depth20_of_the_current_state_is_compared_at_once() -> None:
    """A message of an earlier state is never compared; one that differs has its own row."""
    replayed = known().top(3, 9, {"100": "7"}).top(4, 10, {"100": "7", "98": "1"})
    assert replayed.since() == [
        ("check", 4, 10, "depth20", 3, 2, (wrong("100", "1", "7"), wrong("98", "0", "1")))
    ]


def test_each_minute_has_its_row() -> None:
    """It is written when the next comparison falls into another minute."""
    replayed = known().top(3, 10, {"100": "1"}).top(MINUTE, 11, {"100": "1"}).event(MINUTE, 11, 11)
    assert replayed.since()[0] == ("check", 3, 10, "depth20", 2, 0, "1 comparisons")


def test_only_a_few_messages_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are dropped."""
    monkeypatch.setattr(side_streams, "_TOPS_MAX", 1)
    replayed = known().top(3, 11, {"100": "7"}).top(4, 12, {"100": "1"})
    replayed.event(5, 11, 11).event(6, 12, 12).since()
    assert replayed.end(9, "rotated").since() == [
        ("check", 6, 12, "depth20", 2, 0, "1 comparisons")
    ]


def test_a_ticker_counts_once_a_later_one_has_come() -> None:
    """The ticker with the greatest id up to the event's is the touch after it."""
    replayed = known().ticker(3, 10, "100").event(4, 11, 12).event(5, 13, 13)
    assert replayed.ticker(6, 14, "99").end(7, "rotated").since()[2:] == [
        ("check", 6, 13, "bookTicker", 4, 0, "2 comparisons")
    ]


def test_a_ticker_that_differs_is_reported() -> None:
    """At once."""
    replayed = known().ticker(3, 10, "100.5").event(4, 11, 12).ticker(5, 13, "9")
    assert replayed.since()[1] == (
        *("check", 5, 12, "bookTicker", 2, 2),
        (wrong("100.5", "0", "1"), wrong("100", "1", "0")),
    )


@pytest.mark.parametrize("how", ["connected", "disconnected"])
def test_tickers_from_before_a_change_of_connections_do_not_count(how: str) -> None:
    """A connection may have missed later ones."""
    replayed = known().connected(3, 2).ticker(4, 10, "100.5").event(5, 11, 12)
    replayed = replayed.connected(6, 3) if how == "connected" else replayed.gone(6, 2)
    assert replayed.ticker(7, 13, "9").end(8, "rotated").since() == [("row", 1, 1, 12, 5)]


def test_a_witness_of_an_unknown_book_is_ignored() -> None:
    """It is not kept for later either."""
    replayed = ReplayedTape().connected(1).top(2, 11, {"100": "7"}).ticker(2, 11, "7")
    replayed.answer(3, 10, {"100": "1"}).event(4, 11, 11).since()
    assert replayed.end(5, "rotated").since() == []
