"""The two clocks of a known book: since its last evidence, and since a later id was first seen."""

from __future__ import annotations

import pytest

from booktape.checks.freshness import AHEAD_NS, Freshness, bound_ns
from booktape.core.events import CheckFailed
from booktape.core.sync import SymbolSync
from support.oracle import SECOND, connected, event, snapshot

B = "BTCUSDT"
BOUND_S = 10


def known_at(update_id: int) -> SymbolSync:
    """A book that is live at this id since second 1."""
    sync = SymbolSync(B)
    sync.handle(connected(1), SECOND)
    sync.handle(snapshot(update_id), SECOND)
    return sync


class KnownBook:
    """A book known at id 10, and its clocks; each tick reports one second unless stated otherwise."""

    def __init__(self, bound_s: int | None = BOUND_S) -> None:
        self.sync = known_at(10)
        self.clocks = Freshness(self.sync, None if bound_s is None else bound_s * SECOND)

    def ticks(self, count: int, *, passed_s: float = 1, waits: bool = False) -> list[bool]:
        passed_ns = round(passed_s * SECOND)
        return [self.clocks.on_tick(passed_ns, waits=waits) for _ in range(count)]

    def silent_at(self, most: int = 100, *, waits: bool = False) -> int | None:
        """How many ticks from now the stream is declared silent; None if that takes more than `most`."""
        for n in range(1, most + 1):
            if self.clocks.on_tick(SECOND, waits=waits):
                return n
        return None

    def apply(self, last: int, at: int = 5) -> None:
        self.sync.handle(event(self.sync.update_id + 1, last), at * SECOND)


# ── the bound ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pulse_s", "audit_s", "seconds"),
    [(30, 900, 150), (30, 0, 150), (0, 900, 1_800), (0, 0, None), (0.5, 0, 2.5)],
)
def test_the_bound_is_five_pulses_or_two_audits_or_absent(
    pulse_s: float, audit_s: float, seconds: float | None
) -> None:
    """If there is a pulse, it decides; without any check silence is believed."""
    expected = None if seconds is None else round(seconds * SECOND)
    assert bound_ns(pulse_s, audit_s) == expected


def test_a_book_is_silent_once_its_evidence_is_older_than_the_bound() -> None:
    """The age is counted from the tick after the evidence; evidence exactly at the bound is not too old."""
    assert KnownBook().silent_at() == 1 + BOUND_S + 1


def test_without_a_bound_silence_is_believed() -> None:
    """Nothing checks quiet books, so no evidence of them can be expected."""
    assert KnownBook(bound_s=None).silent_at(10_000) is None


def test_an_event_is_evidence() -> None:
    """After any event the age is counted from the next tick."""
    book = KnownBook()
    book.ticks(BOUND_S)
    book.apply(11)
    assert book.silent_at() == 1 + BOUND_S + 1


def test_any_other_proof_is_evidence() -> None:
    """If it is newer than the last evidence; older proof adds nothing."""
    book = KnownBook()
    book.sync.note_proof(3 * SECOND)
    book.ticks(BOUND_S)
    book.sync.note_proof(4 * SECOND)
    book.ticks(BOUND_S)
    book.sync.note_proof(4 * SECOND)
    assert book.silent_at() == 2


def test_a_new_epoch_is_evidence() -> None:
    """This holds even for a snapshot of the same id as that of the lost book."""
    book = KnownBook()
    book.ticks(BOUND_S)
    book.sync.handle(CheckFailed(), 5 * SECOND)
    book.sync.handle(snapshot(10), 6 * SECOND)
    assert book.silent_at() == 1 + BOUND_S + 1


def test_setting_the_clock_back_is_no_evidence() -> None:
    """The time of the last proof moves with the clock, and the age continues."""
    book = KnownBook()
    book.sync.note_proof(4 * SECOND)
    book.ticks(1 + BOUND_S)
    book.sync.step_clock(-3 * SECOND)
    book.clocks.step_clock(-3 * SECOND)
    assert book.silent_at() == 1


# ── later ids ───────────────────────────────────────────────────────────────────────────────


def test_a_later_id_must_be_reached_within_three_seconds() -> None:
    """The first tick starts the clock, however long ago the message came."""
    book = KnownBook(bound_s=None)
    book.ticks(5)
    book.clocks.on_newer_id(11)
    assert book.silent_at() == 1 + AHEAD_NS // SECOND


def test_the_clock_of_a_later_id_counts_tape_time() -> None:
    """Three seconds in any number of ticks."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    assert book.ticks(7, passed_s=0.5) == [False] * 6 + [True]


def test_a_book_that_reaches_the_later_id_is_not_silent() -> None:
    """It may reach it just in time, exactly or passing it."""
    for reached in (11, 13):
        book = KnownBook(bound_s=None)
        book.clocks.on_newer_id(11)
        assert not any(book.ticks(3))
        book.apply(reached)
        assert book.silent_at() is None


def test_progress_that_does_not_reach_the_later_id_does_not_count() -> None:
    """A late event does not help: the id that was seen is overdue."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(20)
    book.ticks(3)
    book.apply(11)
    assert book.silent_at() == 1


def test_a_busy_stream_is_never_silent() -> None:
    """Later ids are seen again and again, and each is soon reached."""
    book = KnownBook(bound_s=None)
    for last in range(11, 60):
        book.clocks.on_newer_id(last)
        assert not any(book.ticks(1))
        book.apply(last)
        book.clocks.on_newer_id(last + 1)


def test_the_furthest_id_counts_once_the_first_is_reached() -> None:
    """After a witness has shown 30 and then stops, the events up to 30 must still come."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    book.clocks.on_newer_id(30)
    book.ticks(3)
    book.apply(11)
    assert book.silent_at() == 1 + AHEAD_NS // SECOND


def test_messages_in_any_order_start_one_clock() -> None:
    """The first one starts it; later ones do not restart it, nor does one with a lower id."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(15)
    book.ticks(2)
    book.clocks.on_newer_id(12)
    book.clocks.on_newer_id(16)
    assert book.silent_at() == 2


def test_a_message_with_a_later_id_replaces_the_one_reached() -> None:
    """This also holds between two ticks: a new distance has its own clock."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    book.ticks(3)
    book.apply(11)
    book.clocks.on_newer_id(12)
    assert book.silent_at() == 1 + AHEAD_NS // SECOND


def test_while_an_event_waits_for_another_the_hold_decides() -> None:
    """When no event waits any more, the clock restarts."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    book.ticks(3)
    assert not any(book.ticks(10, waits=True))
    assert book.silent_at() == 1 + AHEAD_NS // SECOND


def test_a_lost_book_forgets_later_ids() -> None:
    """The next epoch begins somewhere else."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    book.ticks(3)
    book.clocks.reset()
    assert book.silent_at() is None


# ── segments ────────────────────────────────────────────────────────────────────────────────


def test_the_age_continues_in_the_next_segment() -> None:
    """The checkpoint contains it; the first tick of the new segment adds to it."""
    book = KnownBook()
    book.ticks(8)
    assert book.clocks.age_ns == 7 * SECOND
    other = Freshness(known_at(10), BOUND_S * SECOND)
    other.begin_segment(book.clocks.age_ns)
    book.clocks.begin_segment(book.clocks.age_ns)
    ahead = [
        [clocks.on_tick(SECOND, waits=False) for _ in range(4)] for clocks in (book.clocks, other)
    ]
    assert ahead == [[False, False, False, True]] * 2


def test_evidence_newer_than_the_last_tick_has_no_age_yet() -> None:
    """The next segment counts its age from its own first tick."""
    book = KnownBook()
    book.ticks(8)
    book.apply(11)
    assert book.clocks.age_ns == 0
    book.clocks.begin_segment(book.clocks.age_ns)
    assert book.silent_at() == 1 + BOUND_S + 1


def test_later_ids_are_not_carried_over_to_the_next_segment() -> None:
    """It can be read alone; the witness will show the id again."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    book.ticks(3)
    book.clocks.begin_segment(0)
    assert book.silent_at() is None
