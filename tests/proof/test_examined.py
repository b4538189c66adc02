"""The machine and its examiner: who hears of what, and in which order it is told."""

from __future__ import annotations

import pytest

from booktape.core.events import (
    Applied,
    BookRow,
    DepthSnapshot,
    FetchSnapshot,
    Gap,
    Lost,
    Synced,
    Unreadable,
)
from booktape.core.merge import Lane
from booktape.core.proving import Check
from booktape.core.sync import State, SymbolSync
from booktape.proof.examined import ExaminedSync, Output
from oracle import SECOND, connected, event, lost, shown, snapshot, top

B = "BTCUSDT"
BOOK = snapshot(10, {"99": "1"}, {"101": "1"})


def cold(every: int = 1, audit_s: float = 1_000) -> ExaminedSync:
    return ExaminedSync(SymbolSync(B), every, audit_s, 5000)


def known(every: int = 1, answer: DepthSnapshot = BOOK) -> ExaminedSync:
    """LIVE at id 10 since second 2."""
    examined = cold(every)
    list(examined.take(connected(1), SECOND))
    list(examined.answered(answer, 2 * SECOND))
    return examined


def kinds(outputs: list[Output]) -> list[type]:
    return [type(output) for output in outputs]


def test_an_answer_to_a_machine_that_waits_is_a_beginning() -> None:
    """The gap that ends, the epoch, its first row, and what was held: known since the answer came."""
    examined = known()
    list(examined.take(event(12, 12), 3 * SECOND))
    told = list(examined.answered(snapshot(11), 4 * SECOND))
    assert kinds(told) == [Gap, Synced, BookRow, BookRow]
    rows = [output for output in told if isinstance(output, BookRow)]
    assert [(row.update_id, row.received_ns // SECOND) for row in rows] == [(11, 4), (12, 4)]


def test_what_was_held_may_end_the_epoch_at_once() -> None:
    """A hole behind the snapshot: nothing is proven of such a book."""
    examined = cold()
    list(examined.take(connected(1), SECOND))
    list(examined.take(event(8, 8), SECOND))
    list(examined.take(event(12, 12), SECOND))
    told = list(examined.answered(BOOK, 4 * SECOND))
    assert kinds(told) == [Synced, BookRow, Lost, FetchSnapshot]


def test_an_answer_that_was_cut_off_is_followed_by_another_request() -> None:
    """After the first row, as an audit."""
    examined = cold()
    examined.sync.limit = 1
    list(examined.take(connected(1), SECOND))
    cut_off = snapshot(10, {"99": "1"}, limit=1)
    assert kinds(list(examined.answered(cut_off, SECOND))) == [Synced, BookRow, FetchSnapshot]


def test_rows_come_every_n_events_and_after_the_check() -> None:
    """The row already knows what the check taught."""
    examined = known(every=2, answer=snapshot(10, {"99": "1"}, limit=1))
    examined.asked(0)
    list(examined.answered(snapshot(12, {"99": "1", "98": "2"}), 3 * SECOND))
    assert list(examined.take(event(11, 11), 4 * SECOND)) == []
    check, row = examined.take(event(12, 12), 5 * SECOND)
    assert check == Check(B, 5 * SECOND, 12, "rest", 1)
    assert isinstance(row, BookRow)
    assert shown(row)[0] == [(99, 1), (98, 2)]
    assert row.bid_horizon is None


def test_a_disproved_book_makes_no_row() -> None:
    """The check, the end of the epoch, a request; not the row that was due."""
    examined = known()
    examined.asked(0)
    list(examined.answered(snapshot(11), 3 * SECOND))
    check, gone, request = examined.take(event(11, 11), 4 * SECOND)
    assert isinstance(check, Check)
    assert len(check.differences) == 2
    assert gone == Lost(Gap(B, 1, 4 * SECOND, 11, "disproved"))
    assert request == FetchSnapshot(B, 1)
    assert examined.sync.state is State.SYNCING


def test_an_answer_that_disproves_is_not_the_next_beginning() -> None:
    """What is asked for now comes later than whatever went wrong."""
    examined = known()
    examined.asked(0)
    assert kinds(list(examined.answered(snapshot(10), 3 * SECOND))) == [Check, Lost, FetchSnapshot]
    assert examined.sync.state is State.SYNCING


def test_a_request_of_a_book_that_is_not_known_is_no_audit() -> None:
    """Its answer will be a beginning."""
    examined = cold(audit_s=0)
    list(examined.take(connected(1), SECOND))
    examined.asked(0)
    list(examined.answered(BOOK, 2 * SECOND))
    assert list(examined.answered(BOOK, 3 * SECOND)) == []


def test_losing_the_book_ends_the_audit_and_the_waiting() -> None:
    """What was kept before the hole must not be applied to an answer behind it."""
    examined = known()
    examined.asked(0)
    list(examined.told(top(30), 0, 3 * SECOND))
    list(examined.take(lost(4), 4 * SECOND))
    list(examined.take(connected(5), 5 * SECOND))
    list(examined.answered(snapshot(29), 6 * SECOND))
    assert kinds(list(examined.answered(snapshot(29), 7 * SECOND))) == [FetchSnapshot]
    assert kinds(list(examined.take(event(30, 30), 8 * SECOND))) == [BookRow]


def test_unreadable_answers_are_the_machine_s_or_the_examiner_s() -> None:
    """Whoever asked asks again."""
    examined = cold()
    list(examined.take(connected(1), SECOND))
    assert list(examined.answered(Unreadable(), SECOND)) == [FetchSnapshot(B, 2)]
    list(examined.answered(BOOK, 2 * SECOND))
    examined.asked(0)
    assert list(examined.answered(Unreadable(), SECOND)) == [FetchSnapshot(B, 2)]


def test_witnesses_of_a_book_that_is_not_known_are_not_heard() -> None:
    """There is nothing to compare with."""
    examined = cold()
    assert list(examined.told(top(10, {"99": "1"}), 0, SECOND)) == []
    examined = known()
    (check, _) = examined.told(top(10, {"99": "1"}), 0, 20 * SECOND)
    assert isinstance(check, Check)


def test_what_the_next_segment_needs() -> None:
    """The machine, its lane, and when the next audit may be asked for."""
    examined = known()
    examined.examiner.due_ns, examined.examiner.asked_ns = 77, 66
    saved = examined.save(Lane(10, {0: 10}), 5 * SECOND)
    assert (saved.audit_due_ns, saved.asked_ns) == (77, 66)
    assert (saved.received_ns, saved.symbol, saved.state) == (5 * SECOND, B, "live")
    assert (saved.update_id, saved.passed, saved.reached) == (10, 10, {0: 10})


def test_all_that_the_machine_says_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says of an event that it was applied, and no more; should it ever, nothing gets lost."""
    examined = known()
    wordy = (Applied(event(11, 11)), Applied(event(12, 12)), Lost(Gap(B, 1, SECOND, 12, "id_gap")))
    monkeypatch.setattr(SymbolSync, "take", lambda *_: wordy)
    assert kinds(list(examined.take(event(11, 11), SECOND))) == [BookRow, BookRow, Lost]
