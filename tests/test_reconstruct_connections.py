"""Several connections, in short sequences of records: none is lost while one delivers.

The proof by any script is in properties/; here each promise has one readable sequence.
"""

from __future__ import annotations

from booktape.core.events import (
    BookLost,
    BookRow,
    FetchSnapshot,
    GapInterval,
    ReplaceConnection,
    UnknownEvent,
)
from booktape.core.sync import State
from booktape.core.tape_records import HoldExpired
from booktape.reconstruct import Reconstruction
from support.oracle import SECOND, connected, event, lost, rest, snapshot, start, stream
from support.reconstructions import BOOK, B, E, feed_all, known, rows, through_text

GARBAGE = "it delivered garbage"


def test_a_connection_is_renewed_only_when_ids_stop_chaining() -> None:
    """That shows that the garbled message was an event; its connection is replaced once, not twice."""
    machine = known()
    feed_all(stream(b"garbled", 3), to=machine)
    outputs = feed_all(stream(event(12, 12), 4), to=machine)
    assert [type(output) for output in outputs] == [BookLost, ReplaceConnection, FetchSnapshot]
    feed_all(rest(snapshot(12), 5), to=machine)
    outputs = feed_all(stream(event(14, 14), 6), to=machine)
    assert ReplaceConnection(0, GARBAGE) not in outputs


def test_a_new_connection_with_the_same_number_starts_clean() -> None:
    """Garbage on the old connection says nothing about the new one or about others."""
    machine = known()
    feed_all(connected(3, 1), stream(b"garbled", 3), lost(4), connected(5), lost(5, 1), to=machine)
    outputs = feed_all(stream(event(12, 12), 6), to=machine)
    assert [type(output) for output in outputs] == [BookLost, FetchSnapshot]


def test_garbage_is_no_gap_if_another_connection_delivers_the_event() -> None:
    """When ids stop chaining, the connection that sent garbage is replaced, whichever connection shows the hole."""
    machine = known()
    feed_all(connected(3, 1), stream(b"garbled", 3, 1), to=machine)
    outputs = feed_all(stream(event(11, 11), 3), stream(event(12, 12), 3, 1), to=machine)
    assert [type(output) for output in outputs] == [BookRow, BookRow]
    feed_all(stream(event(14, 14), 4, 1), to=machine)
    assert ReplaceConnection(1, GARBAGE) in feed_all(stream(event(15, 15), 4), to=machine)


def test_a_message_of_a_symbol_not_subscribed_to_is_foreign() -> None:
    """Even if another connection subscribed to it: the symbol is lost when that connection is."""
    machine = Reconstruction()
    feed_all(start(B, E), connected(1), connected(1, 1, (E,)), to=machine)
    assert feed_all(stream(event(1, 1, symbol=E), 2), to=machine) == [
        UnknownEvent("a message of ETHBTC, which was not subscribed to")
    ]


def test_each_event_of_two_connections_is_written_once() -> None:
    """The second copy is dropped, whichever connection is faster."""
    machine = known()
    feed_all(connected(3, 1), to=machine)
    order = [(11, 0), (11, 1), (12, 1), (13, 1), (12, 0), (13, 0)]
    outputs = feed_all(*(stream(event(n, n), 4, on) for n, on in order), to=machine)
    assert [row.update_id for row in rows(outputs)] == [11, 12, 13]
    assert len(outputs) == 3


def test_an_event_that_one_connection_drops_comes_from_another() -> None:
    """The event that ran ahead waits, each row has the time of its own frame, and nothing is requested."""
    machine = known()
    feed_all(connected(3, 1), to=machine)
    assert feed_all(stream(event(12, 12), 4, 0), to=machine) == []
    outputs = feed_all(stream(event(11, 11), 5, 1), to=machine)
    assert [(row.update_id, row.received_ns // SECOND) for row in rows(outputs)] == [
        (11, 5),
        (12, 4),
    ]
    assert len(outputs) == 2


def test_an_expired_hold_is_a_gap() -> None:
    """The recorder has waited long enough for the other connection, and notes it on the tape."""
    machine = known()
    feed_all(connected(3, 1), stream(event(12, 12), 4, 0), to=machine)
    outputs = feed_all(HoldExpired(9 * SECOND, B), to=machine)
    assert outputs == [BookLost(GapInterval(B, 1, 2 * SECOND, 10, "id_gap")), FetchSnapshot(B, 1)]


def test_a_snapshot_decides_where_events_must_join() -> None:
    """The first event after it runs ahead of one that a connection dropped and the other delivers."""
    machine = Reconstruction()
    feed_all(start(), connected(1, 0), connected(1, 1), rest(BOOK, 2), to=machine)
    assert feed_all(stream(event(12, 12), 3, 0), to=machine) == []
    assert len(rows(feed_all(stream(event(11, 11), 3, 1), to=machine))) == 2


def test_a_snapshot_releases_what_waits_for_older_events() -> None:
    """No connection needs to deliver ids that it contains: the event behind the hole is applied at once."""
    machine = known()
    feed_all(connected(3, 1), connected(3, 2), stream(event(12, 12), 3, 0), to=machine)
    feed_all(HoldExpired(9 * SECOND, B), stream(event(15, 15), 9, 0), to=machine)
    outputs = feed_all(rest(snapshot(14), 10), to=machine)
    assert [(row.update_id, row.epoch) for row in rows(outputs)] == [(14, 2), (15, 2)]


def test_waiting_events_are_lost_with_the_last_connection() -> None:
    """An event that ran ahead shows that the book is outdated: the gap begins before the event came."""
    machine = known()
    feed_all(connected(3, 1), stream(event(12, 12), 4, 0), to=machine)
    outputs = feed_all(lost(5, 0), lost(6, 1), to=machine)
    gap = GapInterval(B, 1, 2 * SECOND, 10, "id_gap")
    assert outputs == [BookLost(gap), FetchSnapshot(B, 1)]
    assert (machine.syncs[B].state, machine.open_gaps()) == (State.COLD, [gap])


def test_only_the_loss_of_the_last_connection_is_a_gap() -> None:
    """While another carries the stream nothing is lost; then the gap begins at the last sign of life."""
    machine = known()
    feed_all(connected(3, 1), to=machine)
    assert feed_all(lost(4, 0), to=machine) == []
    assert len(rows(feed_all(stream(event(11, 11), 5, 1), to=machine))) == 1
    outputs = feed_all(lost(9, 1, alive=7), to=machine)
    assert outputs == [BookLost(GapInterval(B, 1, 7 * SECOND, 11, "disconnected"))]


def test_losing_a_connection_before_any_answer_is_no_gap() -> None:
    """No epoch had begun."""
    assert feed_all(start(), connected(1), lost(2)) == [FetchSnapshot(B, 1)]


def test_a_segment_may_end_while_an_event_waits() -> None:
    """The next segment knows which event waits for which connection: the hole is filled there."""
    machine = known()
    feed_all(connected(3, 1), stream(event(12, 12), 4, 0), to=machine)
    later = Reconstruction()
    feed_all(start(), *through_text(machine, 5), connected(5), connected(5, 1), to=later)
    assert len(rows(feed_all(stream(event(11, 11), 6, 1), to=later))) == 2
