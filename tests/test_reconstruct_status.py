"""What the exchange's list and our own clock say, in short sequences of records."""

from __future__ import annotations

import pytest

from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    CancelRequests,
    FetchSnapshot,
    GapInterval,
    Note,
)
from booktape.core.gap_reasons import STOPPED
from booktape.core.sync import State
from booktape.core.tape_records import (
    DELISTED,
    ROTATED,
    TRADING,
    ClockStep,
    SegmentEnd,
    SymbolListing,
)
from booktape.reconstruct import Output, Reconstruction
from support.oracle import (
    SECOND,
    connected,
    event,
    listed,
    lost,
    rest,
    snapshot,
    start,
    stream,
    tick,
)
from support.reconstructions import B, continued, feed_all, known, rows


def test_a_halt_is_a_note_and_no_gap() -> None:
    """A halted symbol sends nothing, and its book stays as it is."""
    machine = known()
    outputs = feed_all(listed("HALT", 3), listed(TRADING, 9), to=machine)
    assert outputs == [
        Note(B, 3 * SECOND, "status", "HALT"),
        Note(B, 9 * SECOND, "status", "TRADING"),
    ]
    assert len(rows(feed_all(stream(event(11, 11), 10), to=machine))) == 1


def test_the_last_status_is_kept_in_the_next_segment() -> None:
    """Otherwise every segment would begin with a note of a status that is already known."""
    machine = known()
    assert machine.listings() == {B: (TRADING, "", "")}
    feed_all(listed("BREAK", 3), to=machine)
    assert continued(machine, 4).listings() == {B: ("BREAK", "", "")}


def test_a_known_book_that_ends_leaves_no_gap() -> None:
    """It was known as long as it existed; connections and answers no longer affect it."""
    machine = known()
    assert feed_all(listed(DELISTED, 5), to=machine) == [
        Note(B, 5 * SECOND, "status", DELISTED),
        CancelRequests(B),
    ]
    assert machine.syncs[B].state is State.ENDED
    assert feed_all(rest(snapshot(12), 6), lost(7), connected(8), to=machine) == []
    assert machine.open_gaps() == []


def test_a_lost_book_that_ends_closes_its_gap() -> None:
    """There is no state after it, so no id."""
    machine = known()
    feed_all(lost(4), to=machine)
    note, cancelled, gap = feed_all(listed(DELISTED, 5), to=machine)
    assert isinstance(note, Note)
    assert cancelled == CancelRequests(B)
    assert gap == GapInterval(B, 1, 4 * SECOND, 10, "disconnected", 5 * SECOND, None)
    assert machine.open_gaps() == []


def test_an_event_proves_the_list_wrong() -> None:
    """The gap begins when the list said that the symbol had ended, and the book becomes known again."""
    machine = known()
    feed_all(listed(DELISTED, 5), to=machine)
    gap = GapInterval(B, 1, 5 * SECOND, 10, "delisted")
    assert feed_all(stream(event(11, 12), 9), to=machine) == [BookLost(gap), FetchSnapshot(B, 1)]
    outputs = feed_all(rest(snapshot(11), 10), to=machine)
    assert outputs[0] == GapInterval(B, 1, 5 * SECOND, 10, "delisted", 10 * SECOND, 11)
    assert isinstance(outputs[1], BookSynced)
    assert [row.update_id for row in rows(outputs)] == [11, 12]


def test_a_symbol_that_has_ended_stays_so_in_the_next_segment() -> None:
    """It requests nothing, and its end is not reported again when the recording stops."""
    machine = known()
    feed_all(listed(DELISTED, 5), SegmentEnd(9 * SECOND, ROTATED), to=machine)
    later = continued(machine, 9)
    assert feed_all(connected(10, 1), SegmentEnd(11 * SECOND, STOPPED), to=later) == []
    assert later.syncs[B].state is State.ENDED


# ── on current tapes ────────────────────────────────────────────────────────────────────────


def in_a_break(at: int = 5, status: str = "BREAK") -> Reconstruction:
    """Known at id 11 since second 3, until the list reports a break."""
    machine = known(format=2)
    feed_all(listed(TRADING, 2), stream(event(11, 11), 3), to=machine)
    note, opened = feed_all(listed(status, at), to=machine)
    assert note == Note(B, at * SECOND, "status", status)
    assert opened == BookLost(GapInterval(B, 1, 3 * SECOND, 11, "break"))
    return machine


@pytest.mark.parametrize("status", ["BREAK", "END_OF_DAY"])
def test_a_book_is_not_known_during_a_break(status: str) -> None:
    """It is unknown from its last evidence on: orders may vanish without an event. Nothing is requested."""
    machine = in_a_break(status=status)
    assert machine.syncs[B].state is State.BREAK
    assert feed_all(rest(snapshot(11), 6), listed(status, 7), connected(8, 1), to=machine) == []
    assert feed_all(*(tick(at) for at in range(9, 200)), to=machine) == []


def test_a_break_ends_when_the_list_says_so() -> None:
    """Then a snapshot is requested, and the gap ends with it: its id may be the same as before."""
    machine = in_a_break()
    outputs = feed_all(listed("TRADING", 9), to=machine)
    assert outputs == [Note(B, 9 * SECOND, "status", "TRADING"), FetchSnapshot(B, 1)]
    closed, *_ = feed_all(rest(snapshot(11, {"99": "1"}), 10), to=machine)
    assert closed == GapInterval(B, 1, 3 * SECOND, 11, "break", 10 * SECOND, 11)


def test_a_break_ends_when_an_event_comes() -> None:
    """The list is fetched rarely; the event is held for the snapshot."""
    machine = in_a_break()
    assert feed_all(stream(event(14, 15), 9), to=machine) == [FetchSnapshot(B, 1)]
    written = rows(feed_all(rest(snapshot(13), 10), to=machine))
    assert [row.update_id for row in written] == [13, 15]


def test_a_copy_of_an_old_event_does_not_end_a_break() -> None:
    """Another connection delivers an event that was already applied."""
    machine = in_a_break()
    feed_all(connected(6, 1), to=machine)
    assert feed_all(stream(event(11, 11), 9, 1), to=machine) == []
    assert machine.syncs[B].state is State.BREAK


def test_a_break_continues_in_the_next_segment() -> None:
    """Its gap continues too, and a new connection requests nothing."""
    machine = in_a_break()
    feed_all(SegmentEnd(6 * SECOND, ROTATED), to=machine)
    later = continued(machine, 6, format=2)
    assert later.syncs[B].state is State.BREAK
    assert feed_all(lost(7), connected(8, 1), to=later) == []
    assert feed_all(listed("TRADING", 9), to=later)[1:] == [FetchSnapshot(B, 1)]


def test_a_break_while_no_connection_is_up_changes_nothing() -> None:
    """The open gap stays; the break takes effect only when a connection carries the symbol again."""
    machine = known(format=2)
    feed_all(lost(4), listed("BREAK", 5), to=machine)
    assert machine.syncs[B].state is State.COLD
    assert feed_all(connected(6, 1), to=machine) == []
    assert machine.syncs[B].state is State.BREAK
    assert machine.open_gaps() == [GapInterval(B, 1, 2 * SECOND, 10, "disconnected")]
    feed_all(lost(7, 1), to=machine)
    assert machine.syncs[B].state is State.COLD


def test_a_requested_snapshot_is_not_awaited_in_a_break() -> None:
    """Held events are dropped: after the break the market is a different one."""
    machine = Reconstruction()
    feed_all(
        start(format=2), connected(1), stream(event(11, 11), 2), listed("BREAK", 3), to=machine
    )
    assert feed_all(rest(snapshot(10), 4), to=machine) == []
    assert machine.syncs[B].held == []
    assert feed_all(stream(event(12, 12), 9), to=machine) == [FetchSnapshot(B, 1)]


def test_events_continue_in_a_halt() -> None:
    """The book stays known, and no snapshot is requested."""
    machine = known(format=2)
    assert len(feed_all(listed("HALT", 3), to=machine)) == 1
    assert len(rows(feed_all(stream(event(11, 11), 10), to=machine))) == 1


def test_a_delisting_in_a_break_ends_the_gap() -> None:
    """There is no state after it."""
    machine = in_a_break()
    _, _, gap = feed_all(listed(DELISTED, 9), to=machine)
    assert gap == GapInterval(B, 1, 3 * SECOND, 11, "break", 9 * SECOND, None)


def test_values_in_the_list_are_noted_when_first_seen_and_when_they_change() -> None:
    """The status, and the steps of price and size; a value that the list omits is no change."""
    machine = known(format=2)
    assert machine.listings() == {B: ("", "", "")}
    outputs = feed_all(SymbolListing(3 * SECOND, B, TRADING, "0.01", "0.001"), to=machine)
    assert [(note.kind, note.detail) for note in notes(outputs)] == [
        ("status", TRADING),
        ("tick_size", "0.01"),
        ("lot_size", "0.001"),
    ]
    assert feed_all(SymbolListing(4 * SECOND, B, TRADING, "0.01", "0.001"), to=machine) == []
    assert feed_all(SymbolListing(5 * SECOND, B, TRADING), to=machine) == []
    outputs = feed_all(SymbolListing(6 * SECOND, B, TRADING, "0.1", "0.001"), to=machine)
    assert [(note.kind, note.detail) for note in notes(outputs)] == [("tick_size", "0.1")]
    assert machine.listings() == {B: (TRADING, "0.1", "0.001")}
    assert continued(machine, 7, format=2).listings() == machine.listings()


def notes(outputs: list[Output]) -> list[Note]:
    return [output for output in outputs if isinstance(output, Note)]


# ── clocks ──────────────────────────────────────────────────────────────────────────────────


def test_a_clock_step_is_a_note_about_all_symbols() -> None:
    """It is given in seconds, and nothing else happens."""
    machine = known()
    outputs = feed_all(
        ClockStep(3 * SECOND, -5 * SECOND), ClockStep(4 * SECOND, 1_500_000), to=machine
    )
    assert outputs == [
        Note(None, 3 * SECOND, "clock_step", "-5.000000"),
        Note(None, 4 * SECOND, "clock_step", "0.001500"),
    ]
    (row,) = feed_all(stream(event(11, 11), 2), to=machine)
    assert isinstance(row, BookRow)
