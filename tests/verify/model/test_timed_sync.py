"""One symbol on a tape of format 2: when its book is known, since when it is unknown, and the time of a row."""

from __future__ import annotations

import pytest

from booktape.errors import DamagedTape
from booktape.verify.model.sync import ModelState
from verify.replayed import B, known
from verify.replayed_in_seconds import TimedTape, live, live_on_two

# ── a row's time ────────────────────────────────────────────────────────────────────────────


def test_a_row_is_stamped_when_its_book_was_known() -> None:
    """An event that ran ahead was of no use before the one that filled the hole."""
    replayed = live_on_two().came(5, 12, 12, connection=2).came(6, 11, 11)
    assert replayed.since() == [("row", 1, 1, 11, 6), ("row", 1, 2, 12, 6)]


def test_held_events_are_known_with_their_snapshot() -> None:
    """Not when they came."""
    replayed = TimedTape().up(1).came(2, 11, 11).came(3, 12, 12).snapshot(4, 10)
    assert replayed.since() == [("row", 1, 0, 10, 4), ("row", 1, 1, 11, 4), ("row", 1, 2, 12, 4)]


def test_a_row_is_never_earlier_than_the_previous_one() -> None:
    """Nor earlier than the start of a gap, even if our clock went back a little."""
    replayed = live().came(5, 11, 11).came(4.8, 12, 12).down(5.1).up(5.2).snapshot(4.9, 20)
    assert replayed.since() == [
        ("row", 1, 1, 11, 5),
        ("row", 1, 2, 12, 5),
        ("gap", 1, 5, 5, 12, 20, 7, "disconnected"),
        ("row", 2, 0, 20, 5),
    ]
    replayed = live().top20(5, 10).down(5.1).up(5.2).snapshot(4.9, 20)
    assert replayed.since()[-1] == ("row", 2, 0, 20, 5), "the last evidence was a witness"


# ── where a gap begins ──────────────────────────────────────────────────────────────────────


def test_a_gap_begins_at_the_last_evidence() -> None:
    """A connection's last sign of life proves nothing."""
    assert live().down(9).lost == (2, "disconnected"), "at its snapshot"
    assert live().came(5, 11, 11).down(9).lost == (5, "disconnected"), "at its last event"
    assert live().came(5, 11, 11).came(9, 13, 13).lost == (5, "id_gap")


def test_a_gap_at_the_end_of_the_recording_begins_there_too() -> None:
    """However long after the last event the end comes."""
    replayed = live().came(5, 11, 11)
    replayed.say("end", 20, reason="stopped")
    assert replayed.lost == (5, "stopped")


def usual_lag(lag: float = 0.1) -> TimedTape:
    """Live, with one sample: an event of 3 s that came `lag` later."""
    return live().came(3, 11, 11, E=3 - lag).tick(4)


@pytest.mark.parametrize(
    ("time", "start"),
    [
        (4, 4.1),  # 5 s late
        (1, 2),  # but never before the snapshot
        (7.899, 7.999),  # 1.101 s late
        (7.9, 9),  # late by the usual lag and a second: not late
        (8.95, 9),
    ],
)
def test_a_late_event_does_not_prove_the_time_it_took(time: float, start: float) -> None:
    """The gap after it begins where it would have begun had the event been on time."""
    assert usual_lag().came(9, 12, 12, E=time).down(9.5).lost == (start, "disconnected")


def test_the_usual_lag_is_learnt_at_ticks() -> None:
    """Before the first tick nothing counts as late."""
    replayed = live().came(3, 11, 11, E=2.9).came(9, 12, 12, E=4).down(9.5)
    assert replayed.lost == (9, "disconnected")


@pytest.mark.parametrize(("after", "start"), [(63, 59.1), (64, 64.5)])
def test_the_usual_lag_is_that_of_the_last_60_ticks(after: int, start: float) -> None:
    """The sample of the tick at 4 s counts until the end of the tick at 64 s."""
    replayed = usual_lag().ticks(5, after)
    assert replayed.came(after + 0.5, 12, 12, E=after - 4).down(70).lost == (start, "disconnected")


@pytest.mark.parametrize(("after", "start"), [(5, 2.1), (6, 6.5)])
@pytest.mark.parametrize("step", [0.001, -0.001, 30])
def test_a_clock_step_ages_the_samples(after: int, start: float, step: float) -> None:
    """They count for two more ticks."""
    replayed = usual_lag().clock(4.5, step).ticks(5, after)
    assert replayed.came(after + 0.5, 12, 12, E=2).down(9).lost == (start, "disconnected")


@pytest.mark.parametrize(("after", "start"), [(5, 2.1), (6, 6.5)])
def test_the_sample_of_the_tick_after_a_clock_step_expires_with_them(
    after: int, start: float
) -> None:
    """It may be from before the step."""
    replayed = live().clock(2.5, 30).came(3, 11, 11, E=2.9).clock(4.5, 30).ticks(5, after)
    assert replayed.came(after + 0.5, 12, 12, E=2).down(9).lost == (start, "disconnected")


def test_a_book_that_did_not_move_is_no_sample() -> None:
    """Nor is one that a witness confirmed later: its last evidence is not an event."""
    replayed = live().came(3, 11, 11, E=2.9).top20(3.5, 11).tick(4)
    assert replayed.came(9, 12, 12, E=4).down(9.5).lost == (9, "disconnected")
    replayed = TimedTape().up(1).came(2, 11, 11, E=1.9).snapshot(4, 10).tick(5)
    assert replayed.came(9, 12, 12, E=4).down(9.5).lost == (9, "disconnected"), (
        "it waited for its book"
    )


def test_a_witness_after_a_late_event_is_the_evidence() -> None:
    """The gap begins there."""
    replayed = usual_lag().came(9, 12, 12, E=4).top20(9.25, 12).down(9.5)
    assert replayed.lost == (9.25, "disconnected")


# ── holds ───────────────────────────────────────────────────────────────────────────────────


def test_a_hold_lasts_three_seconds_of_ticks() -> None:
    """Counted from the first tick that sees an event wait."""
    replayed = live_on_two().came(2.5, 12, 12, connection=2).ticks(3, 5)
    assert replayed.lost is None
    assert replayed.tick(6).lost == (2, "id_gap")


def test_a_pause_of_the_recorder_adds_little_to_a_hold() -> None:
    """A tick counts for two seconds at most."""
    replayed = live_on_two().came(2.5, 12, 12, connection=2).tick(3).tick(13, 10)
    assert replayed.lost is None
    assert replayed.tick(23, 10).lost == (2, "id_gap")


def test_the_next_hole_has_its_own_timer() -> None:
    """It starts from 0 at the tick that gave up the previous hole."""
    replayed = live_on_two().came(2.5, 12, 12, connection=2).came(2.6, 14, 14, connection=2)
    assert [held.event.last for held in replayed.ticks(3, 8).sync.held] == [12]
    assert [held.event.last for held in replayed.tick(9).sync.held] == [12, 14]


def test_a_filled_hole_no_longer_counts() -> None:
    """Even if there is another one at the next tick."""
    replayed = live_on_two().came(2.5, 12, 12, connection=2).ticks(3, 5)
    replayed.came(5.25, 11, 11).came(5.5, 14, 14, connection=2).ticks(6, 8)
    assert replayed.lost is None
    assert replayed.tick(9).lost == (5.25, "id_gap")


def speaking(seconds: int) -> TimedTape:
    """Two connections, each of which delivers a message before each tick, from 3 s on."""
    replayed = live_on_two()
    for at in range(3, 3 + seconds):
        for connection in (1, 2):
            replayed.say("ws", at - 0.5, connection=connection, base64="/w==")
        replayed.tick(at)
    return replayed


def chatter(replayed: TimedTape, first: int, last: int, event_at: int) -> TimedTape:
    """Only the first connection continues; half a second before `event_at` it runs ahead of a hole."""
    for at in range(first, last + 1):
        replayed.say("ws", at - 0.5, connection=1, base64="/w==")
        if at == event_at:
            replayed.came(at - 0.5, 12, 12)
        replayed.tick(at)
    return replayed


def test_a_busy_connection_that_fell_silent_is_not_waited_for() -> None:
    """After 30 consecutive ticks with a frame and 5 s without one: events that waited only for it are due at once."""
    replayed = chatter(speaking(30), 33, 36, event_at=36)
    assert replayed.lost is None
    assert chatter(replayed, 37, 37, event_at=0).lost == (2, "id_gap"), "a hold would end at 39"
    assert replayed.snapshot(38, 12).came(38.5, 14, 14).lost == (38, "id_gap"), "nor later"


def test_a_connection_that_resumes_is_waited_for() -> None:
    """At once, whatever it delivers."""
    replayed = chatter(speaking(30), 33, 37, event_at=0)
    replayed.say("ws", 37.5, connection=2, base64="/w==")
    assert replayed.came(38, 12, 12).lost is None


def test_only_a_busy_connection_is_called_silent() -> None:
    """29 ticks are not enough."""
    assert chatter(speaking(29), 32, 38, event_at=37).lost is None
    replayed = chatter(speaking(20), 23, 23, event_at=0)
    for at in range(24, 44):
        for connection in (1, 2):
            replayed.say("ws", at - 0.5, connection=connection, base64="/w==")
        replayed.tick(at)
    assert chatter(replayed, 44, 50, event_at=49).lost is None, "in a row"


# ── ids that fall back ──────────────────────────────────────────────────────────────────────


def held(replayed: TimedTape) -> list[tuple[float, int]]:
    return [(arrived.stamp_ns / 1e9, arrived.event.last) for arrived in replayed.sync.held]


def test_ids_that_fall_back_restart_the_stream() -> None:
    """Two old ids with a new time, one of which follows the other, start the stream anew."""
    replayed = live().came(3, 11, 11).came(5, 1, 2)
    assert replayed.lost is None
    replayed.came(5.5, 3, 3)
    assert replayed.lost == (3, "ids_reset")
    assert held(replayed) == [(5, 2), (5.5, 3)]
    arbiter = replayed.sync.arbiter
    assert (arbiter.last_released, arbiter.newest_id, arbiter.newest_us) == (3, 3, 5_500_000)
    assert arbiter.last_by_connection == {1: None}
    replayed.since()
    assert replayed.snapshot(6, 2).since() == [
        ("gap", 1, 3, 6, 11, 2, -10, "ids_reset"),
        ("row", 2, 0, 2, 6),
        ("row", 2, 1, 3, 6),
    ]


@pytest.mark.parametrize("time", [3.0, 3.5, 4.0])
def test_repeated_events_do_not_restart_the_stream(time: float) -> None:
    """An old event has an old time; up to a second later is no proof."""
    replayed = live().came(3, 11, 11).came(5, 1, 2, E=time).came(5.5, 3, 3, E=time)
    assert replayed.lost is None


def test_a_copy_of_the_first_one_changes_nothing() -> None:
    """The first copy counts."""
    replayed = live_on_two().came(3, 11, 11).came(5, 1, 2).came(5.25, 1, 2, E=5, connection=2)
    assert held(replayed.came(5.5, 3, 3)) == [(5, 2), (5.5, 3)]
    assert replayed.sync.arbiter.last_by_connection == {1: None, 2: None}


def test_an_event_that_does_not_follow_replaces_the_first_one() -> None:
    """Either its id or its time does not follow."""
    replayed = live().came(3, 11, 11).came(5, 1, 2).came(6, 5, 5).came(7, 3, 3)
    assert replayed.lost is None
    assert held(replayed.came(8, 4, 4)) == [(7, 3), (8, 4)]
    assert live().came(3, 11, 11).came(5, 1, 2, E=6).came(5.5, 3, 3, E=5.9).lost is None


def test_the_old_ids_are_forgotten_with_the_last_connection() -> None:
    """The next event may begin anywhere."""
    replayed = live().came(3, 11, 11).came(5, 1, 2).down(5.25).up(5.5).came(6, 3, 3).came(7, 4, 4)
    assert replayed.lost == (3, "disconnected")
    assert held(replayed) == [(6, 3), (7, 4)]
    replayed = live().came(3, 11, 11).came(5, 1, 2).down(5.25).up(5.5).came(6, 20, 20).came(9, 3, 3)
    assert held(replayed) == [(6, 20)], "it follows nothing that is still known"


def test_a_snapshot_is_not_an_event() -> None:
    """Before the first event no id counts as old."""
    assert live().came(5, 1, 2).came(6, 3, 3).lost is None


def test_held_events_belong_to_the_old_stream() -> None:
    """They are dropped with the rest of it."""
    replayed = TimedTape().up(1).came(2, 11, 11).came(5, 1, 2).came(5.5, 3, 3)
    assert held(replayed) == [(5, 2), (5.5, 3)]


def low(replayed: TimedTape, at: float) -> TimedTape:
    """An audit whose answer has an id below the book's."""
    return replayed.ask(at).snapshot(at + 0.5, 5)


def test_three_low_audits_are_believed() -> None:
    """For a book that does not change; the next snapshot is then believed at once."""
    replayed = low(low(live(), 3), 4)
    replayed.ask(4.6).say("rest", 4.75, symbol=B, limit=5, base64="/w==")
    assert replayed.lost is None
    assert low(replayed, 5).lost == (2, "ids_reset")
    arbiter = replayed.sync.arbiter
    assert (arbiter.last_released, arbiter.last_by_connection) == (None, {1: None})
    replayed.since()
    assert replayed.snapshot(9, 5).since() == [
        ("gap", 1, 2, 9, 10, 5, -6, "ids_reset"),
        ("row", 2, 0, 5, 9),
    ]
    assert replayed.sync.arbiter.last_released == 5


def test_low_audits_must_be_consecutive() -> None:
    """An event, or an answer that is not low, restarts the count."""
    assert low(low(low(live(), 3), 4).came(4.75, 11, 11), 5).lost is None
    assert low(low(low(live(), 3), 4).ask(4.6).snapshot(4.75, 10), 5).lost is None


def test_a_snapshot_that_takes_the_book_back_is_believed_the_third_time() -> None:
    """If nothing is held; the ids that connections had reached no longer count then."""
    replayed = live().came(3, 11, 11).down(4).up(5)
    replayed.since()
    assert replayed.snapshot(6, 7).snapshot(7, 7).since() == []
    assert replayed.snapshot(8, 7).since() == [
        ("gap", 1, 3, 8, 11, 7, -5, "disconnected"),
        ("row", 2, 0, 7, 8),
    ]
    replayed = live().came(3, 11, 11).best(3.5, 12).ticks(4, 7)
    assert replayed.lost == (3, "silent")
    replayed.snapshot(8, 7).snapshot(9, 7).snapshot(10, 7).since()
    arbiter = replayed.sync.arbiter
    assert (arbiter.last_released, arbiter.newest_id, arbiter.last_by_connection) == (
        7,
        0,
        {1: None},
    )
    assert replayed.came(11, 8, 8).since() == [("row", 2, 1, 8, 11)]


def test_a_snapshot_older_than_held_events_is_never_believed() -> None:
    """The events are newer, and would not join it."""
    replayed = live().down(4).up(5).came(5.5, 20, 20)
    replayed.since()
    for at in range(6, 12):
        replayed.snapshot(at, 15)
    assert replayed.since() == []


# ── what was not opened yet ─────────────────────────────────────────────────────────────────


def test_a_symbol_not_yet_opened_has_an_empty_book() -> None:
    """The book is known; its first event may begin anywhere, unless it came earlier."""
    replayed = TimedTape().up(1).unopened(2).came(3, 500, 510)
    assert replayed.since() == [("row", 1, 0, -1, 2), ("row", 1, 1, 510, 3)]
    assert TimedTape().up(1).came(1.5, 500, 510).unopened(2).since() == []
    replayed = TimedTape().up(1).up(1, 2).unopened(2).came(3, 500, 510)
    assert replayed.since()[1:] == [("row", 1, 1, 510, 3)], "no connection is waited for"


def test_an_audit_of_a_symbol_not_yet_opened_passes() -> None:
    """Both have no levels."""
    replayed = TimedTape().up(1).unopened(2).ask(3).unopened(4)
    assert replayed.since()[1:] == [("check", 4, -1, "rest", 0, 0, "")]


def test_a_known_book_becomes_unopened_only_the_third_time() -> None:
    """As with any snapshot that takes the book back."""
    replayed = live().down(3).up(4).unopened(5).unopened(6)
    assert replayed.since() == []
    assert replayed.unopened(7).since() == [
        ("gap", 1, 2, 7, 10, -1, -12, "disconnected"),
        ("row", 2, 0, -1, 7),
    ]


def test_on_format_1_an_unopened_book_is_no_answer() -> None:
    """As before."""
    replayed = known().gone(3).connected(4)
    replayed.say("rest", 5, symbol=B, limit=5, m={"lastUpdateId": -1, "bids": [], "asks": []})
    assert replayed.since() == []


# ── breaks ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", ["BREAK", "END_OF_DAY"])
def test_a_break_makes_the_book_unknown(status: str) -> None:
    """Orders can be cancelled without an event: the book is not known until the symbol trades again."""
    replayed = live().came(3, 11, 11).listed(5, status)
    assert (replayed.lost, replayed.sync.state) == ((3, "break"), ModelState.BREAK)
    replayed.snapshot(6, 20).since()
    assert replayed.listed(7, "TRADING").snapshot(8, 20).since() == [
        ("note", 7, B, "status", "TRADING"),
        ("gap", 1, 3, 8, 11, 20, 8, "break"),
        ("row", 2, 0, 20, 8),
    ]


def test_an_event_in_a_break_ends_it() -> None:
    """The list is late; the gap still ends with a snapshot."""
    replayed = live().listed(5, "BREAK").came(6, 15, 15)
    assert replayed.sync.state == ModelState.SYNCING
    replayed.since()
    assert replayed.snapshot(7, 14).since() == [
        ("gap", 1, 2, 7, 10, 14, 3, "break"),
        ("row", 2, 0, 14, 7),
        ("row", 2, 1, 15, 7),
    ]


def test_a_halt_changes_nothing() -> None:
    """Events continue."""
    assert live().listed(5, "HALT").sync.live


def test_a_break_continues_the_gap_of_an_unknown_book() -> None:
    """Held events are dropped."""
    replayed = live().came(3, 13, 13).listed(5, "BREAK")
    assert (replayed.lost, replayed.sync.state) == ((2, "id_gap"), ModelState.BREAK)
    assert held(replayed) == []


def test_a_break_without_a_connection_is_remembered() -> None:
    """It applies once a connection comes."""
    replayed = live().listed(3, "BREAK").down(4)
    assert replayed.sync.state == ModelState.COLD
    assert replayed.up(5).sync.state == ModelState.BREAK
    assert TimedTape().listed(1, "BREAK").sync.state == ModelState.COLD
    assert live().listed(3, "BREAK").up(4, 2).down(5).sync.state == ModelState.BREAK


def test_a_relisted_symbol_has_a_gap_since_its_delisting() -> None:
    """The gap begins when it was reported delisted."""
    replayed = live().came(3, 11, 11).listed(5, "DELISTED").came(9, 13, 13)
    assert replayed.lost == (5, "delisted")


# ── our clock ───────────────────────────────────────────────────────────────────────────────


def test_a_clock_that_is_set_back_moves_all_stamps() -> None:
    """Those of a book, of an open gap, and of waiting messages."""
    assert live().came(10, 11, 11).clock(11, -5).down(6.5).lost == (5, "disconnected")
    assert live().came(10, 11, 11).down(10.5).clock(11, -5).lost == (5, "disconnected")
    replayed = live().came(10, 12, 12).clock(11, -5)
    assert held(replayed) == [(5, 12)]
    replayed = live_on_two().came(10, 12, 12, connection=2).clock(11, -5).came(6.5, 11, 11)
    assert replayed.since()[1:] == [("row", 1, 1, 11, 6.5), ("row", 1, 2, 12, 6.5)]
    replayed = live().came(3, 11, 11).came(10, 1, 2).clock(11, -5).came(6, 3, 3, E=11)
    assert held(replayed) == [(5, 2), (6, 3)]


@pytest.mark.parametrize("step", [-0.999, 5])
def test_any_other_clock_step_moves_nothing(step: float) -> None:
    """Less than a second back, or forward."""
    assert live().came(10, 11, 11).clock(11, step).down(12).lost == (10, "disconnected")


# ── what the tape may hold ──────────────────────────────────────────────────────────────────


def test_each_format_has_its_lines() -> None:
    """A tick on format 1 is damage, and so is a recorded hold on format 2."""
    with pytest.raises(DamagedTape, match="'tick' on a tape of format 1"):
        known().say("tick", 3, elapsed_ns=1)
    with pytest.raises(DamagedTape, match="'hold-expired' on a tape of format 2"):
        live().say("hold-expired", 3, symbol=B)


@pytest.mark.parametrize("wrong", [0, 3, "2", None])
def test_an_unknown_format_is_named(wrong: object) -> None:
    """By its number."""

    class Other(TimedTape):
        def say(self, kind: str, at: float, **fields: object) -> None:
            super(TimedTape, self).say(kind, int(at), **fields | {"format": wrong})

    with pytest.raises(DamagedTape, match="its format is"):
        Other()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("tick", {}),
        ("pulse", {"asked_ns": 1, "tops": []}),
        ("status", {"symbol": B, "status": "HALT"}),
        ("clock-offset", {"offset_ns": 1.5, "error_ns": 1}),
    ],
)
def test_incomplete_lines_are_damage(kind: str, fields: dict[str, object]) -> None:
    """Each lacks a field."""
    with pytest.raises(DamagedTape):
        live().say(kind, 3, **fields)


def test_a_listing_is_noted_when_it_changes() -> None:
    """And when first seen; an empty text says nothing."""
    replayed = live().listed(3, "TRADING", "0.01", "0.001").listed(4, "TRADING", "0.01", "0.001")
    replayed.listed(5, "HALT", "0.10").listed(6, "HALT", "0.10", "0.001")
    assert replayed.since() == [
        ("note", 3, B, "status", "TRADING"),
        ("note", 3, B, "tick_size", "0.01"),
        ("note", 3, B, "lot_size", "0.001"),
        ("note", 5, B, "status", "HALT"),
        ("note", 5, B, "tick_size", "0.10"),
    ]


def test_pauses_and_offsets_are_noted() -> None:
    """A tick of three seconds is a pause; the offset is our clock minus the exchange's."""
    replayed = live().tick(5, 2.999).tick(8, 3).tick(80, 71.23456)
    replayed.say("clock-offset", 81, offset_ns=12_345_678, error_ns=4_500_000)
    replayed.say("clock-offset", 82, offset_ns=-400_000, error_ns=50_000_000)
    assert replayed.since() == [
        ("note", 8, None, "pause", "3.000"),
        ("note", 80, None, "pause", "71.235"),
        ("note", 81, None, "clock_offset", "+12.3 ms ± 4.5 ms"),
        ("note", 82, None, "clock_offset", "-0.4 ms ± 50.0 ms"),
    ]
