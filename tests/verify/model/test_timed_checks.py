"""Witnesses, audits and the pulse on a tape of format 2: which of them prove a book current, and what else follows."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeAlias

import pytest

from booktape.errors import DamagedTape
from verify.replayed import B
from verify.replayed_in_seconds import TimedTape, live, live_on_two

Word: TypeAlias = Callable[[TimedTape], Any]


def wrong(side: str, price: str, book: str, witness: str) -> tuple[object, ...]:
    return (side, *(Decimal(text).normalize() for text in (price, book, witness)))


# ── evidence ────────────────────────────────────────────────────────────────────────────────

PROVED: dict[str, tuple[Word, float]] = {
    "depth20": (lambda replayed: replayed.top20(5.5, 10), 5.5),
    "a copy of depth20": (lambda replayed: replayed.top20(3, 10).top20(5.5, 10, {"100": "7"}), 5.5),
    "a copy of an older depth20": (
        lambda replayed: replayed.top20(3, 10).top20(4, 12).top20(5.5, 10),
        5.5,
    ),
    "bookTicker": (lambda replayed: replayed.best(5.5, 10), 5.5),
    "bookTicker of any connection": (
        lambda replayed: replayed.best(3, 9).up(4, 2).best(4.5, 10).best(5.5, 10, connection=2),
        5.5,
    ),
    "an audit": (lambda replayed: replayed.ask(5.5).snapshot(5.75, 10), 5.5),
    "an event": (lambda replayed: replayed.came(5.5, 11, 11), 5.5),
    "a pulse": (lambda replayed: replayed.ticks(3, 5).pulse(5.75, 5.5).ticks(6, 7), 5.5),
}
NOT_PROVED: dict[str, Word] = {
    "depth20 that differs": lambda replayed: replayed.top20(5.5, 10, {"100": "2"}),
    "a copy of one that differs": lambda replayed: replayed.top20(5, 10, {"100": "2"}).top20(
        5.5, 10
    ),
    "depth20 of an older state": lambda replayed: replayed.top20(5.5, 9),
    "bookTicker that differs": lambda replayed: replayed.best(5.5, 10, "99"),
    "bookTicker of an older state": lambda replayed: replayed.best(5.5, 9),
    "an audit without its answer": lambda replayed: replayed.ask(5.5),
    "an answer that was not asked for": lambda replayed: replayed.snapshot(5.5, 10),
    "a pulse of one tick ago": lambda replayed: replayed.pulse(5.75, 5.5).tick(6),
    "a pulse that differs": lambda replayed: replayed.pulse(5.75, 5.5, "99", "1", "101", "1").ticks(
        6, 7
    ),
    "a connection": lambda replayed: replayed.up(5.5, 2),
    "an event of before": lambda replayed: replayed.came(5.5, 10, 10),
    "an unreadable frame": lambda replayed: replayed.say("ws", 5.5, connection=1, base64="/w=="),
    "a status": lambda replayed: replayed.listed(5.5, "TRADING"),
}


@pytest.mark.parametrize("what", PROVED)
def test_evidence_that_proves_a_book_current(what: str) -> None:
    """The gap begins at this evidence."""
    replayed = live()
    PROVED[what][0](replayed)
    assert replayed.down(9).down(9, 2).lost == (PROVED[what][1], "disconnected")


@pytest.mark.parametrize("what", NOT_PROVED)
def test_messages_that_prove_nothing(what: str) -> None:
    """The gap begins at the snapshot."""
    replayed = live()
    NOT_PROVED[what](replayed)
    assert replayed.down(9).down(9, 2).lost == (2, "disconnected")


SAID: dict[str, Callable[[TimedTape, float, int], Any]] = {
    "depth20": TimedTape.top20,
    "bookTicker": TimedTape.best,
}


@pytest.mark.parametrize("what", SAID)
@pytest.mark.parametrize(("elapsed", "start"), [(2.999, 9.5), (3, 3)])
def test_a_message_that_waited_during_a_pause_proves_nothing(
    what: str, elapsed: float, start: float
) -> None:
    """It is stamped with the end of the pause. Messages after the next tick have not waited."""
    replayed = live().came(3, 11, 11).tick(4).tick(9, elapsed)
    SAID[what](replayed, 9.5, 11)
    assert replayed.down(9.75).lost == (start, "disconnected")
    replayed = live().came(3, 11, 11).tick(4).tick(9, elapsed).tick(10)
    SAID[what](replayed, 10.5, 11)
    assert replayed.down(11).lost == (10.5, "disconnected")


def test_a_copy_that_waited_proves_nothing_either() -> None:
    """The first copy has agreed all the same, and later copies of it count."""
    replayed = live().tick(9, 5).top20(9.5, 10).top20(9.6, 10)
    assert checks(replayed) == [("check", 9.5, 10, "depth20", 2, 0, "1 comparisons")]
    assert live().tick(9, 5).top20(9.5, 10).top20(9.6, 10).down(9.75).lost == (2, "disconnected")
    replayed = live().tick(9, 5).top20(9.5, 10).tick(10).top20(10.5, 10, {"100": "7"})
    assert replayed.down(11).lost == (10.5, "disconnected")


@pytest.mark.parametrize("what", SAID)
@pytest.mark.parametrize(("lag", "start"), [(1.1, 9.5), (1.101, 6.999)])
def test_a_message_on_a_late_stream_proves_nothing(what: str, lag: float, start: float) -> None:
    """The smallest lag since the previous tick exceeds the usual one, 0.1 s, by more than a second."""
    replayed = live().came(3, 11, 11, E=2.9).tick(4).came(8, 12, 12, E=8 - lag).tick(9)
    SAID[what](replayed, 9.5, 12)
    assert replayed.down(9.75).lost == (start, "disconnected")


def test_a_copy_counts_only_within_the_epoch() -> None:
    """In the next epoch the same id must agree once more."""
    replayed = live().top20(3, 10).down(4).up(5).snapshot(6, 10)
    assert replayed.top20(7, 10, {"100": "2"}).top20(8, 10).down(9).lost == (6, "disconnected")


# ── silence: nothing proves it ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pulse", "audit", "last"),
    [
        (1, 900, 8),  # five periods after the tick at 3 s
        (0, 2, 7),  # two
    ],
)
def test_evidence_has_a_maximum_age(pulse: float, audit: float, last: int) -> None:
    """The age is counted from the tick after the last evidence; the maximum itself is allowed."""
    replayed = live(pulse=pulse, audit=audit).ticks(3, last)
    assert replayed.lost is None
    assert replayed.tick(last + 1).lost == (2, "silent")


def test_without_pulse_and_audit_silence_is_accepted() -> None:
    """There is no maximum age."""
    assert live(pulse=0, audit=0).ticks(3, 2_000).sync.live


@pytest.mark.parametrize("what", sorted(PROVED.keys() - {"a pulse", "a copy of an older depth20"}))
def test_each_evidence_restarts_the_age(what: str) -> None:
    """It is 0 at the tick at 6 s."""
    replayed = live(pulse=1, audit=0).ticks(3, 5)
    PROVED[what][0](replayed)
    assert replayed.ticks(6, 11).lost is None
    assert replayed.tick(12).lost == (5.5, "silent")


def test_a_pulse_restarts_the_age() -> None:
    """At the tick after the one that compared it, at 8 s."""
    replayed = live(pulse=1).ticks(3, 5).pulse(5.75, 5.5).ticks(6, 13)
    assert replayed.lost is None
    assert replayed.tick(14).lost == (5.5, "silent")


def test_a_pause_adds_little_to_the_age() -> None:
    """Two seconds a tick."""
    replayed = live(pulse=1).tick(3).tick(103, 100).tick(203, 100)
    assert replayed.lost is None
    assert replayed.tick(303, 100).lost == (2, "silent")


def test_a_clock_that_is_set_back_is_no_evidence() -> None:
    """The age keeps growing."""
    replayed = live(pulse=1).top20(2.5, 10).ticks(3, 7).clock(7.5, -2).tick(6)
    assert replayed.lost is None
    assert replayed.tick(7).lost == (0.5, "silent")


def test_silence_ends_with_a_snapshot() -> None:
    """Also with one of the same id: no update was missed."""
    replayed = live(pulse=1).ticks(3, 9)
    replayed.since()
    assert replayed.snapshot(10, 10).since() == [
        ("gap", 1, 2, 10, 10, 10, 0, "silent"),
        ("row", 2, 0, 10, 10),
    ]


# ── silence: something is ahead ─────────────────────────────────────────────────────────────

AHEAD: dict[str, Word] = {
    "depth20": lambda replayed: replayed.top20(3.5, 12),
    "bookTicker": lambda replayed: replayed.best(3.5, 12),
    "an audit": lambda replayed: replayed.ask(3).snapshot(3.5, 12),
    "a bookTicker that does not count": lambda replayed: (
        replayed.up(3, 2).best(3.1, 9).best(3.5, 12, connection=2)
    ),
}


@pytest.mark.parametrize("what", AHEAD)
def test_data_that_is_ahead_starts_a_timer(what: str) -> None:
    """At the next tick; three seconds later the stream is silent."""
    replayed = live()
    AHEAD[what](replayed)
    assert replayed.ticks(4, 6).lost is None
    assert replayed.tick(7).lost == (2, "silent")


@pytest.mark.parametrize("what", AHEAD)
def test_an_event_in_time_stops_the_timer(what: str) -> None:
    """Then nothing is ahead any more."""
    replayed = live()
    AHEAD[what](replayed)
    assert replayed.ticks(4, 6).came(6.5, 11, 12).ticks(7, 20).lost is None


def test_an_answer_that_was_not_requested_is_no_audit() -> None:
    """It does not affect a known book."""
    assert live().snapshot(3.5, 12).ticks(4, 20).lost is None


def test_data_further_ahead_has_its_own_timer() -> None:
    """It starts at the tick that sees the first one reached."""
    replayed = live().best(3.5, 12).best(3.6, 14).ticks(4, 6).came(6.5, 11, 12).ticks(7, 9)
    assert replayed.lost is None
    assert replayed.tick(10).lost == (6.5, "silent")


def test_a_busy_stream_is_not_silent() -> None:
    """At each tick something else is ahead."""
    replayed = live()
    for at in range(3, 30):
        replayed.came(at + 0.25, at + 8, at + 8).best(at + 0.5, at + 9).tick(at + 1)
    assert replayed.lost is None


def test_the_hold_decides_while_an_event_waits() -> None:
    """The timer for data that is ahead starts over after it."""
    replayed = live_on_two().best(2.3, 12).came(2.5, 12, 12, connection=2).ticks(3, 5)
    assert replayed.lost is None
    assert replayed.tick(6).lost == (2, "id_gap")
    replayed = live_on_two().best(2.3, 15).came(2.5, 13, 13, E=2.5, connection=2).ticks(3, 5)
    replayed.came(5.5, 11, 12).ticks(6, 8)
    assert replayed.lost is None
    assert replayed.tick(9).lost == (5.5, "silent")


def test_data_ahead_of_a_lost_book_is_forgotten() -> None:
    """The next book begins with nothing ahead."""
    replayed = live().best(3.5, 12).ticks(4, 5).down(5.5).up(5.6).snapshot(5.7, 10).ticks(6, 20)
    assert replayed.sync.live


# ── the pulse ───────────────────────────────────────────────────────────────────────────────


def checks(replayed: TimedTape, at: float = 50) -> list[tuple[Any, ...]]:
    """All checks, including those of the last minute."""
    replayed.say("end", at, reason="rotated")
    return [line for line in replayed.since() if line[0] == "check"]


def test_the_pulse_is_compared_at_the_second_tick() -> None:
    """Its comparisons are summed up like those of other witnesses."""
    replayed = live().pulse(3.5, 3.25).ticks(4, 5).pulse(33.5, 33.25).ticks(34, 35)
    assert checks(replayed) == [("check", 35, 10, "pulse", 4, 0, "2 comparisons")]


def test_a_pulse_that_differs_has_its_own_row() -> None:
    """It loses no book: an audit must confirm the difference."""
    replayed = live().pulse(3.5, 3.25, "99", "1", "101", "2").ticks(4, 5)
    bids = (wrong("bid", "100", "1", "0"), wrong("bid", "99", "0", "1"))
    assert checks(replayed) == [
        ("check", 5, 10, "pulse", 2, 3, (*bids, wrong("ask", "101", "1", "2")))
    ]
    assert replayed.sync.live


@pytest.mark.parametrize(("asked", "compared"), [(2.999, 0), (3, 1)])
def test_a_book_must_have_been_quiet_before_the_pulse(asked: float, compared: int) -> None:
    """For a second before the request: the snapshot was stamped at 2 s."""
    assert len(checks(live().pulse(3.5, asked).ticks(4, 6))) == compared
    replayed = live().came(2.5, 11, 11).pulse(3.75, asked + 0.5).ticks(4, 6)
    assert len(checks(replayed)) == compared


@pytest.mark.parametrize(
    "then",
    [
        lambda replayed: replayed.came(4.5, 11, 11),
        lambda replayed: replayed.down(4.25).up(4.5).snapshot(4.75, 10),
        lambda replayed: replayed.down(4.5),
        lambda replayed: replayed.up(4.1, 2).came(4.5, 12, 12, connection=2),
    ],
)
def test_a_book_must_stay_quiet_after_the_pulse(then: Word) -> None:
    """Until the second tick."""
    replayed = live().pulse(3.5, 3.25).tick(4)
    then(replayed)
    assert checks(replayed.ticks(5, 9)) == []


def test_an_unknown_book_is_not_compared() -> None:
    """Nor is a symbol that is not recorded."""
    replayed = live().down(3).up(3.1).pulse(5, 4.9).ticks(6, 7)
    replayed.say("pulse", 8, asked_ns=7 * 10**9, tops={"OTHER": ["1", "1", "2", "1"]})
    assert checks(replayed.ticks(9, 10)) == []


def test_a_later_pulse_replaces_one_that_waits() -> None:
    """If the book was quiet for the later one too."""
    replayed = live().pulse(3.5, 3.25, "99", "1", "101", "1").tick(4).pulse(4.5, 4.25).ticks(5, 6)
    assert checks(replayed) == [("check", 6, 10, "pulse", 2, 0, "1 comparisons")]
    replayed = live().pulse(3.5, 3.25).tick(4).pulse(4.5, 2.5, "99", "1", "101", "1").ticks(5, 6)
    assert checks(replayed) == [("check", 5, 10, "pulse", 2, 0, "1 comparisons")]


def test_an_empty_side_is_compared() -> None:
    """Its price and size are 0."""
    replayed = live().pulse(3.5, 3.25, "0.00000000", "0.00000000", "101", "1").ticks(4, 5)
    assert checks(replayed)[0][4:] == (2, 1, (wrong("bid", "100", "1", "0"),))
    replayed = live().came(2.1, 11, 11, bids={"100": "0"}).pulse(4.5, 4, "0", "0", "101", "1")
    assert checks(replayed.ticks(5, 6))[0][4:6] == (2, 0)


@pytest.mark.parametrize(
    "best",
    [("0", "1", "101", "1"), ("x", "1", "101", "1"), ("-1", "1", "101", "1"), ("100", "1", "101")],
)
def test_an_impossible_answer_is_not_compared(best: tuple[str, ...]) -> None:
    """It does not replace a waiting one."""
    assert checks(live().pulse(3.5, 3.25, *best).ticks(4, 6)) == []
    replayed = live().pulse(3.5, 3.25).tick(4).pulse(4.5, 4.25, *best).ticks(5, 6)
    assert checks(replayed) == [("check", 5, 10, "pulse", 2, 0, "1 comparisons")]


def test_a_pulse_without_its_tops_is_damage() -> None:
    """We write this line ourselves."""
    with pytest.raises(DamagedTape, match="tops"):
        live().say("pulse", 3, asked_ns=3)


def test_nothing_is_compared_beyond_the_horizon() -> None:
    """Our best bid may not be the best one."""
    replayed = (
        TimedTape().up(1).snapshot(2, 10, limit=1).came(2.5, 11, 11, bids={"100": "0", "90": "1"})
    )
    replayed.pulse(4.5, 4, "95", "1", "101", "1").ticks(5, 6)
    assert checks(replayed) == [("check", 6, 11, "pulse", 2, 0, "1 comparisons")]


def test_sums_are_written_in_one_order() -> None:
    """depth20, bookTicker, pulse."""
    replayed = live().best(3, 10).came(3.1, 11, 11).best(3.2, 12).came(3.3, 12, 12).top20(3.5, 12)
    replayed.pulse(4.75, 4.5).ticks(5, 6)
    assert [check[3] for check in checks(replayed)] == ["depth20", "bookTicker", "pulse"]


def test_an_audit_that_differs_ends_a_quiet_book() -> None:
    """Same id, other levels: the gap begins at the last evidence."""
    replayed = live().top20(3, 10).ask(4).snapshot(5, 10, {"100": "2"})
    assert replayed.lost == (3, "disproved")
    assert checks(replayed)[0] == ("check", 5, 10, "rest", 2, 1, (wrong("bid", "100", "1", "2"),))


def test_a_check_has_the_time_at_which_its_book_was_known() -> None:
    """The time of the row, not that of an event that ran ahead."""
    replayed = live_on_two().top20(4, 12).came(5, 12, 12, connection=2).came(6, 11, 11)
    assert checks(replayed) == [("check", 6, 12, "depth20", 2, 0, "1 comparisons")]


def test_times_of_requests_move_with_our_clock() -> None:
    """Also those of checks that wait for an event or a tick."""
    replayed = live().ask(20).clock(21, -5).snapshot(16.5, 10).down(17)
    assert replayed.lost == (15, "disconnected")
    replayed = live().pulse(20.5, 20).tick(21).clock(21.5, -5).tick(17).down(17.5)
    assert replayed.lost == (15, "disconnected")
    replayed = live().top20(20, 12).clock(20.5, -5).came(16, 11, 12).down(17)
    assert replayed.lost == (16, "disconnected")


def test_several_symbols_are_checked_at_each_tick() -> None:
    """Each has its own timers."""
    replayed = TimedTape(1, B, "C", pulse=1).up(1).snapshot(2, 10).ticks(3, 9)
    assert replayed.lost == (2, "silent")
    assert replayed.reading.syncs["C"].state == "cold"
