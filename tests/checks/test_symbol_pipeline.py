"""The machine and its checks: which of them gets which input, and the order of their outputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.checks.symbol_pipeline import PipelineOutput, SymbolPipeline, is_row_due
from booktape.core.arbitration import SymbolFeed
from booktape.core.checks import Check
from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    DepthSnapshot,
    FetchSnapshot,
    GapInterval,
    UnreadableAnswer,
)
from booktape.core.sync import State, SymbolSync
from support.oracle import SECOND, connected, event, lost, shown, snapshot, top

B = "BTCUSDT"
BOOK = snapshot(10, {"99": "1"}, {"101": "1"})


def cold(every: int = 1, audit_s: float = 1_000) -> SymbolPipeline:
    return SymbolPipeline(SymbolSync(B), every, audit_s, 5000)


def known(every: int = 1, answer: DepthSnapshot = BOOK) -> SymbolPipeline:
    """LIVE at id 10 since second 2."""
    pipeline = cold(every)
    list(pipeline.handle(connected(1), SECOND))
    list(pipeline.on_snapshot(answer, 2 * SECOND))
    return pipeline


def kinds(outputs: list[PipelineOutput]) -> list[type]:
    return [type(output) for output in outputs]


def test_an_answer_to_a_waiting_machine_begins_an_epoch() -> None:
    """The gap ends; then the epoch, its first row and the held events, all known since the answer came."""
    pipeline = known()
    list(pipeline.handle(event(12, 12), 3 * SECOND))
    outputs = list(pipeline.on_snapshot(snapshot(11), 4 * SECOND))
    assert kinds(outputs) == [GapInterval, BookSynced, BookRow, BookRow]
    rows = [output for output in outputs if isinstance(output, BookRow)]
    assert [(row.update_id, row.received_ns // SECOND) for row in rows] == [(11, 4), (12, 4)]


def test_held_events_may_end_the_epoch_at_once() -> None:
    """With a hole behind the snapshot, nothing about the book is proven."""
    pipeline = cold()
    list(pipeline.handle(connected(1), SECOND))
    list(pipeline.handle(event(8, 8), SECOND))
    list(pipeline.handle(event(12, 12), SECOND))
    outputs = list(pipeline.on_snapshot(BOOK, 4 * SECOND))
    assert kinds(outputs) == [BookSynced, BookRow, BookLost, FetchSnapshot]


def test_an_answer_that_was_cut_off_is_followed_by_another_request() -> None:
    """It follows the first row, as an audit."""
    pipeline = cold()
    pipeline.sync.snapshot_limit = 1
    list(pipeline.handle(connected(1), SECOND))
    cut_off = snapshot(10, {"99": "1"}, limit=1)
    assert kinds(list(pipeline.on_snapshot(cut_off, SECOND))) == [
        BookSynced,
        BookRow,
        FetchSnapshot,
    ]


def test_rows_come_every_n_events_and_after_the_check() -> None:
    """The row already contains what the check taught the book."""
    pipeline = known(every=2, answer=snapshot(10, {"99": "1"}, limit=1))
    pipeline.on_request_sent(0)
    list(pipeline.on_snapshot(snapshot(12, {"99": "1", "98": "2"}), 3 * SECOND))
    assert list(pipeline.handle(event(11, 11), 4 * SECOND)) == []
    check, row = pipeline.handle(event(12, 12), 5 * SECOND)
    assert check == Check(B, 5 * SECOND, 12, "rest", 1)
    assert isinstance(row, BookRow)
    assert shown(row)[0] == [(99, 1), (98, 2)]
    assert row.bid_horizon is None


def test_a_disproved_book_makes_no_row() -> None:
    """There is the check, the end of the epoch and a request, but not the row that was due."""
    pipeline = known()
    pipeline.on_request_sent(0)
    list(pipeline.on_snapshot(snapshot(11), 3 * SECOND))
    check, gone, request = pipeline.handle(event(11, 11), 4 * SECOND)
    assert isinstance(check, Check)
    assert len(check.differences) == 2
    assert gone == BookLost(GapInterval(B, 1, 4 * SECOND, 11, "disproved"))
    assert request == FetchSnapshot(B, 1)
    assert pipeline.sync.state is State.SYNCING


def test_an_answer_that_disproves_a_book_does_not_begin_the_next_epoch() -> None:
    """The snapshot requested now is later than whatever went wrong."""
    pipeline = known()
    pipeline.on_request_sent(0)
    assert kinds(list(pipeline.on_snapshot(snapshot(10), 3 * SECOND))) == [
        Check,
        BookLost,
        FetchSnapshot,
    ]
    assert pipeline.sync.state is State.SYNCING


def test_a_request_for_an_unknown_book_is_no_audit() -> None:
    """Its answer will begin an epoch."""
    pipeline = cold(audit_s=0)
    list(pipeline.handle(connected(1), SECOND))
    pipeline.on_request_sent(0)
    list(pipeline.on_snapshot(BOOK, 2 * SECOND))
    assert list(pipeline.on_snapshot(BOOK, 3 * SECOND)) == []


def test_losing_the_book_ends_its_audit_and_drops_waiting_witnesses() -> None:
    """Events kept before the hole must not be applied to an answer behind it."""
    pipeline = known()
    pipeline.on_request_sent(0)
    list(pipeline.on_witness(top(30), 0, 3 * SECOND))
    list(pipeline.handle(lost(4), 4 * SECOND))
    list(pipeline.handle(connected(5), 5 * SECOND))
    list(pipeline.on_snapshot(snapshot(29), 6 * SECOND))
    assert kinds(list(pipeline.on_snapshot(snapshot(29), 7 * SECOND))) == [FetchSnapshot]
    assert kinds(list(pipeline.handle(event(30, 30), 8 * SECOND))) == [BookRow]


def test_unreadable_answers_go_to_the_machine_or_to_the_checks() -> None:
    """The request is repeated."""
    pipeline = cold()
    list(pipeline.handle(connected(1), SECOND))
    assert list(pipeline.on_snapshot(UnreadableAnswer(), SECOND)) == [FetchSnapshot(B, 2)]
    list(pipeline.on_snapshot(BOOK, 2 * SECOND))
    pipeline.on_request_sent(0)
    assert list(pipeline.on_snapshot(UnreadableAnswer(), SECOND)) == [FetchSnapshot(B, 2)]


def test_witnesses_of_an_unknown_book_are_ignored() -> None:
    """There is nothing to compare them with."""
    pipeline = cold()
    assert list(pipeline.on_witness(top(10, {"99": "1"}), 0, SECOND)) == []
    pipeline = known()
    (check, _) = pipeline.on_witness(top(10, {"99": "1"}), 0, 20 * SECOND)
    assert isinstance(check, Check)


def test_everything_the_next_segment_needs_is_saved() -> None:
    """The machine, its feed, and when the next audit may be requested."""
    pipeline = known()
    pipeline.checks.due_ns, pipeline.checks.asked_ns = 77, 66
    saved = pipeline.save(SymbolFeed(10, {0: 10}), 5 * SECOND)
    assert (saved.audit_due_ns, saved.asked_ns) == (77, 66)
    assert (saved.received_ns, saved.symbol, saved.state) == (5 * SECOND, B, "live")
    assert (saved.update_id, saved.passed, saved.reached) == (10, 10, {0: 10})


def test_every_output_of_the_machine_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Today an event has one output, that it was applied; if there were more, none would be lost."""
    pipeline = known()
    wordy = (
        event(11, 11),
        event(12, 12),
        BookLost(GapInterval(B, 1, SECOND, 12, "id_gap")),
    )
    monkeypatch.setattr(SymbolSync, "handle", lambda *_: wordy)
    assert kinds(list(pipeline.handle(event(11, 11), SECOND))) == [BookRow, BookRow, BookLost]


@given(every=st.integers(1, 1_000), epoch=st.integers(0, 50))
def test_rows_are_exactly_n_events_apart(every: int, epoch: int) -> None:
    """From the snapshot on (0 events) there is a row every N events, and no other."""
    due = [updates for updates in range(epoch * every + every) if is_row_due(updates, every)]
    assert due == [n * every for n in range(epoch + 1)]
