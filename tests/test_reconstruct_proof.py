"""Audits, in short sequences of records: a later snapshot is compared, learnt from, or ends the epoch.

The proof by any script is in properties/; here each promise has one readable sequence.
"""

from __future__ import annotations

import pytest

from booktape.core.checks import Check, Difference
from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    FetchSnapshot,
    GapInterval,
    MalformedMessage,
    Urgency,
)
from booktape.core.sync import State
from booktape.core.tape_records import ROTATED, DepthAnswer, SegmentEnd, TapeRecord
from booktape.reconstruct import Output, Reconstruction
from support.oracle import (
    SECOND,
    asked,
    connected,
    event,
    lost,
    rest,
    shown,
    snapshot,
    start,
    stream,
)
from support.reconstructions import B, continued, feed_all, known, rows, ticks

NARROW = snapshot(10, {"100": "1", "99": "2"}, {"101": "1"}, limit=2)
"""A book with only two bids known for certain."""

WIDE = {"100": "1", "99": "2", "98": "3"}


def answer(last: int, at: int, first_bid: str = "1") -> DepthAnswer:
    return rest(snapshot(last, {**WIDE, "100": first_bid}, {"101": "1"}), at)


def passed(outputs: list[Output]) -> list[tuple[int, int, int]]:
    """Update id, second and number of levels of each check, all of which must have passed."""
    found = [output for output in outputs if isinstance(output, Check)]
    assert all(check.witness == "rest" and not check.differences for check in found)
    return [
        (check.update_id, check.received_ns // SECOND, check.levels_compared) for check in found
    ]


def test_an_audit_passes_and_the_book_knows_more() -> None:
    """From then on rows have more levels and a wider horizon, without a new epoch."""
    machine = known(book=NARROW)
    outputs = feed_all(asked(3), stream(event(11, 11), 4), answer(10, 5), to=machine)
    assert passed(outputs) == [(11, 5, 3)]
    (row,) = rows(feed_all(stream(event(12, 12), 6), to=machine))
    assert (row.epoch, row.updates, row.bid_horizon) == (1, 2, None)
    assert shown(row)[0] == [(100, 1), (99, 2), (98, 3)]


def test_an_answer_ahead_of_the_book_waits_for_the_event_that_reaches_it() -> None:
    """The row due at that event comes after the check, and contains what the book learnt from it."""
    machine = known(book=NARROW)
    outputs = feed_all(asked(3), answer(12, 4, "12"), stream(event(11, 11), 5), to=machine)
    assert passed(outputs) == []
    check, row = feed_all(stream(event(12, 12, {"100": "12"}), 6), to=machine)
    assert passed([check]) == [(12, 6, 3)]
    assert isinstance(row, BookRow)
    assert row.bid_horizon is None


def test_an_event_that_straddles_the_answer_is_applied_whole() -> None:
    """Whether it comes before or after the answer, its sizes are as of its last id."""
    straddling = stream(event(11, 14, {"100": "14", "98": "5"}), 4)
    late, early = answer(12, 5, "12"), answer(12, 4, "12")
    orders: list[list[TapeRecord]] = [[straddling, late], [early, straddling]]
    for frames in orders:
        machine = known(book=NARROW)
        outputs = feed_all(asked(3), *frames, to=machine)
        assert [check[0] for check in passed(outputs)] == [14]
        assert shown(machine.syncs[B].row(0))[0] == [(100, 14), (99, 2), (98, 5)]


@pytest.mark.parametrize("last", [9, 10])
def test_an_answer_older_than_its_request_proves_nothing(last: int) -> None:
    """Events applied before the request are not kept: an answer at id 10 cannot be carried to 11."""
    machine = known()
    feed_all(stream(event(11, 11, {"100": "5"}), 3), asked(4), to=machine)
    assert feed_all(rest(snapshot(last), 5), to=machine) == []
    assert feed_all(stream(event(12, 12), 6), to=machine) != []
    assert machine.syncs[B].epoch == 1


def test_a_mismatch_ends_the_epoch() -> None:
    """There is the check with its levels, the gap since the last event and a request, but no row."""
    machine = known()
    feed_all(asked(3), rest(snapshot(12, {"100": "7"}, {"101": "1"}), 4), to=machine)
    feed_all(stream(event(11, 11), 5), to=machine)
    outputs = feed_all(stream(event(12, 12), 6), to=machine)
    wrong = Difference("bid", 100, 1, 7)
    gap = GapInterval(B, 1, 6 * SECOND, 12, "disproved")
    assert outputs == [
        Check(B, 6 * SECOND, 12, "rest", 2, (wrong,)),
        BookLost(gap),
        FetchSnapshot(B, 1),
    ]
    assert machine.open_gaps() == [gap]
    assert machine.syncs[B].state is State.SYNCING


def test_a_disproved_book_is_known_again_with_the_next_answer() -> None:
    """But not with the answer that disproved it."""
    machine = known()
    feed_all(asked(3), rest(snapshot(10, {"100": "7"}), 4), asked(5), to=machine)
    outputs = feed_all(stream(event(11, 11, {"100": "8"}), 6), to=machine)
    assert outputs == []
    outputs = feed_all(rest(snapshot(11, {"100": "8"}), 7), to=machine)
    gap, synced, row = outputs
    assert gap == GapInterval(B, 1, 2 * SECOND, 10, "disproved", 7 * SECOND, 11)
    assert isinstance(synced, BookSynced)
    assert isinstance(row, BookRow)
    assert (row.epoch, shown(row)[0]) == (2, [(100, 8)])


def test_a_repeated_request_restarts_the_audit() -> None:
    """Events kept for the first answer are not applied to the second."""
    machine = known(book=NARROW)
    feed_all(asked(3), answer(12, 4), asked(5), to=machine)
    assert passed(feed_all(stream(event(11, 12), 6), to=machine)) == []
    assert passed(feed_all(answer(12, 7), to=machine)) == [(12, 7, 3)]


def test_no_audit_survives_the_loss_of_its_book() -> None:
    """If events before the hole were applied to an answer behind it, a good book would be disproved."""
    machine = known()
    frames: list[TapeRecord] = [
        asked(3),
        stream(event(11, 11, {"100": "11"}), 4),
        lost(5),
        connected(6),
    ]
    frames += [rest(snapshot(15, {"100": "15"}), 7), stream(event(16, 16, {"100": "16"}), 8)]
    feed_all(*frames, to=machine)
    assert feed_all(rest(snapshot(12, {"100": "12"}), 9), to=machine) == []
    assert machine.syncs[B].epoch == 2


def test_an_answer_to_a_request_of_the_previous_segment_is_no_audit() -> None:
    """The next segment can be read alone: it does not know the events applied since the request."""
    machine = known()
    feed_all(asked(3), stream(event(11, 11, {"100": "11"}), 4), to=machine)
    assert feed_all(SegmentEnd(5 * SECOND, ROTATED), to=machine) == []
    late = rest(snapshot(10, {"100": "1"}, {"101": "1"}), 6)
    for each in (machine, continued(machine, 5)):
        assert feed_all(late, to=each) == []
        assert each.syncs[B].epoch == 1


def test_an_answer_without_a_request_proves_nothing() -> None:
    """Whether it is right or wrong."""
    assert feed_all(rest(snapshot(10, {"7": "7"}), 3), to=known()) == []


def test_an_error_page_ends_the_audit() -> None:
    """It is reported, and nothing else changes."""
    machine = known()
    page = DepthAnswer(4 * SECOND, B, 5000, b"<html>")
    outputs = feed_all(asked(3), page, rest(snapshot(10), 5), to=machine)
    assert [type(output) for output in outputs] == [MalformedMessage]
    assert machine.syncs[B].epoch == 1


def test_more_levels_of_a_book_that_is_cut_off_are_requested() -> None:
    """With audits on and many symbols, the first answer is a small one, and more depth follows."""
    symbols = (B, *(f"S{n}USDT" for n in range(30)))
    machine = Reconstruction()
    first = feed_all(start(*symbols, audit_s=600), connected(1, symbols=(B,)), to=machine)
    assert [f.limit for f in first if isinstance(f, FetchSnapshot)] == [100]
    side = {f"{200 - n}": "1" for n in range(100)}
    *_, more = feed_all(rest(snapshot(10, side, limit=100), 2), to=machine)
    assert isinstance(more, FetchSnapshot)
    assert (more.symbol, more.limit, more.urgency) == (B, 500, Urgency.DEEPER)


def test_the_time_of_the_next_audit_is_kept_in_the_next_segment() -> None:
    """Nothing else of an audit is kept."""
    machine = known(audit_s=600)
    due_ns = next(machine.checkpoints(3)).audit_due_ns
    due_s = due_ns // SECOND + 1
    feed_all(SegmentEnd(5 * SECOND, ROTATED), to=machine)
    later = continued(machine, 5, audit_s=600)
    assert next(later.checkpoints(3)).audit_due_ns == due_ns
    outputs = feed_all(stream(event(11, 11), due_s), to=later)
    assert [type(output) for output in outputs] == [FetchSnapshot, BookRow]


def test_checks_do_not_depend_on_n() -> None:
    """How often rows are written does not affect what is proven."""
    final = rest(snapshot(13, {"100": "13"}, {"101": "1"}), 5)
    frames: list[TapeRecord] = [asked(3), *(stream(tick, 4) for tick in ticks(11, 14)), final]
    found = [passed(feed_all(*frames, to=known(every))) for every in (1, 3, 100)]
    assert found == [[(14, 5, 2)]] * 3
