"""The other streams, in short sequences of records: what they prove about a book, and when.

The proof by any script is in properties/; here each promise has one readable sequence.
"""

from __future__ import annotations

import pytest

from booktape.core.checks import Check, Difference
from booktape.core.events import BookRow, FetchSnapshot, UnknownEvent
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import ROTATED, SegmentEnd, TapeRecord
from support.oracle import SECOND, connected, event, lost, rest, snapshot, stream, ticker, top
from support.reconstructions import B, checks, continued, feed_all, known, rows

BIDS, ASKS = {"100": "1"}, {"101": "1"}
END = SegmentEnd(600 * SECOND, ROTATED)


def compared(*frames: TapeRecord) -> list[tuple[str, int, int, int]]:
    """The checks after a book known since second 2: witness, id, levels, number of comparisons."""
    found = checks(feed_all(*frames, END, to=known()))
    assert not any(check.differences for check in found)
    return [(c.witness, c.update_id, c.levels_compared, c.comparisons) for c in found]


def depth20(last: int, at: int, connection: int = 0) -> TapeRecord:
    return stream(top(last, BIDS, ASKS), at, connection)


def ticked(update_id: int, at: int, connection: int = 0) -> TapeRecord:
    return stream(ticker(update_id, BIDS, ASKS), at, connection)


def quiet(last: int, at: int, connection: int = 0) -> TapeRecord:
    """An event that changes nothing."""
    return stream(event(last, last), at, connection)


# ── depth20 ─────────────────────────────────────────────────────────────────────────────────


def test_a_partial_book_may_come_before_at_or_after_its_event() -> None:
    """It usually comes just before; at the book's id it is compared at once; later it is stale."""
    early = [depth20(11, 3), quiet(11, 3)]
    assert compared(*early) == [("depth20", 11, 2, 1)]
    assert compared(quiet(11, 3), depth20(11, 3)) == [("depth20", 11, 2, 1)]
    assert compared(quiet(11, 3), quiet(12, 3), depth20(11, 3)) == []


def test_a_partial_book_of_an_id_that_no_event_ends_with_is_not_compared() -> None:
    """The state in the middle of an event is unknown."""
    assert compared(depth20(12, 3), stream(event(11, 13), 3)) == []


def test_a_copy_from_another_connection_counts_once() -> None:
    """Whether the first was already compared or still waits."""
    two = connected(2, 1)
    assert compared(two, depth20(11, 3), depth20(11, 3, 1), quiet(11, 3)) == [("depth20", 11, 2, 1)]
    assert compared(two, quiet(11, 3), depth20(11, 3), depth20(11, 3, 1)) == [("depth20", 11, 2, 1)]


def test_a_partial_book_that_differs_is_reported_at_once() -> None:
    """Before the row of that event; the book stays known until an audit decides."""
    machine = known(audit_s=600)
    check, request, row = feed_all(
        stream(top(11, {"100": "9"}, ASKS), 19), stream(event(11, 11), 20), to=machine
    )
    assert check == Check(B, 20 * SECOND, 11, "depth20", 2, (Difference("bid", 100, 1, 9),))
    assert request == FetchSnapshot(B, 1)
    assert isinstance(row, BookRow)
    assert machine.syncs[B].epoch == 1


def test_waiting_partial_books_are_dropped_when_the_book_is_lost() -> None:
    """The next epoch begins with none, although the same id may come again."""
    frames = [
        depth20(30, 3),
        lost(4),
        connected(5),
        rest(snapshot(29, BIDS, ASKS), 6),
        quiet(30, 7),
    ]
    assert compared(*frames) == []


def test_an_unknown_book_is_not_compared() -> None:
    """Witnesses that come before the answer are dropped."""
    assert compared(lost(3), connected(4), depth20(12, 5), rest(snapshot(12, BIDS, ASKS), 6)) == []


# ── bookTicker ──────────────────────────────────────────────────────────────────────────────


def test_a_touch_is_proven_by_the_ticker_after_it() -> None:
    """Until then the ticker that belongs to it may still come."""
    machine = known()
    feed_all(ticked(10, 3), quiet(11, 3), to=machine)
    assert checks(feed_all(SegmentEnd(4 * SECOND, ROTATED), to=machine)) == []
    assert compared(ticked(10, 3), quiet(11, 3), ticked(12, 4)) == [("bookTicker", 11, 2, 1)]


def test_a_ticker_that_comes_after_its_event_is_no_false_alarm() -> None:
    """That is why the comparison is deferred: compared with the previous ticker, the event would differ."""
    frames = [
        ticked(10, 3),
        stream(event(11, 13, {"100": "5"}), 3),
        stream(ticker(12, {"100": "5"}, ASKS), 3),
        stream(ticker(14, {"100": "6"}, ASKS), 3),
    ]
    assert compared(*frames) == [("bookTicker", 13, 2, 1)]


def test_a_touch_that_differs_is_reported_at_once() -> None:
    """With the id of the touch, and the time at which it was proven wrong."""
    machine = known()
    outputs = feed_all(ticked(10, 3), quiet(11, 4), quiet(12, 5), to=machine)
    assert len(rows(outputs)) == len(outputs) == 2
    feed_all(stream(ticker(12, {"100": "9"}, ASKS), 6), to=machine)
    assert checks(feed_all(ticked(13, 7), to=machine)) == [
        Check(B, 7 * SECOND, 12, "bookTicker", 2, (Difference("bid", 100, 1, 9),))
    ]


@pytest.mark.parametrize("note", [connected(4, 1), lost(4, 1)])
def test_a_connection_that_opens_or_closes_may_have_missed_tickers(note: TapeRecord) -> None:
    """Earlier tickers and touches are dropped."""
    five = {"100": "5"}
    machine = known()
    feed_all(connected(2, 1), ticked(10, 3), note, stream(event(11, 11, five), 5), to=machine)
    said_later = [stream(ticker(n, five, ASKS), 6) for n in (12, 13)]
    outputs = feed_all(said_later[0], quiet(12, 6), said_later[1], END, to=machine)
    assert [(c.update_id, c.comparisons, c.differences) for c in checks(outputs)] == [(12, 1, ())]


def test_a_connection_that_has_just_joined_may_run_ahead() -> None:
    """Tickers it missed are on their way on the other connection, so its own prove nothing about the time between."""
    machine = known()
    feed_all(connected(3, 1), ticked(10, 4), ticked(14, 4, 1), to=machine)
    five = {"100": "5"}
    feed_all(stream(ticker(11, five, ASKS), 5), stream(event(11, 11, five), 5), to=machine)
    outputs = feed_all(stream(event(12, 12), 6, 1), ticked(14, 7), END, to=machine)
    assert [(c.update_id, c.comparisons, c.differences) for c in checks(outputs)] == [(12, 2, ())]


# ── both ────────────────────────────────────────────────────────────────────────────────────


def test_passed_checks_are_summed_by_the_minute() -> None:
    """One row with the time and id of the last, when a check comes in another minute."""
    machine = known()
    frames = [
        frame for n in range(11, 14) for frame in (quiet(n, 20 * n - 180), depth20(n, 20 * n - 180))
    ]
    outputs = feed_all(*frames, to=machine)
    first = Check(B, 40 * SECOND, 11, "depth20", 2, (), 1)
    assert checks(outputs) == [first]
    second = Check(B, 80 * SECOND, 13, "depth20", 4, (), 2)
    assert checks(feed_all(END, to=machine)) == [second]


@pytest.mark.parametrize("reason", [ROTATED, STOPPED])
def test_the_end_of_a_segment_reports_the_sum(reason: str) -> None:
    """It is reported once."""
    machine = known()
    feed_all(quiet(11, 3), depth20(11, 3), to=machine)
    end = SegmentEnd(9 * SECOND, reason)
    assert len(checks(feed_all(end, to=machine))) == 1
    assert checks(feed_all(end, to=machine)) == []


def test_a_segment_read_alone_gives_the_same_checks() -> None:
    """Both drop waiting witnesses and unproven touches at the end of a segment."""
    machine = known()
    feed_all(depth20(11, 3), depth20(12, 3), ticked(10, 3), quiet(11, 3), to=machine)
    feed_all(SegmentEnd(4 * SECOND, ROTATED), to=machine)
    alone = continued(machine, 4)
    after = [
        quiet(12, 5),
        ticked(13, 5),
        depth20(13, 6),
        quiet(13, 6),
        quiet(14, 6),
        ticked(15, 7),
        END,
    ]
    outputs = [checks(feed_all(*after, to=each)) for each in (machine, alone)]
    assert outputs[0] == outputs[1]
    assert [(c.witness, c.update_id, c.comparisons) for c in outputs[0]] == [
        ("depth20", 13, 1),
        ("bookTicker", 14, 2),
    ]


def test_a_connection_proves_no_book_that_it_did_not_subscribe_to() -> None:
    """A witness of another symbol, or on a connection that does not carry it, is foreign."""
    machine = known()
    strange = [stream(top(11, symbol="ETHBTC"), 3), depth20(11, 3, connection=7)]
    outputs = feed_all(*strange, quiet(11, 3), END, to=machine)
    foreign = [output.name for output in outputs if isinstance(output, UnknownEvent)]
    assert foreign == [f"a message of {s}, which was not subscribed to" for s in ("ETHBTC", B)]
    assert checks(outputs) == []
