"""The pure function: frames in, rows and requests out, in short sequences of records.

The proof by any script is in properties/; here each promise has one readable sequence.
"""

from __future__ import annotations

import pytest

from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    FetchSnapshot,
    GapInterval,
    MalformedMessage,
    ReplaceConnection,
    ServerShutdown,
    UnknownEvent,
)
from booktape.core.gap_reasons import DISCONNECTED, KILLED, STOPPED
from booktape.core.sync import State
from booktape.core.tape_records import ROTATED, DepthAnswer, SegmentEnd, TapeRecord
from booktape.reconstruct import Reconstruction
from booktape.wire.encode import encode_combined, encode_server_shutdown
from support.oracle import (
    SECOND,
    connected,
    event,
    frozen,
    lost,
    rest,
    shown,
    snapshot,
    start,
    stream,
)
from support.reconstructions import BOOK, B, E, feed_all, known, rows, through_text, ticks

ETH_BOOK = snapshot(500, {"1": "1"}, symbol=E)


def test_the_first_row_is_the_snapshot_itself() -> None:
    """A book that becomes known is written at once, without event time and with zero updates."""
    asked, synced, row = feed_all(start(), connected(1), rest(BOOK, 2))
    assert asked == FetchSnapshot(B, 1)
    assert synced == BookSynced(B, 1, 10)
    assert isinstance(row, BookRow)
    assert (row.event_time_us, row.updates, row.epoch, row.update_id) == (None, 0, 1, 10)
    assert row.received_ns == 2 * SECOND
    assert shown(row) == ([(100, 1)], [(101, 1)])


@pytest.mark.parametrize("every", [1, 2, 3, 7, 100])
def test_rows_are_exactly_n_events_apart(every: int) -> None:
    """After the row of the snapshot there is a row every N applied events, with the book as of its id."""
    machine = known(every)
    written = rows(feed_all(*(stream(tick, 3) for tick in ticks(11, 40)), to=machine))
    assert [row.updates for row in written] == list(range(every, 31, every))
    assert [shown(row)[0] for row in written] == [[(100, 10 + row.updates)] for row in written]


def test_ignored_events_do_not_count() -> None:
    """Only applied events count; repeated and stale ones do not."""
    machine = known(every=2)
    outputs = feed_all(*(stream(tick, 3) for tick in [*ticks(11, 11), *ticks(9, 12)]), to=machine)
    assert [(row.update_id, row.updates) for row in rows(outputs)] == [(12, 2)]


def test_a_gap_in_one_symbol_never_touches_another() -> None:
    """One symbol misses an id: it alone is lost, at the cost of exactly one request."""
    machine = Reconstruction()
    both = connected(1, symbols=(B, E))
    feed_all(start(B, E), both, rest(BOOK, 2), rest(ETH_BOOK, 2), to=machine)
    outputs = feed_all(stream(event(12, 12), 3), stream(event(501, 501, symbol=E), 3), to=machine)
    gap = GapInterval(B, 1, 2 * SECOND, 10, "id_gap")
    assert outputs[:2] == [BookLost(gap), FetchSnapshot(B, 1)]
    assert [row.symbol for row in rows(outputs)] == [E]
    assert machine.open_gaps() == [gap]
    assert machine.syncs[E].state is State.LIVE


def test_a_gap_ends_where_the_next_epoch_begins() -> None:
    """The closed gap, the new epoch and its first row name the same id, in this order."""
    machine = known()
    feed_all(stream(event(15, 16, {"100": "9"}), 3), to=machine)
    closed, synced, first, second = feed_all(rest(snapshot(15, {"99": "1"}), 4), to=machine)
    assert closed == GapInterval(B, 1, 2 * SECOND, 10, "id_gap", 4 * SECOND, 15)
    assert isinstance(closed, GapInterval)
    assert closed.missed_updates == 4
    assert isinstance(synced, BookSynced)
    assert (synced.epoch, synced.update_id) == (2, 15)
    assert isinstance(first, BookRow)
    assert isinstance(second, BookRow)
    assert [(row.update_id, row.epoch, row.updates) for row in (first, second)] == [
        (15, 2, 0),
        (16, 2, 1),
    ]
    assert shown(second)[0] == [(100, 9), (99, 1)]
    assert machine.open_gaps() == []


def test_held_events_keep_their_arrival_time() -> None:
    """Rows of events that waited for the snapshot have the time of their own frames."""
    machine = Reconstruction()
    feed_all(start(), connected(1), to=machine)
    waiting = [stream(tick, 2 + n) for n, tick in enumerate(ticks(10, 12))]
    assert feed_all(*waiting, to=machine) == []
    written = rows(feed_all(rest(BOOK, 9), to=machine))
    assert [(row.update_id, row.received_ns // SECOND) for row in written] == [
        (10, 9),
        (11, 3),
        (12, 4),
    ]


def test_held_events_that_do_not_chain_are_a_gap_at_once() -> None:
    """The snapshot joins; then a hole among the held events ends the epoch and causes another request."""
    machine = Reconstruction()
    feed_all(start(), connected(1), to=machine)
    feed_all(stream(event(11, 11), 2), stream(event(13, 13), 2), to=machine)
    outputs = feed_all(rest(BOOK, 3), to=machine)
    assert [type(output) for output in outputs] == [
        BookSynced,
        BookRow,
        BookRow,
        BookLost,
        FetchSnapshot,
    ]
    assert [held.event for held in machine.syncs[B].held] == [event(13, 13)]


def test_malformed_frames_do_not_stop_anything() -> None:
    """Garbage is reported and the book continues: a garbled frame need not have been an event."""
    machine = known()
    (malformed,) = feed_all(stream(b"\xff{", 3), to=machine)
    assert isinstance(malformed, MalformedMessage)
    assert malformed.connection == 0
    (row,) = feed_all(stream(event(11, 11), 4), to=machine)
    assert isinstance(row, BookRow)


def test_messages_that_are_not_market_data_change_nothing() -> None:
    """Other events, a foreign symbol, the exchange's shutdown notice: they are only reported."""
    machine = known()
    outputs = feed_all(
        stream(b'{"e":"trade"}', 3),
        stream(encode_combined("!serverShutdown", encode_server_shutdown(3)), 3),
        stream(event(11, 11, symbol="DOGEUSDT"), 3),
        to=machine,
    )
    foreign = UnknownEvent("a message of DOGEUSDT, which was not subscribed to")
    assert outputs == [
        UnknownEvent("trade"),
        ServerShutdown(),
        ReplaceConnection(0, "the exchange will shut down"),
        foreign,
    ]


def test_requests_with_unreadable_answers_are_repeated() -> None:
    """An error page instead of a snapshot is reported, and the request repeated with its number."""
    machine = Reconstruction()
    feed_all(start(), connected(1), to=machine)
    malformed, again = feed_all(DepthAnswer(2 * SECOND, B, 5000, b"<html>"), to=machine)
    assert isinstance(malformed, MalformedMessage)
    assert malformed.connection is None
    assert again == FetchSnapshot(B, 2)
    assert len(rows(feed_all(rest(BOOK, 3), to=machine))) == 1


@pytest.mark.parametrize("why", [STOPPED, KILLED])
def test_the_end_of_a_recording_loses_every_connection(why: str) -> None:
    """A stopped or killed recorder knows nothing from then on: a gap begins for each known book."""
    machine = known()
    feed_all(connected(3, 1), to=machine)
    outputs = feed_all(SegmentEnd(9 * SECOND, why), to=machine)
    assert outputs == [BookLost(GapInterval(B, 1, 9 * SECOND, 10, why))]
    assert machine.syncs[B].state is State.COLD
    assert machine.arbiter.connections == {}


def test_the_end_of_a_recording_reports_gaps_that_are_still_open() -> None:
    """They are stored as they are; gaps that the end itself opens are reported separately."""
    machine = known()
    feed_all(lost(4), to=machine)
    assert feed_all(SegmentEnd(9 * SECOND, STOPPED), to=machine) == [
        GapInterval(B, 1, 4 * SECOND, 10, DISCONNECTED)
    ]


def test_a_rotation_ends_nothing() -> None:
    """The next segment continues with the same connections and books."""
    machine = known()
    assert feed_all(SegmentEnd(9 * SECOND, ROTATED), to=machine) == []
    assert len(rows(feed_all(stream(event(11, 11), 9), to=machine))) == 1


def test_a_restart_continues_the_epochs() -> None:
    """After a stop the gap is open until the next run's snapshot, whose epoch follows."""
    machine = known()
    feed_all(SegmentEnd(9 * SECOND, STOPPED), to=machine)
    outputs = feed_all(start(), *through_text(machine, 9), connected(60), rest(snapshot(90), 61))
    gap = GapInterval(B, 1, 9 * SECOND, 10, STOPPED, 61 * SECOND, 90)
    assert outputs[:2] == [FetchSnapshot(B, 1), gap]
    assert [(row.epoch, row.update_id) for row in rows(outputs)] == [(2, 90)]


def test_a_symbol_left_out_keeps_its_epoch() -> None:
    """One that is not recorded now still has a checkpoint: its epoch must never fall back."""
    machine = known()
    feed_all(lost(9), to=machine)
    later = Reconstruction()
    feed_all(start(E), *machine.checkpoints(9), to=later)
    assert {saved.symbol: saved.epoch for saved in later.checkpoints(10)} == {B: 1, E: 0}
    assert later.symbols == (E,)


def test_the_same_frames_give_the_same_bytes() -> None:
    """The same tape gives byte-equal rows, and rows do not change while the book does."""
    tape: list[TapeRecord] = [start(), connected(1), rest(BOOK, 2)]
    tape += [stream(tick, 3) for tick in ticks(11, 30)]
    first = feed_all(*tape)
    assert [frozen(output) for output in first] == [frozen(output) for output in feed_all(*tape)]
    assert [shown(row)[0] for row in rows(first)[1:]] == [[(100, n)] for n in range(11, 31)]
