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
    """Then the garbled message was an event; its connection is replaced once, not twice."""
    machine = known()
    feed_all(stream(b"garbled", 3), to=machine)
    outputs = feed_all(stream(event(12, 12), 4), to=machine)
    assert [type(output) for output in outputs] == [BookLost, ReplaceConnection, FetchSnapshot]
    feed_all(rest(snapshot(12), 5), to=machine)
    outputs = feed_all(stream(event(14, 14), 6), to=machine)
    assert ReplaceConnection(0, GARBAGE) not in outputs


def test_a_new_connection_of_the_same_number_starts_clean() -> None:
    """Garbage on the old one says nothing about the next, nor about the other one."""
    machine = known()
    feed_all(connected(3, 1), stream(b"garbled", 3), lost(4), connected(5), lost(5, 1), to=machine)
    outputs = feed_all(stream(event(12, 12), 6), to=machine)
    assert [type(output) for output in outputs] == [BookLost, FetchSnapshot]


def test_garbage_that_another_connection_made_good_is_no_gap() -> None:
    """Until ids stop chaining. Then the connection that sent garbage is replaced, whichever shows the hole."""
    machine = known()
    feed_all(connected(3, 1), stream(b"garbled", 3, 1), to=machine)
    outputs = feed_all(stream(event(11, 11), 3), stream(event(12, 12), 3, 1), to=machine)
    assert [type(output) for output in outputs] == [BookRow, BookRow]
    feed_all(stream(event(14, 14), 4, 1), to=machine)
    assert ReplaceConnection(1, GARBAGE) in feed_all(stream(event(15, 15), 4), to=machine)


def test_what_a_connection_did_not_subscribe_to_is_foreign() -> None:
    """Even when another one did: it would be unknown when that one is lost."""
    machine = Reconstruction()
    feed_all(start(B, E), connected(1), connected(1, 1, (E,)), to=machine)
    assert feed_all(stream(event(1, 1, symbol=E), 2), to=machine) == [
        UnknownEvent("a message of ETHBTC, which was not subscribed to")
    ]


def test_two_connections_write_each_event_once() -> None:
    """The second copy falls away, whichever connection is the faster one."""
    machine = known()
    feed_all(connected(3, 1), to=machine)
    order = [(11, 0), (11, 1), (12, 1), (13, 1), (12, 0), (13, 0)]
    outputs = feed_all(*(stream(event(n, n), 4, on) for n, on in order), to=machine)
    assert [row.update_id for row in rows(outputs)] == [11, 12, 13]
    assert len(outputs) == 3


def test_what_one_connection_drops_another_fills() -> None:
    """The event that ran ahead waits, each row has its own frame's time, and nothing is asked."""
    machine = known()
    feed_all(connected(3, 1), to=machine)
    assert feed_all(stream(event(12, 12), 4, 0), to=machine) == []
    outputs = feed_all(stream(event(11, 11), 5, 1), to=machine)
    assert [(row.update_id, row.received_ns // SECOND) for row in rows(outputs)] == [
        (11, 5),
        (12, 4),
    ]
    assert len(outputs) == 2


def test_a_hold_that_ran_out_is_a_gap() -> None:
    """The recorder waited long enough for the other connection, and says so on the tape."""
    machine = known()
    feed_all(connected(3, 1), stream(event(12, 12), 4, 0), to=machine)
    outputs = feed_all(HoldExpired(9 * SECOND, B), to=machine)
    assert outputs == [BookLost(GapInterval(B, 1, 2 * SECOND, 10, "id_gap")), FetchSnapshot(B, 1)]


def test_a_snapshot_decides_where_events_must_join() -> None:
    """The first event after it runs ahead of what one connection dropped; the other brings that."""
    machine = Reconstruction()
    feed_all(start(), connected(1, 0), connected(1, 1), rest(BOOK, 2), to=machine)
    assert feed_all(stream(event(12, 12), 3, 0), to=machine) == []
    assert len(rows(feed_all(stream(event(11, 11), 3, 1), to=machine))) == 2


def test_a_snapshot_releases_what_waits_for_older_events() -> None:
    """No connection needs to bring what it holds: the event behind the hole is applied at once."""
    machine = known()
    feed_all(connected(3, 1), connected(3, 2), stream(event(12, 12), 3, 0), to=machine)
    feed_all(HoldExpired(9 * SECOND, B), stream(event(15, 15), 9, 0), to=machine)
    outputs = feed_all(rest(snapshot(14), 10), to=machine)
    assert [(row.update_id, row.epoch) for row in rows(outputs)] == [(14, 2), (15, 2)]


def test_what_waits_is_lost_with_the_last_connection() -> None:
    """An event that ran ahead says that the book is old: the gap begins before it came."""
    machine = known()
    feed_all(connected(3, 1), stream(event(12, 12), 4, 0), to=machine)
    outputs = feed_all(lost(5, 0), lost(6, 1), to=machine)
    gap = GapInterval(B, 1, 2 * SECOND, 10, "id_gap")
    assert outputs == [BookLost(gap), FetchSnapshot(B, 1)]
    assert (machine.syncs[B].state, machine.open_gaps()) == (State.COLD, [gap])


def test_only_the_last_connection_s_loss_is_a_gap() -> None:
    """While another carries the stream nothing is lost; then the gap begins at the sign of life."""
    machine = known()
    feed_all(connected(3, 1), to=machine)
    assert feed_all(lost(4, 0), to=machine) == []
    assert len(rows(feed_all(stream(event(11, 11), 5, 1), to=machine))) == 1
    outputs = feed_all(lost(9, 1, alive=7), to=machine)
    assert outputs == [BookLost(GapInterval(B, 1, 7 * SECOND, 11, "disconnected"))]


def test_losing_nothing_is_quiet() -> None:
    """A connection that goes before its first answer leaves no gap: no epoch had begun."""
    assert feed_all(start(), connected(1), lost(2)) == [FetchSnapshot(B, 1)]


def test_a_segment_may_end_while_an_event_waits() -> None:
    """The next one knows what waits, and for whom: the hole is filled there."""
    machine = known()
    feed_all(connected(3, 1), stream(event(12, 12), 4, 0), to=machine)
    later = Reconstruction()
    feed_all(start(), *through_text(machine, 5), connected(5), connected(5, 1), to=later)
    assert len(rows(feed_all(stream(event(11, 11), 6, 1), to=later))) == 2
