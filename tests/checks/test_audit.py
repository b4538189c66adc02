"""A later snapshot: carried to the book's id, compared where both must know, and learnt from."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from booktape.checks import audit
from booktape.checks.audit import Audit, compare, learn
from booktape.core.book import OrderBook
from booktape.core.checks import Difference
from support.oracle import Texts, event, levels, snapshot

Prices = list[float]


def bids(texts: Texts, horizon: float | None = None) -> OrderBook:
    """A book whose ask side is known to be empty."""
    return OrderBook(levels(texts), (), horizon)


def mirrored(texts: Texts, horizon: float | None = None) -> OrderBook:
    """The same book mirrored: a bid at price p becomes an ask at 200 - p."""
    asks = [(200 - price, size) for price, size in levels(texts)]
    return OrderBook((), asks, None, None if horizon is None else 200 - horizon)


# ── being carried ───────────────────────────────────────────────────────────────────────────


def test_without_an_answer_there_is_no_witness() -> None:
    """Until it comes, events are only kept."""
    under_way = Audit(10)
    assert under_way.on_applied(event(11, 11))
    assert under_way.book_of_answer(11) is None
    assert under_way.limit == 0


@pytest.mark.parametrize(("last_id", "useful"), [(9, False), (10, True), (11, True)])
def test_an_answer_must_not_be_older_than_the_kept_events(last_id: int, *, useful: bool) -> None:
    """Events applied between the answer's id and the request were not kept."""
    assert Audit(10).on_answer(snapshot(last_id)) is useful


def test_only_events_later_than_the_answer_are_applied() -> None:
    """The answer is right up to its id: the size of a later event counts, that of an earlier one does not."""
    under_way = Audit(10)
    for each in (event(11, 12, {"100": "5"}), event(13, 13, {"99": "6"})):
        under_way.on_applied(each)
    under_way.on_answer(snapshot(12, {"100": "7", "99": "1"}, limit=2))
    assert under_way.limit == 2
    assert under_way.book_of_answer(13) == bids({"100": "7", "99": "6"})


def test_an_event_that_straddles_the_answer_is_applied_whole() -> None:
    """Its sizes are absolute, as of its end."""
    under_way = Audit(10)
    under_way.on_applied(event(11, 14, {"100": "5", "98": "2"}))
    under_way.on_answer(snapshot(12, {"100": "7"}))
    assert under_way.book_of_answer(14) == bids({"100": "5", "98": "2"})


def test_an_answer_ahead_of_the_book_waits() -> None:
    """It waits for the event that reaches its id."""
    under_way = Audit(10)
    under_way.on_answer(snapshot(12, {"100": "7"}))
    assert under_way.book_of_answer(11) is None
    assert under_way.book_of_answer(12) == bids({"100": "7"})


def test_the_number_of_kept_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that never comes costs bounded memory."""
    monkeypatch.setattr(audit, "KEPT_MAX", 2)
    under_way = Audit(10)
    assert [under_way.on_applied(event(n, n)) for n in (11, 12, 13)] == [True, True, False]


# ── being compared ──────────────────────────────────────────────────────────────────────────


class Case(NamedTuple):
    """Bids of the book and of the witness, with their horizons; how many are compared, and which differ."""

    book: Texts
    book_horizon: float | None
    witness: Texts
    witness_horizon: float | None
    levels: int
    differ: Prices


CASES: Final = {
    "equal": Case({"99": "1", "98": "2"}, None, {"99": "1", "98": "2"}, None, 2, []),
    "nothing": Case({}, None, {}, None, 0, []),
    "another size": Case({"99": "1"}, None, {"99": "2"}, None, 1, [99]),
    "a ghost": Case({"99": "1", "98": "2"}, None, {"99": "1"}, None, 2, [98]),
    "one is missing": Case({"99": "1"}, None, {"99": "1", "98": "2"}, None, 2, [98]),
    "a horizon is inside": Case({"99": "1"}, 98, {"99": "1", "98": "2"}, 98, 2, [98]),
    "beyond the book's the witness may know more": Case(
        {"99": "1", "98": "2"}, 98, {"99": "1", "98": "2", "97": "3"}, 97, 2, []
    ),
    "beyond the book's its levels are real": Case(
        {"99": "1", "98": "2", "96": "3"}, 98, {"99": "1", "98": "2"}, None, 3, [96]
    ),
    "and have the right size": Case(
        {"99": "1", "96": "3"}, 98, {"99": "1", "97": "2", "96": "3"}, 96, 2, []
    ),
    "beyond the witness's the book may know more": Case(
        {"99": "1", "98": "2", "97": "3"}, None, {"99": "1", "98": "2"}, 98, 2, []
    ),
    "beyond the witness's nothing is compared": Case(
        {"99": "1", "97": "3"}, None, {"99": "1", "97": "4", "96": "1"}, 98, 1, []
    ),
    "beyond both": Case({"99": "1", "90": "3"}, 98, {"99": "1", "90": "4"}, 98, 1, []),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_which_levels_are_compared(case: Case) -> None:
    """Inside both horizons, all levels of either; further out, the book's levels up to the witness's horizon."""
    book, witness = bids(case.book, case.book_horizon), bids(case.witness, case.witness_horizon)
    found = compare(7, book, witness)
    assert (found.update_id, found.levels) == (7, case.levels)
    assert [difference.price for difference in found.differences] == case.differ


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_asks_are_compared_like_bids(case: Case) -> None:
    """The same cases mirrored."""
    book = mirrored(case.book, case.book_horizon)
    found = compare(7, book, mirrored(case.witness, case.witness_horizon))
    assert found.levels == case.levels
    assert [200 - difference.price for difference in found.differences] == case.differ


def test_differences_are_reported_with_both_sizes() -> None:
    """Bids come first."""
    book = OrderBook(levels({"99": "1"}), levels({"101": "2"}))
    witness = OrderBook(levels({"98": "3"}), levels({"101": "4"}))
    assert compare(7, book, witness).differences == (
        Difference("bid", 99, 1, 0),
        Difference("bid", 98, 0, 3),
        Difference("ask", 101, 2, 4),
    )


# ── being learnt from ───────────────────────────────────────────────────────────────────────

LEARNT: Final = {
    "a wider horizon": (98, 96, {"99": "1", "98": "2", "97": "3", "96": "4"}, 96),
    "a whole side": (98, None, {"99": "1", "98": "2", "97": "3", "96": "4", "95": "5"}, None),
    "a narrower horizon": (98, 99, {"99": "1", "98": "2"}, 98),
    "the same horizon": (98, 98, {"99": "1", "98": "2"}, 98),
    "nothing new of a whole side": (None, 96, {"99": "1", "98": "2"}, None),
}
OFFERED: Final = {"99": "1", "98": "2", "97": "3", "96": "4", "95": "5"}


@pytest.mark.parametrize(("mine", "theirs", "levels", "horizon"), LEARNT.values(), ids=LEARNT)
def test_a_book_learns_what_lies_beyond_its_horizon(
    mine: float | None, theirs: float | None, levels: Texts, horizon: float | None
) -> None:
    """It learns as far as the witness is complete, and its horizon only moves outwards."""
    for make in (bids, mirrored):
        book, expected = make({"99": "1", "98": "2"}, mine), make(levels, horizon)
        learn(book, make(OFFERED, theirs))
        assert book == expected
        assert (book.bid_horizon, book.ask_horizon) == (expected.bid_horizon, expected.ask_horizon)


def test_nothing_is_learnt_inside_the_book_s_horizon() -> None:
    """There the two were equal."""
    book = bids({"99": "1"}, 98)
    learn(book, bids({"99": "9", "97": "3"}, 97))
    assert book == bids({"99": "1", "97": "3"})
