"""What time decides, in short sequences of records: silence, holds, pauses, clocks that are set back."""

from __future__ import annotations

from typing import Any

import pytest

from booktape.checks.connection_load import BUSY_TICKS, SILENT_NS
from booktape.core.events import (
    BookLost,
    BookRow,
    BookSynced,
    DepthEvent,
    FetchSnapshot,
    GapInterval,
    MalformedMessage,
    Note,
    ReplaceConnection,
    Urgency,
)
from booktape.core.gap_reasons import DISCONNECTED, STOPPED
from booktape.core.sync import State
from booktape.core.tape_records import (
    ROTATED,
    ClockOffset,
    ClockStep,
    Pulse,
    SegmentEnd,
    StreamMessage,
    TapeRecord,
)
from booktape.reconstruct import Output, Reconstruction
from support.oracle import (
    SECOND,
    asked,
    combined,
    connected,
    event,
    lost,
    pulse,
    rest,
    snapshot,
    start,
    stream,
    tick,
    ticker,
    top,
)
from support.reconstructions import BOOK, B, E, checks, continued, feed_all, known, rows

SIDES = ({"100": "1"}, {"101": "1"})
SILENT_S = SILENT_NS // SECOND


def at_two(**opening: Any) -> Reconstruction:
    """BTCUSDT is live at id 10 since second 2, on connection 0, on a current tape."""
    return known(format=2, **opening)


def ticked(machine: Reconstruction, first: int, last: int) -> list[Output]:
    """A tick at each of these seconds."""
    return feed_all(*(tick(at) for at in range(first, last + 1)), to=machine)


def losses(outputs: list[Output]) -> list[Output]:
    """All losses, without the requests for books that are near their bound."""
    return [output for output in outputs if isinstance(output, BookLost)]


def depth_event(first: int, last: int, made_s: float, **fields: Any) -> DepthEvent:
    """An event that the exchange made at this second."""
    return event(first, last, event_time_us=round(made_s * 1e6), **fields)


def arrives(outputs: DepthEvent, at_s: float, connection: int = 0) -> StreamMessage:
    return StreamMessage(round(at_s * SECOND), connection, combined(outputs))


def second(at_s: float) -> int:
    return round(at_s * SECOND)


# ── a stream that is silent ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("witness", [top(12, *SIDES), ticker(12, *SIDES)])
def test_a_dead_stream_beside_a_living_witness_is_lost_within_five_seconds(witness: Any) -> None:
    """The gap begins at the last evidence; the connection is replaced, and a snapshot requested."""
    machine = at_two()
    feed_all(stream(event(11, 11), 5), to=machine)
    found: list[tuple[int, Output]] = []
    for at in range(6, 20):
        found += [(at, out) for out in feed_all(stream(witness, at), tick(at), to=machine)]
    gap = GapInterval(B, 1, 5 * SECOND, 11, "silent")
    assert found == [
        (9, BookLost(gap)),
        (9, ReplaceConnection(0, f"{B} is silent on it", silent=True)),
        (9, FetchSnapshot(B, 1)),
    ]
    assert machine.syncs[B].state is State.SYNCING


def test_copies_that_agree_delay_the_beginning_of_the_gap() -> None:
    """The witness repeats the state of the book until second 8, then shows a later id."""
    machine = at_two()
    same, ahead = top(10, *SIDES), top(12, *SIDES)
    feed_all(*(stream(same, at) for at in (6, 7, 8)), stream(ahead, 9), to=machine)
    lost_book, *_ = ticked(machine, 9, 12)
    assert lost_book == BookLost(GapInterval(B, 1, 8 * SECOND, 10, "silent"))


def test_a_book_that_never_got_an_event_is_lost_too() -> None:
    """Its stream was dead from the start."""
    machine = at_two()
    feed_all(stream(top(12, *SIDES), 3), to=machine)
    lost_book, *_ = ticked(machine, 3, 6)
    assert lost_book == BookLost(GapInterval(B, 1, 2 * SECOND, 10, "silent"))


def test_an_event_in_time_keeps_the_book() -> None:
    """Witnesses run ahead all the time."""
    machine = at_two()
    for n in range(11, 60):
        feed_all(stream(top(n + 1, *SIDES), n), to=machine)
        assert len(feed_all(tick(n), stream(event(n, n), n), to=machine)) == 1


def test_the_connections_of_a_silent_symbol_are_replaced_at_most_twice() -> None:
    """After that, snapshots are requested repeatedly until an event comes."""
    machine = at_two()
    feed_all(connected(3, 1), to=machine)
    renewed = [silence(machine, 10 * n, 11 + n) for n in range(1, 6)]
    assert renewed == [[0, 1], [0, 1], [], [], []]
    newest = machine.syncs[B].update_id
    feed_all(stream(event(newest + 1, newest + 1), 60), to=machine)
    assert silence(machine, 70, newest + 2) == [0, 1]


def silence(machine: Reconstruction, at: int, update_id: int) -> list[int]:
    """The witness is ahead, the book is lost and comes back; returns the connections that are replaced."""
    feed_all(stream(top(update_id, *SIDES), at), to=machine)
    outputs = ticked(machine, at, at + 3)
    assert isinstance(outputs[0], BookLost)
    feed_all(rest(snapshot(update_id, *SIDES), at + 4), to=machine)
    assert machine.syncs[B].state is State.LIVE
    return [out.connection for out in outputs if isinstance(out, ReplaceConnection) and out.silent]


def test_without_a_pulse_a_quiet_book_is_lost_after_five_periods() -> None:
    """They count from the tick after its last evidence; meanwhile a snapshot is requested."""
    machine = at_two(pulse_s=30)
    asked = ticked(machine, 3, 153)
    assert asked
    assert all(isinstance(output, FetchSnapshot) for output in asked)
    outputs = ticked(machine, 154, 154)
    assert outputs[0] == BookLost(GapInterval(B, 1, 2 * SECOND, 10, "silent"))


def test_without_pulse_and_audits_silence_is_believed() -> None:
    """Switching every check off means exactly that."""
    assert ticked(at_two(), 3, 5_000) == []


def test_pulses_keep_a_quiet_book_known() -> None:
    """For as long as it is quiet."""
    machine = at_two(pulse_s=30)
    for at in range(30, 3_600, 30):
        assert feed_all(pulse(at + 1, at, "1"), to=machine) == []
        assert all(check.witness == "pulse" for check in checks(ticked(machine, at + 2, at + 31)))
    assert machine.syncs[B].known_ns == 3_570 * SECOND
    assert machine.syncs[B].state is State.LIVE


def test_a_pulse_finds_a_dead_stream_without_a_witness() -> None:
    """A small snapshot is requested; its id is ahead, and no event leads there."""
    machine = at_two(pulse_s=30, audit_s=900)
    feed_all(pulse(31, 30, "1"), tick(32), tick(33), pulse(61, 60, "2"), to=machine)
    *_, check, request = feed_all(tick(62), tick(63), to=machine)
    assert [difference.witness for difference in checks([check])[0].differences] == [2]
    assert request == FetchSnapshot(B, 1, Urgency.DOUBT)
    assert feed_all(asked(63, limit=100), rest(snapshot(12, limit=100), 64), to=machine) == []
    lost_book, *_ = ticked(machine, 64, 67)
    assert lost_book == BookLost(GapInterval(B, 1, 30 * SECOND, 10, "silent"))


def test_a_pulse_and_a_snapshot_of_the_same_id_disprove_a_book() -> None:
    """The book is wrong, not silent."""
    machine = at_two(pulse_s=30, audit_s=900)
    feed_all(pulse(61, 60, "2"), tick(62), tick(63), asked(63), to=machine)
    check, lost_book, _ = feed_all(rest(snapshot(10, {"100": "2"}, {"101": "1"}), 64), to=machine)
    assert checks([check])[0].differences
    assert lost_book == BookLost(GapInterval(B, 1, 2 * SECOND, 10, "disproved"))


def test_a_pulse_is_ignored_for_unknown_symbols() -> None:
    """For foreign symbols and lost books; a pulse that cannot be read is reported."""
    machine = at_two(pulse_s=30)
    feed_all(lost(3), pulse(61, 60, "7"), pulse(61, 60, "7", symbol=E), to=machine)
    assert ticked(machine, 62, 70) == []
    bad = Pulse(71 * SECOND, 70 * SECOND, {B: ("0", "1", "101", "1")})
    (malformed,) = feed_all(bad, to=machine)
    assert isinstance(malformed, MalformedMessage)
    assert malformed.connection is None


def test_an_audit_becomes_due_in_a_quiet_market_too() -> None:
    """A tick requests it, however few events there are."""
    machine = at_two(audit_s=100)
    due = [out for out in ticked(machine, 3, 102) if isinstance(out, FetchSnapshot)]
    assert due == [FetchSnapshot(B, 1, Urgency.AUDIT)]


# ── connections that are silent ─────────────────────────────────────────────────────────────


def busy(machine: Reconstruction, connection: int, seconds: int, since: int) -> int:
    """The connection delivers an event every second; returns the next id."""
    sync = machine.syncs[B]
    for at in range(since, since + seconds):
        following = sync.update_id + 1
        feed_all(stream(event(following, following), at, connection), tick(at), to=machine)
    return sync.update_id + 1


def test_a_busy_connection_that_brings_nothing_is_replaced() -> None:
    """After five seconds, once; the book is not lost because of that alone."""
    machine = at_two()
    busy(machine, 0, BUSY_TICKS, since=3)
    begin = 3 + BUSY_TICKS
    found = [feed_all(tick(at), to=machine) for at in range(begin, begin + 60)]
    renewal = [ReplaceConnection(0, "it delivers nothing any more", silent=True)]
    assert found == [[]] * (SILENT_S - 1) + [renewal] + [[]] * (60 - SILENT_S)
    assert machine.syncs[B].state is State.LIVE


def test_an_unreadable_message_is_a_sign_of_life() -> None:
    """It still came from the exchange."""
    machine = at_two()
    busy(machine, 0, BUSY_TICKS, since=3)
    for at in range(40, 80):
        assert not renewals(feed_all(stream(b"{", at), tick(at), to=machine))


def renewals(outputs: list[Output]) -> list[ReplaceConnection]:
    return [out for out in outputs if isinstance(out, ReplaceConnection)]


def test_an_event_does_not_wait_for_a_silent_connection() -> None:
    """Events that waited only for it are released when it falls silent, and the gap is reported at that tick."""
    machine = at_two()
    feed_all(connected(2, 1), to=machine)
    for at in range(3, 3 + BUSY_TICKS):
        n = machine.syncs[B].update_id + 1
        both = (stream(event(n, n), at, connection) for connection in (0, 1))
        feed_all(*both, tick(at), to=machine)
    n = machine.syncs[B].update_id + 1
    begin = 3 + BUSY_TICKS
    for at in range(begin, begin + SILENT_S - 1):
        feed_all(stream(event(n, n), at), tick(at), to=machine)
        n += 1
    assert len(rows(feed_all(stream(event(n, n), begin + SILENT_S - 1), to=machine))) == 1
    assert feed_all(stream(event(n + 2, n + 2), begin + SILENT_S - 1), to=machine) == []
    outputs = feed_all(tick(begin + SILENT_S - 1), to=machine)
    assert renewals(outputs)[0].connection == 1
    (opened,) = (out for out in outputs if isinstance(out, BookLost))
    assert (opened.gap.last_update_id, opened.gap.reason) == (n, "id_gap")


def test_a_hold_is_decided_at_a_tick() -> None:
    """Three seconds after the first tick that finds an event waiting."""
    machine = at_two()
    feed_all(connected(2, 1), stream(event(12, 12), 3), to=machine)
    assert ticked(machine, 4, 6) == []
    outputs = ticked(machine, 7, 7)
    assert outputs[0] == BookLost(GapInterval(B, 1, 2 * SECOND, 10, "id_gap"))


# ── a recorder that stands still ────────────────────────────────────────────────────────────


def test_a_pause_is_noted_and_counts_as_little_tape_time() -> None:
    """While this process stood still it could not see messages, so no connection counts as silent."""
    machine = at_two(pulse_s=30)
    feed_all(stream(top(12, *SIDES), 3), tick(3), to=machine)
    assert feed_all(tick(4_000, 3_997), to=machine) == [
        Note(None, 4_000 * SECOND, "pause", "3997.000")
    ]
    row, *_ = feed_all(stream(event(11, 12), 4_000), to=machine)
    assert isinstance(row, BookRow)
    assert ticked(machine, 4_001, 4_080) == []


@pytest.mark.parametrize(("elapsed_s", "noted"), [(2.999, False), (3, True)])
def test_a_tick_of_three_seconds_is_a_pause(elapsed_s: float, *, noted: bool) -> None:
    """A tick that is only a little late is not."""
    assert bool(feed_all(tick(9, elapsed_s), to=at_two())) == noted


def bring_made_at(
    machine: Reconstruction, first: int, last: int, made_s: float, at_s: float
) -> None:
    feed_all(arrives(depth_event(first, last, made_s), at_s), to=machine)


def with_usual_lag(lag_s: float = 0.2) -> Reconstruction:
    """Live at id 20 since second 20; events usually have this lag."""
    machine = at_two()
    for n in range(11, 21):
        bring_made_at(machine, n, n, n - lag_s, n)
        feed_all(tick(n), to=machine)
    return machine


def gap_after(machine: Reconstruction, at: int) -> GapInterval:
    """The gap that opens when the connection is lost."""
    (opened,) = feed_all(lost(at), to=machine)
    assert isinstance(opened, BookLost)
    return opened.gap


def test_frames_that_waited_prove_nothing_about_the_time_they_waited() -> None:
    """The last frame was made at 20.9 s and read at 60 s: the gap begins when it was due."""
    machine = with_usual_lag()
    feed_all(tick(60, 40), to=machine)
    bring_made_at(machine, 21, 21, 20.9, 60)
    assert gap_after(machine, 61).start_ns == second(21.1)


def test_an_event_that_is_a_little_late_is_evidence_as_of_its_stamp() -> None:
    """It is at most a second later than usual."""
    machine = with_usual_lag()
    bring_made_at(machine, 21, 21, 20.9, 22.1)
    assert gap_after(machine, 23).start_ns == second(22.1)
    machine = with_usual_lag()
    bring_made_at(machine, 21, 21, 20.9, 22.101)
    assert gap_after(machine, 23).start_ns == second(21.1)


@pytest.mark.parametrize("witness", [top(20, *SIDES), ticker(20, *SIDES)])
def test_a_witness_that_waited_proves_nothing_about_the_time_it_waited(witness: Any) -> None:
    """It agreed at an unknown moment while the recorder stood still; the next tick ends this state."""
    machine = with_usual_lag()
    feed_all(
        stream(top(20, *SIDES), 20),
        tick(60, 40),
        stream(witness, 60),
        stream(witness, 60),
        to=machine,
    )
    assert machine.syncs[B].known_ns == second(20)
    feed_all(tick(61), stream(witness, 62), to=machine)
    assert gap_after(machine, 63).start_ns == second(62)


def test_other_evidence_needs_no_correction() -> None:
    """A witness that agreed after the late event counts as of its own stamp."""
    machine = with_usual_lag()
    bring_made_at(machine, 21, 21, 20.9, 60)
    feed_all(stream(top(21, *SIDES), 61), to=machine)
    assert gap_after(machine, 62).start_ns == second(61)


def test_a_gap_never_begins_before_the_snapshot_of_its_epoch() -> None:
    """Otherwise it would overlap the previous one."""
    machine = with_usual_lag()
    feed_all(lost(21), connected(22, 1), rest(snapshot(30, *SIDES), 40), to=machine)
    feed_all(arrives(depth_event(31, 31, 25), 50, 1), to=machine)
    (opened,) = feed_all(lost(51, 1), to=machine)
    assert isinstance(opened, BookLost)
    assert opened.gap.start_ns == second(40)


def test_nothing_is_corrected_before_there_is_a_usual_lag() -> None:
    """No tick has seen an event yet; a lag measured a minute ago does not count either."""
    machine = at_two()
    bring_made_at(machine, 11, 11, 3, 60)
    assert gap_after(machine, 61).start_ns == second(60)
    machine = with_usual_lag()
    ticked(machine, 21, 80)
    bring_made_at(machine, 21, 21, 20.9, 81)
    assert gap_after(machine, 82).start_ns == second(81)


# ── clocks ──────────────────────────────────────────────────────────────────────────────────


def test_setting_the_clock_back_moves_every_time() -> None:
    """By the new clock the next row is later than the last one."""
    machine = at_two()
    feed_all(stream(event(11, 11), 100), to=machine)
    (note,) = feed_all(ClockStep(50 * SECOND, -50 * SECOND), to=machine)
    assert note == Note(None, 50 * SECOND, "clock_step", "-50.000000")
    assert machine.syncs[B].known_ns == 50 * SECOND
    (row,) = feed_all(stream(event(12, 12), 51), to=machine)
    assert rows([row])[0].received_ns == 51 * SECOND
    assert gap_after(machine, 60).start_ns == 51 * SECOND


def test_an_open_gap_goes_back_with_the_clock() -> None:
    """Otherwise it would end before it began."""
    machine = at_two()
    feed_all(lost(100), ClockStep(50 * SECOND, -50 * SECOND), connected(51), to=machine)
    closed, *_ = feed_all(rest(snapshot(20, *SIDES), 52), to=machine)
    assert isinstance(closed, GapInterval)
    assert (closed.start_ns, closed.end_ns) == (-48 * SECOND, 52 * SECOND)


def test_setting_the_clock_forward_moves_nothing() -> None:
    """Earlier proof keeps its time; the gap may seem longer than it was."""
    machine = at_two()
    (note,) = feed_all(ClockStep(1_000 * SECOND, 900 * SECOND), to=machine)
    assert isinstance(note, Note)
    assert gap_after(machine, 1_001).start_ns == 2 * SECOND


@pytest.mark.parametrize(("step_s", "moved_s"), [(-0.999, 0), (-1, -1)])
def test_setting_the_clock_back_by_less_than_a_second_moves_nothing(
    step_s: float, moved_s: float
) -> None:
    """Rows wait for it to catch up: their times never go back."""
    machine = at_two()
    feed_all(stream(event(11, 11), 100), ClockStep(100 * SECOND, second(step_s)), to=machine)
    assert machine.syncs[B].known_ns == second(100 + moved_s)


def test_a_clock_step_ages_the_usual_lag() -> None:
    """It counts at two more ticks; then an event is late only compared with newer ones."""
    machine = with_usual_lag()
    feed_all(ClockStep(21 * SECOND, 100 * SECOND), tick(121), tick(122), to=machine)
    bring_made_at(machine, 21, 21, 22.9, 123)
    assert gap_after(machine, 124).start_ns == second(123)


def test_the_offset_to_the_exchange_s_clock_is_a_note() -> None:
    """Its error is half the round trip."""
    (note,) = feed_all(ClockOffset(9 * SECOND, -1_234_567, 2_000_000), to=at_two())
    assert note == Note(None, 9 * SECOND, "clock_offset", "-1.2 ms ± 2.0 ms")


# ── when a book became known ─────────────────────────────────────────────────────────────────


def test_no_row_is_stamped_before_its_sources() -> None:
    """Events waited for the snapshot, so their book was not known before it came."""
    machine = Reconstruction()
    feed_all(start(format=2), connected(1), to=machine)
    assert feed_all(stream(event(10, 11), 2), stream(event(12, 12), 3), to=machine) == []
    written = rows(feed_all(rest(BOOK, 9), stream(event(13, 13), 10), to=machine))
    assert [(row.update_id, row.received_ns // SECOND) for row in written] == [
        (10, 9),
        (11, 9),
        (12, 9),
        (13, 10),
    ]


def test_an_event_that_ran_ahead_joins_the_book_only_with_the_event_before_it() -> None:
    """So the times of rows never go back."""
    machine = at_two()
    feed_all(connected(2, 1), stream(event(12, 12), 3), to=machine)
    written = rows(feed_all(stream(event(11, 11), 5, 1), to=machine))
    assert [(row.update_id, row.received_ns // SECOND) for row in written] == [(11, 5), (12, 5)]


def test_a_gap_ends_at_the_time_of_the_first_row() -> None:
    """Even if the stamp of the snapshot is older than the last known state."""
    machine = at_two()
    feed_all(stream(event(11, 11), 9), stream(event(13, 13), 9), to=machine)
    closed, _, row, *_ = feed_all(rest(snapshot(12, *SIDES), 8), to=machine)
    assert isinstance(closed, GapInterval)
    assert isinstance(row, BookRow)
    assert (closed.start_ns, closed.end_ns, row.received_ns) == (9 * SECOND,) * 3


def test_a_lost_connection_proves_nothing() -> None:
    """It answered pings until second 50; the book's last evidence is its event."""
    machine = at_two()
    feed_all(stream(event(11, 11), 9), to=machine)
    assert feed_all(lost(60, alive=50), to=machine) == [
        BookLost(GapInterval(B, 1, 9 * SECOND, 11, DISCONNECTED))
    ]


def test_the_end_of_a_recording_is_no_evidence() -> None:
    """The gap begins at the evidence before it."""
    machine = at_two()
    assert feed_all(SegmentEnd(60 * SECOND, STOPPED), to=machine) == [
        BookLost(GapInterval(B, 1, 2 * SECOND, 10, STOPPED))
    ]


# ── ids that start over ───────────────────────────────────────────────────────────────────────


def test_ids_that_start_over_end_the_epoch() -> None:
    """The gap begins at the last evidence; both events join the snapshot that follows."""
    machine = at_two()
    feed_all(arrives(depth_event(11, 11, 3), 3), to=machine)
    assert feed_all(arrives(depth_event(1, 1, 8), 8), to=machine) == []
    outputs = feed_all(arrives(depth_event(2, 3, 8.1), 8.1), to=machine)
    assert outputs == [
        BookLost(GapInterval(B, 1, 3 * SECOND, 11, "ids_reset")),
        FetchSnapshot(B, 1),
    ]
    outputs = feed_all(rest(snapshot(1, *SIDES), 9), to=machine)
    assert outputs[0] == GapInterval(B, 1, 3 * SECOND, 11, "ids_reset", 9 * SECOND, 1)
    assert [(row.update_id, row.epoch) for row in rows(outputs)] == [(1, 2), (3, 2)]
    assert len(rows(feed_all(arrives(depth_event(4, 4, 10), 10), to=machine))) == 1


def test_a_snapshot_of_new_ids_before_their_events_is_believed() -> None:
    """Both events lie before it; the next event chains."""
    machine = at_two()
    feed_all(arrives(depth_event(11, 11, 3), 3), to=machine)
    feed_all(arrives(depth_event(1, 1, 8), 8), arrives(depth_event(2, 3, 8.1), 8.1), to=machine)
    outputs = feed_all(rest(snapshot(5, *SIDES), 9), to=machine)
    assert [row.update_id for row in rows(outputs)] == [5]
    assert len(rows(feed_all(arrives(depth_event(4, 6, 10), 10), to=machine))) == 1


def test_low_snapshots_of_a_quiet_symbol_are_believed_the_third_time() -> None:
    """No event is held: a cache may be old once or twice."""
    machine = at_two()
    feed_all(lost(3), connected(4, 1), to=machine)
    assert feed_all(rest(snapshot(5, *SIDES), 5), to=machine) == [FetchSnapshot(B, 2)]
    assert feed_all(rest(snapshot(5, *SIDES), 6), to=machine) == [FetchSnapshot(B, 3)]
    closed, synced, row, *_ = feed_all(rest(snapshot(5, *SIDES), 7), to=machine)
    assert closed == GapInterval(B, 1, 2 * SECOND, 10, DISCONNECTED, 7 * SECOND, 5)
    assert isinstance(synced, BookSynced)
    assert isinstance(row, BookRow)
    assert len(rows(feed_all(arrives(depth_event(6, 6, 8), 8, 1), to=machine))) == 1


def test_low_audits_of_a_quiet_symbol_are_believed_the_third_time() -> None:
    """Then the arbiter forgets the old ids, and the first snapshot afterwards is believed at once."""
    machine = at_two(audit_s=900)
    low: list[TapeRecord] = [asked(5), rest(snapshot(5, *SIDES), 6)]
    again = feed_all(*low, *low, to=machine)
    assert [type(out) for out in again] == [FetchSnapshot] * 2
    outputs = feed_all(*low, to=machine)
    assert outputs == [
        BookLost(GapInterval(B, 1, 2 * SECOND, 10, "ids_reset")),
        FetchSnapshot(B, 1),
    ]
    outputs = feed_all(rest(snapshot(5, *SIDES), 9), to=machine)
    assert [row.update_id for row in rows(outputs)] == [5]
    assert len(rows(feed_all(stream(event(6, 6), 10), to=machine))) == 1


# ── a symbol that has not opened ────────────────────────────────────────────────────────────


def test_a_symbol_that_has_not_opened_is_a_known_empty_book() -> None:
    """Its first event may begin at any id, and is applied."""
    machine = Reconstruction()
    feed_all(start(format=2), connected(1), to=machine)
    (row,) = rows(feed_all(rest(snapshot(-1), 2), to=machine))
    assert (row.update_id, len(row.bid_price), row.bid_horizon) == (-1, 0, None)
    (row,) = rows(feed_all(stream(event(500, 503, {"100": "1"}), 3), to=machine))
    assert (row.update_id, row.bid_price.tolist()) == (503, [100])


def test_an_empty_answer_is_not_used_for_held_events() -> None:
    """The symbol has opened, so the answer is stale."""
    machine = Reconstruction()
    feed_all(start(format=2), connected(1), stream(event(1, 2), 2), to=machine)
    assert feed_all(rest(snapshot(-1), 3), to=machine) == [FetchSnapshot(B, 2)]
    assert [row.update_id for row in rows(feed_all(rest(snapshot(1), 4), to=machine))] == [1, 2]


# ── segments ────────────────────────────────────────────────────────────────────────────────


def test_a_rotation_during_a_silence_only_forgets_later_ids() -> None:
    """The age of the evidence continues, both live and read alone; the witness shows the id again."""
    machine = at_two(pulse_s=30)
    ticked(machine, 3, 100)
    feed_all(stream(top(12, *SIDES), 100), tick(101), tick(102), to=machine)
    feed_all(SegmentEnd(102 * SECOND, ROTATED), to=machine)
    alone = continued(machine, 102, format=2, pulse_s=30)
    outputs = [losses(ticked(reader, 103, 160)) for reader in (machine, alone)]
    assert outputs[0] == outputs[1] == [BookLost(GapInterval(B, 1, 2 * SECOND, 10, "silent"))]
    assert machine.syncs[B].known_ns == 2 * SECOND


def test_proof_from_before_the_last_event_is_the_same_after_a_rotation() -> None:
    """A checkpoint has one time for both: older proof adds nothing, live or read alone."""
    machine = at_two(pulse_s=30)
    feed_all(stream(event(11, 11), 50), *(tick(at) for at in range(50, 60)), to=machine)
    feed_all(SegmentEnd(60 * SECOND, ROTATED), to=machine)
    alone = continued(machine, 60, format=2, pulse_s=30)
    outputs = []
    for reader in (machine, alone):
        reader.syncs[B].note_proof(49 * SECOND)
        outputs.append([at for at in range(60, 220) if losses(feed_all(tick(at), to=reader))])
    assert outputs[0] == outputs[1] == [201]
