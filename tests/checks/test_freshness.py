"""The two clocks of a known book: since its last evidence, and since something was seen ahead of it."""

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
    """A book known at id 10, and its clocks; each tick tells a second unless it says otherwise."""

    def __init__(self, bound_s: int | None = BOUND_S) -> None:
        self.sync = known_at(10)
        self.clocks = Freshness(self.sync, None if bound_s is None else bound_s * SECOND)

    def ticks(self, count: int, *, passed_s: float = 1, waits: bool = False) -> list[bool]:
        passed_ns = round(passed_s * SECOND)
        return [self.clocks.on_tick(passed_ns, waits=waits) for _ in range(count)]

    def silent_at(self, most: int = 100, *, waits: bool = False) -> int | None:
        """The how-manieth tick from now says that the stream is silent."""
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
def test_the_bound_is_five_pulses_or_two_audits_or_none(
    pulse_s: float, audit_s: float, seconds: float | None
) -> None:
    """The pulse decides wherever there is one; without anything that looks, silence is believed."""
    expected = None if seconds is None else round(seconds * SECOND)
    assert bound_ns(pulse_s, audit_s) == expected


def test_a_book_is_silent_once_its_evidence_is_older_than_the_bound() -> None:
    """Counted from the tick that follows the evidence; exactly the bound is not too old."""
    assert KnownBook().silent_at() == 1 + BOUND_S + 1


def test_without_a_bound_silence_is_believed() -> None:
    """Nothing looks at quiet books, so nothing can be expected of them."""
    assert KnownBook(bound_s=None).silent_at(10_000) is None


def test_an_event_is_evidence() -> None:
    """Any event: the age starts over from the tick that follows."""
    book = KnownBook()
    book.ticks(BOUND_S)
    book.apply(11)
    assert book.silent_at() == 1 + BOUND_S + 1


def test_any_other_proof_is_evidence() -> None:
    """Where it is newer than the last one; an older one proves nothing new."""
    book = KnownBook()
    book.sync.note_proof(3 * SECOND)
    book.ticks(BOUND_S)
    book.sync.note_proof(4 * SECOND)
    book.ticks(BOUND_S)
    book.sync.note_proof(4 * SECOND)
    assert book.silent_at() == 2


def test_a_new_epoch_is_evidence() -> None:
    """A snapshot of the same id, after the book was lost."""
    book = KnownBook()
    book.ticks(BOUND_S)
    book.sync.handle(CheckFailed(), 5 * SECOND)
    book.sync.handle(snapshot(10), 6 * SECOND)
    assert book.silent_at() == 1 + BOUND_S + 1


def test_a_clock_that_is_set_back_is_no_evidence() -> None:
    """What was proved moves with the clock, and the age continues."""
    book = KnownBook()
    book.sync.note_proof(4 * SECOND)
    book.ticks(1 + BOUND_S)
    book.sync.step_clock(-3 * SECOND)
    book.clocks.step_clock(-3 * SECOND)
    assert book.silent_at() == 1


# ── what is ahead ───────────────────────────────────────────────────────────────────────────


def test_what_is_ahead_must_be_reached_within_three_seconds() -> None:
    """The first tick starts the clock, however long before it the message came."""
    book = KnownBook(bound_s=None)
    book.ticks(5)
    book.clocks.on_newer_id(11)
    assert book.silent_at() == 1 + AHEAD_NS // SECOND


def test_what_is_ahead_counts_tape_time() -> None:
    """Three seconds in any number of ticks."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    assert book.ticks(7, passed_s=0.5) == [False] * 6 + [True]


def test_a_book_that_reaches_what_was_ahead_is_not_silent() -> None:
    """Just in time, at its id or past it."""
    for reached in (11, 13):
        book = KnownBook(bound_s=None)
        book.clocks.on_newer_id(11)
        assert not any(book.ticks(3))
        book.apply(reached)
        assert book.silent_at() is None


def test_progress_that_does_not_reach_it_is_none() -> None:
    """An event that comes late does not help: what was seen is overdue."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(20)
    book.ticks(3)
    book.apply(11)
    assert book.silent_at() == 1


def test_a_busy_stream_is_never_silent() -> None:
    """Each time something is ahead, and each time it is reached before long."""
    book = KnownBook(bound_s=None)
    for last in range(11, 60):
        book.clocks.on_newer_id(last)
        assert not any(book.ticks(1))
        book.apply(last)
        book.clocks.on_newer_id(last + 1)


def test_what_is_furthest_ahead_counts_once_the_first_is_reached() -> None:
    """A witness that has shown 30 and says no more: the events up to there must come, too."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    book.clocks.on_newer_id(30)
    book.ticks(3)
    book.apply(11)
    assert book.silent_at() == 1 + AHEAD_NS // SECOND


def test_messages_in_any_order_start_one_clock() -> None:
    """The first one decides; later ones do not restart it, nor does one with a lower id."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(15)
    book.ticks(2)
    book.clocks.on_newer_id(12)
    book.clocks.on_newer_id(16)
    assert book.silent_at() == 2


def test_a_message_replaces_what_has_been_reached() -> None:
    """Also between two ticks: a new distance has its own clock."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    book.ticks(3)
    book.apply(11)
    book.clocks.on_newer_id(12)
    assert book.silent_at() == 1 + AHEAD_NS // SECOND


def test_while_an_event_waits_for_another_one_the_hold_decides() -> None:
    """Once nothing waits any more, the clock begins afresh."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    book.ticks(3)
    assert not any(book.ticks(10, waits=True))
    assert book.silent_at() == 1 + AHEAD_NS // SECOND


def test_a_lost_book_forgets_what_was_ahead() -> None:
    """The next epoch begins somewhere else."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    book.ticks(3)
    book.clocks.reset()
    assert book.silent_at() is None


# ── segments ────────────────────────────────────────────────────────────────────────────────


def test_the_age_goes_on_in_the_next_segment() -> None:
    """A checkpoint tells it; the first tick of the new segment adds to it."""
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


def test_newer_evidence_than_the_last_tick_has_no_age_yet() -> None:
    """The next segment counts it from its own first tick."""
    book = KnownBook()
    book.ticks(8)
    book.apply(11)
    assert book.clocks.age_ns == 0
    book.clocks.begin_segment(book.clocks.age_ns)
    assert book.silent_at() == 1 + BOUND_S + 1


def test_what_was_ahead_is_not_carried_over() -> None:
    """The next segment can be read alone; the witness will say it again."""
    book = KnownBook(bound_s=None)
    book.clocks.on_newer_id(11)
    book.ticks(3)
    book.clocks.begin_segment(0)
    assert book.silent_at() is None
