"""What the exchange's list and our own clock say, told as short market stories."""

from __future__ import annotations

from booktape.core.events import BookRow, FetchSnapshot, Gap, Lost, Note, Synced
from booktape.core.frames import DELISTED, ROTATED, STOPPED, TRADING, ClockStep, SegmentEnd
from booktape.core.sync import State
from oracle import SECOND, connected, event, listed, lost, rest, snapshot, stream
from stories import B, continued, known, rows, tell


def test_a_halt_is_a_note_and_no_gap() -> None:
    """A symbol that is halted sends nothing, and its book stays what it is."""
    machine = known()
    told = tell(listed("HALT", 3), listed(TRADING, 9), to=machine)
    assert told == [
        Note(B, 3 * SECOND, "status", "HALT"),
        Note(B, 9 * SECOND, "status", "TRADING"),
    ]
    assert len(rows(tell(stream(event(11, 11), 10), to=machine))) == 1


def test_the_last_status_goes_on_in_the_next_segment() -> None:
    """Or every segment would begin with a note of what everybody knows."""
    machine = known()
    assert machine.statuses() == {B: TRADING}
    tell(listed("BREAK", 3), to=machine)
    assert continued(machine, 4).statuses() == {B: "BREAK"}


def test_a_known_book_that_ends_leaves_no_gap() -> None:
    """It was known as long as there was one; connections and answers mean nothing to it any more."""
    machine = known()
    assert tell(listed(DELISTED, 5), to=machine) == [Note(B, 5 * SECOND, "status", DELISTED)]
    assert machine.syncs[B].state is State.ENDED
    assert tell(rest(snapshot(12), 6), lost(7), connected(8), to=machine) == []
    assert machine.open_gaps() == []


def test_a_lost_book_that_ends_closes_its_gap() -> None:
    """There is no state after it, so no id."""
    machine = known()
    tell(lost(4), to=machine)
    note, gap = tell(listed(DELISTED, 5), to=machine)
    assert isinstance(note, Note)
    assert gap == Gap(B, 1, 4 * SECOND, 10, "disconnected", 5 * SECOND, None)
    assert machine.open_gaps() == []


def test_an_event_proves_the_list_wrong() -> None:
    """The gap begins when the symbol was said to have ended, and the book comes back."""
    machine = known()
    tell(listed(DELISTED, 5), to=machine)
    gap = Gap(B, 1, 5 * SECOND, 10, "delisted")
    assert tell(stream(event(11, 12), 9), to=machine) == [Lost(gap), FetchSnapshot(B, 1)]
    told = tell(rest(snapshot(11), 10), to=machine)
    assert told[0] == Gap(B, 1, 5 * SECOND, 10, "delisted", 10 * SECOND, 11)
    assert isinstance(told[1], Synced)
    assert [row.update_id for row in rows(told)] == [11, 12]


def test_a_symbol_that_has_ended_stays_so_in_the_next_segment() -> None:
    """Which asks for nothing; nor is its end told when the recording stops."""
    machine = known()
    tell(listed(DELISTED, 5), SegmentEnd(9 * SECOND, ROTATED), to=machine)
    later = continued(machine, 9)
    assert tell(connected(10, 1), SegmentEnd(11 * SECOND, STOPPED), to=later) == []
    assert later.syncs[B].state is State.ENDED


def test_a_clock_that_was_set_is_a_note_about_all() -> None:
    """In seconds, and nothing else happens."""
    machine = known()
    told = tell(ClockStep(3 * SECOND, -5 * SECOND), ClockStep(4 * SECOND, 1_500_000), to=machine)
    assert told == [
        Note(None, 3 * SECOND, "clock_step", "-5.000000"),
        Note(None, 4 * SECOND, "clock_step", "0.001500"),
    ]
    (row,) = tell(stream(event(11, 11), 2), to=machine)
    assert isinstance(row, BookRow)
