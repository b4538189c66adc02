"""When a book is compared, and when a snapshot is requested to compare it with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

import pytest

from booktape.checks import audit
from booktape.checks.book_checks import (
    DOUBT_LIMIT,
    NARROW_CHECK_EVENTS,
    NEVER_NS,
    PULSE,
    REST,
    SPACING_NS,
    BookChecks,
    CheckOutput,
)
from booktape.core.checks import BestLevels, Check, Difference
from booktape.core.events import (
    CheckFailed,
    FetchSnapshot,
    IdsReset,
    StreamSilent,
    UnreadableAnswer,
    Urgency,
)
from booktape.core.sync import SymbolSync
from booktape.wire.witness import WitnessMessage
from support.oracle import SECOND, Texts, connected, event, snapshot, ticker, top

B = "BTCUSDT"
BIDS: Texts = {"99": "1", "98": "1"}
ASKS: Texts = {"101": "1", "102": "1"}
PERIOD_S = 1_000


class CheckedBook:
    """A book known since second 1, and its checks; requests are answered by the test."""

    def __init__(
        self,
        audit_s: float = PERIOD_S,
        limit: int = 5000,
        depth: int = 5000,
        bids: Texts = BIDS,
        pulse_s: float = 0,
    ) -> None:
        self.sync = SymbolSync(B)
        self.sync.snapshot_limit = limit
        self.checks = BookChecks(self.sync, audit_s, depth, pulse_s)
        self.sync.handle(connected(1), SECOND)
        self.sync.handle(snapshot(10, bids, ASKS, limit=limit), SECOND)
        self.began = list(self.checks.on_synced(SECOND))

    def event(self, last: int, bids: Texts | None = None, at: int = 2) -> list[CheckOutput]:
        sent = event(self.sync.update_id + 1, last, bids)
        self.sync.handle(sent, at * SECOND)
        return list(self.checks.on_applied(sent, at * SECOND))

    def tick(self, at: int, *, waits: bool = False) -> list[CheckOutput]:
        return list(self.checks.on_tick(at * SECOND, SECOND, waits=waits))

    def witness(self, sent: WitnessMessage, at: int, connection: int = 0) -> list[CheckOutput]:
        return list(self.checks.on_witness(sent, connection, at * SECOND))

    def answer(
        self, last: int, bids: Texts = BIDS, at: int = 3, limit: int = 5000
    ) -> list[CheckOutput]:
        sent = snapshot(last, bids, ASKS, limit=limit)
        return list(self.checks.on_answer(sent, at * SECOND))


def audited(update_id: int, at: int, levels: int = 4) -> Check:
    return Check(B, at * SECOND, update_id, REST, levels)


# ── audits ──────────────────────────────────────────────────────────────────────────────────


def test_an_audit_that_passes() -> None:
    """The answer has the book's id, or is carried there by the events applied meanwhile."""
    checked = CheckedBook()
    checked.checks.on_request_sent(0)
    checked.event(12, {"99": "2"})
    assert checked.answer(11) == [audited(12, 3)]
    assert checked.event(13) == [], "the audit is over"


def test_an_answer_ahead_is_compared_after_the_event_that_reaches_it() -> None:
    """Until then the audit stays open."""
    checked = CheckedBook()
    checked.checks.on_request_sent(0)
    assert checked.answer(12, {**BIDS, "99": "2"}) == []
    assert checked.event(11) == []
    assert checked.event(12, {"99": "2"}, at=5) == [audited(12, 5)]


def test_an_audit_that_fails_disproves_the_book() -> None:
    """The check with the levels that differ comes first."""
    checked = CheckedBook()
    checked.checks.on_request_sent(0)
    check, disproved = checked.answer(10, {"99": "1"})
    assert check == Check(B, 3 * SECOND, 10, REST, 4, (Difference("bid", 98, 1, 0),))
    assert isinstance(disproved, CheckFailed)


def test_a_book_learns_from_an_audit_that_passes() -> None:
    """It learns the levels beyond its horizon that the answer shows."""
    checked = CheckedBook(limit=2)
    checked.checks.on_request_sent(0)
    assert checked.answer(10, {**BIDS, "97": "3"}) == [audited(10, 3)]
    assert checked.sync.book.bid_horizon is None
    assert len(checked.sync.book.bids) == 3


@pytest.mark.parametrize("audit_s", [0, PERIOD_S])
def test_an_answer_that_is_too_old_is_no_audit(audit_s: int) -> None:
    """Nor can it become one: events between its id and the request were not kept. Another is requested."""
    checked = CheckedBook(audit_s)
    checked.event(11, {"99": "2"})
    checked.checks.on_request_sent(0)
    again = [FetchSnapshot(B, 2, Urgency.AUDIT)] if audit_s else []
    assert checked.answer(10) == again
    assert checked.event(12) == []


def test_an_unusable_answer_ends_the_audit() -> None:
    """After an error page, or an answer to a request of the previous segment, ask again later."""
    checked = CheckedBook()
    checked.checks.on_request_sent(0)
    tries = [list(checked.checks.on_answer(UnreadableAnswer(), 3 * SECOND)) for _ in range(2)]
    assert tries == [[FetchSnapshot(B, n, Urgency.AUDIT)] for n in (2, 3)]
    assert checked.event(11) == []
    checked.checks.on_request_sent(0)
    assert checked.answer(11) == [audited(11, 3)]
    assert checked.answer(11) == [FetchSnapshot(B, 2, Urgency.AUDIT)]


def test_a_second_request_discards_the_audit_under_way() -> None:
    """Events for the new audit are kept from the moment its request is sent."""
    checked = CheckedBook()
    checked.checks.on_request_sent(0)
    checked.answer(12)
    checked.event(11)
    checked.checks.on_request_sent(0)
    assert checked.event(12) == []
    assert checked.answer(12) == [audited(12, 3)]


def test_an_answer_that_never_comes_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """After too many events the audit is given up."""
    monkeypatch.setattr(audit, "KEPT_MAX", 2)
    checked = CheckedBook(audit_s=0)
    checked.checks.on_request_sent(0)
    for last in (11, 12, 13):
        checked.event(last)
    assert checked.answer(13) == []


@pytest.mark.parametrize("end", [BookChecks.on_lost, lambda checks: list(checks.close())])
def test_an_audit_ends_with_the_book_and_with_the_segment(end: object) -> None:
    """The kept events are of no use then."""
    checked = CheckedBook(audit_s=0)
    checked.checks.on_request_sent(0)
    assert callable(end)
    end(checked.checks)
    assert checked.answer(10) == []


# ── witnesses ───────────────────────────────────────────────────────────────────────────────


def on_witness(
    checked: CheckedBook, sent: Texts, at: int, connection: int = 0
) -> Iterable[CheckOutput]:
    update_id = checked.sync.update_id
    return checked.checks.on_witness(top(update_id, sent, ASKS), connection, at * SECOND)


def test_witnesses_that_agree_are_reported_at_the_end_of_the_segment() -> None:
    """Each witness is reported under its own name."""
    checked = CheckedBook()
    assert list(on_witness(checked, BIDS, 2)) == []
    for update_id in (10, 12):
        ticked = ticker(update_id, {"99": "1"}, {"101": "1"})
        assert list(checked.checks.on_witness(ticked, 0, 2 * SECOND)) == []
    assert checked.event(11, at=3) == []
    assert list(checked.checks.close()) == [
        Check(B, 2 * SECOND, 10, "depth20", 4),
        Check(B, 3 * SECOND, 11, "bookTicker", 2),
    ]


def test_a_ticker_may_settle_an_event_applied_before_it() -> None:
    """The touch after an event is proven by the next ticker."""
    checked = CheckedBook()
    list(checked.checks.on_witness(ticker(10, {"99": "1"}, {"101": "1"}), 0, 2 * SECOND))
    checked.event(11)
    list(checked.checks.on_witness(ticker(12, {"99": "2"}, {"101": "1"}), 0, 4 * SECOND))
    assert list(checked.checks.close()) == [Check(B, 4 * SECOND, 11, "bookTicker", 2)]


def test_a_witness_that_differs_asks_for_an_audit() -> None:
    """The check comes first; no second audit while the request is recent or the audit under way."""
    checked = CheckedBook()
    check, request = on_witness(checked, {"99": "1"}, 20)
    assert isinstance(check, Check)
    assert check.differences == (Difference("bid", 98, 1, 0),)
    assert request == FetchSnapshot(B, 1, Urgency.AUDIT)
    checked.event(11)
    assert [type(output) for output in on_witness(checked, {"99": "1"}, 21)] == [Check]
    checked.checks.on_request_sent(0)
    checked.event(12)
    assert [type(output) for output in on_witness(checked, {"99": "1"}, 99)] == [Check]


def test_a_witness_and_an_audit_may_concern_the_same_event() -> None:
    """Both are reported, the witness first."""
    checked = CheckedBook()
    checked.checks.on_request_sent(0)
    assert checked.answer(11) == []
    waits = top(11, {"99": "1"}, ASKS)
    assert list(checked.checks.on_witness(waits, 0, 3 * SECOND)) == []
    found = [check for check in checked.event(11, at=4) if isinstance(check, Check)]
    assert [(check.witness, len(check.differences)) for check in found] == [
        ("depth20", 1),
        (REST, 0),
    ]


def test_without_audits_a_difference_is_only_reported() -> None:
    """The audits are switched off."""
    assert [type(output) for output in on_witness(CheckedBook(audit_s=0), {"99": "1"}, 20)] == [
        Check
    ]


def test_tickers_are_forgotten_when_a_connection_opens_or_closes() -> None:
    """Some may have been missed."""
    checked = CheckedBook()
    list(checked.checks.on_witness(ticker(10, {"99": "1"}, {"101": "1"}), 0, 2 * SECOND))
    checked.checks.on_connections_changed()
    checked.event(11)
    list(checked.checks.on_witness(ticker(12, {"99": "2"}, {"101": "1"}), 0, 4 * SECOND))
    assert list(checked.checks.close()) == []


# ── what proves the book current ────────────────────────────────────────────────────────────

TOUCH: Final = ({"99": "1"}, {"101": "1"})


def test_a_partial_book_of_the_book_s_id_is_evidence_if_it_agrees() -> None:
    """It is evidence as of its stamp, and so is every further copy of it, from any connection."""
    checked = CheckedBook()
    for at, connection in ((5, 0), (6, 0), (8, 1)):
        checked.witness(top(10, BIDS, ASKS), at, connection)
        assert checked.sync.known_ns == at * SECOND


def test_a_partial_book_that_differs_is_no_evidence() -> None:
    """Neither is a copy of it, nor one of the same id that was not compared."""
    checked = CheckedBook()
    for at in (5, 6, 8):
        checked.witness(top(10, {"99": "1"}, ASKS), at)
        assert checked.sync.known_ns == SECOND


def test_copies_of_a_partial_book_are_no_evidence_once_the_book_has_moved() -> None:
    """They show a past state."""
    checked = CheckedBook()
    checked.witness(top(10, BIDS, ASKS), 5)
    checked.event(11, at=6)
    checked.witness(top(10, BIDS, ASKS), 9)
    assert checked.sync.known_ns == 6 * SECOND


def test_a_partial_book_that_waited_becomes_evidence_with_its_event() -> None:
    """Its later copies are evidence by themselves."""
    checked = CheckedBook()
    checked.witness(top(11, BIDS, ASKS), 5)
    assert checked.sync.known_ns == SECOND
    checked.event(11, at=6)
    checked.witness(top(11, BIDS, ASKS), 9)
    assert checked.sync.known_ns == 9 * SECOND


def test_copies_prove_nothing_in_the_next_segment_or_epoch() -> None:
    """A segment can be read alone, so the first partial book in it is compared again."""
    for end in (BookChecks.on_lost, BookChecks.close):
        checked = CheckedBook()
        checked.witness(top(10, BIDS, ASKS), 5)
        list(end(checked.checks) or ())
        checked.sync.book.bids.update([(99.0, 7.0)])
        checked.witness(top(10, BIDS, ASKS), 9)
        assert checked.sync.known_ns == 5 * SECOND


def test_a_ticker_of_the_book_s_id_is_evidence_if_the_touch_agrees() -> None:
    """From any connection."""
    checked = CheckedBook()
    for at, connection in ((5, 0), (6, 1)):
        checked.witness(ticker(10, *TOUCH), at, connection)
        assert checked.sync.known_ns == at * SECOND
    checked.witness(ticker(10, {"99": "2"}, {"101": "1"}), 7)
    checked.witness(ticker(9, *TOUCH), 8)
    checked.witness(ticker(11, *TOUCH), 9)
    assert checked.sync.known_ns == 6 * SECOND


def test_an_audit_that_passes_is_evidence_as_of_its_request() -> None:
    """Its answer may have taken long to arrive."""
    checked = CheckedBook()
    checked.checks.on_request_sent(5 * SECOND)
    checked.answer(10, at=8)
    assert checked.sync.known_ns == 5 * SECOND


def test_a_pulse_that_agrees_is_evidence_as_of_its_request() -> None:
    """It is compared at the second tick, and summed up like the other witnesses."""
    checked = CheckedBook(pulse_s=30)
    checked.checks.on_pulse(5 * SECOND, BestLevels((99.0, 1.0), (101.0, 1.0)))
    assert (checked.tick(6), checked.sync.known_ns) == ([], SECOND)
    assert (checked.tick(7), checked.sync.known_ns) == ([], 5 * SECOND)
    assert list(checked.checks.close()) == [Check(B, 7 * SECOND, 10, PULSE, 2)]


def test_a_pulse_that_differs_requests_a_small_snapshot_at_once() -> None:
    """However recent the last request was; the snapshot's id shows whether the book is behind."""
    checked = CheckedBook(pulse_s=30)
    checked.checks.asked_ns = 6 * SECOND
    checked.checks.on_pulse(5 * SECOND, BestLevels((99.0, 2.0), (101.0, 1.0)))
    assert checked.tick(6) == []
    assert checked.tick(7) == [
        Check(B, 7 * SECOND, 10, PULSE, 2, (Difference("bid", 99, 1, 2),)),
        FetchSnapshot(B, 1, Urgency.DOUBT, DOUBT_LIMIT),
    ]
    assert checked.sync.known_ns == SECOND


def test_a_pulse_that_differs_during_an_audit_waits_for_it() -> None:
    """The audit's answer is on its way, and will show more."""
    checked = CheckedBook(pulse_s=30)
    checked.checks.on_request_sent(5 * SECOND)
    checked.checks.on_pulse(5 * SECOND, BestLevels((99.0, 2.0), (101.0, 1.0)))
    assert [type(output) for at in (6, 7) for output in checked.tick(at)] == [Check]


def test_an_audit_finds_the_book_behind() -> None:
    """The requested snapshot is ahead and no event leads there: silent after three seconds."""
    checked = CheckedBook(pulse_s=30)
    checked.checks.on_request_sent(5 * SECOND)
    assert checked.answer(12, at=6) == []
    on_witness = [checked.tick(at) for at in range(7, 11)]
    assert on_witness == [[], [], [], [StreamSilent()]]


@pytest.mark.parametrize("sent", [top(12, BIDS, ASKS), ticker(12, *TOUCH)])
def test_a_witness_finds_the_book_behind(sent: WitnessMessage) -> None:
    """If the events up to its id come in time, it is evidence instead."""
    checked = CheckedBook()
    checked.witness(sent, 5)
    assert [checked.tick(at) for at in range(6, 10)] == [[], [], [], [StreamSilent()]]
    checked = CheckedBook()
    checked.witness(sent, 5)
    assert [checked.tick(at) for at in range(6, 9)] == [[]] * 3
    checked.event(12, at=8)
    assert [checked.tick(at) for at in range(9, 30)] == [[]] * 21


def test_a_witness_that_is_ahead_while_an_event_waits_is_not_silence() -> None:
    """The arbiter's hold decides that case."""
    checked = CheckedBook()
    checked.witness(top(12, BIDS, ASKS), 5)
    assert [checked.tick(at, waits=True) for at in range(6, 30)] == [[]] * 24


def test_a_book_without_evidence_is_silent_at_its_bound() -> None:
    """The bound is five pulses; a snapshot was requested once before, without an answer."""
    checked = CheckedBook(pulse_s=2)
    sent = [output for at in range(2, 13) for output in checked.tick(at)]
    assert requests(sent) == [100]
    assert checked.tick(13) == [StreamSilent()]


def low(checked: CheckedBook, at: int, last: int = 9) -> list[CheckOutput]:
    checked.checks.on_request_sent(at * SECOND)
    return checked.answer(last, at=at)


def test_three_low_answers_mean_that_ids_started_over() -> None:
    """No event came, and each answer is below the id that the book had when it was requested."""
    checked = CheckedBook()
    again = [FetchSnapshot(B, n, Urgency.AUDIT) for n in (2, 3)]
    assert low(checked, 5) + low(checked, 6) == again
    assert low(checked, 7, last=3) == [IdsReset()]


def test_one_answer_that_is_not_low_restarts_the_count() -> None:
    """The others came from a cache."""
    checked = CheckedBook()
    low(checked, 5)
    low(checked, 6)
    assert [type(output) for output in low(checked, 7, last=10)] == [Check]
    assert not [out for at in (8, 9) for out in low(checked, at) if isinstance(out, IdsReset)]
    assert low(checked, 10) == [IdsReset()]


def test_an_event_in_between_restarts_the_count() -> None:
    """While ids continue, it is the answers that are old."""
    checked = CheckedBook()
    for last in range(11, 40):
        assert not [out for out in low(checked, last) if isinstance(out, IdsReset)]
        assert not [out for out in low(checked, last) if isinstance(out, IdsReset)]
        checked.event(last, at=last)


def test_an_unreadable_answer_between_low_ones_neither_counts_nor_resets() -> None:
    """It contains no ids."""
    checked = CheckedBook()
    low(checked, 5)
    low(checked, 6)
    checked.checks.on_request_sent(7 * SECOND)
    list(checked.checks.on_answer(UnreadableAnswer(), 7 * SECOND))
    assert low(checked, 8) == [IdsReset()]


def test_low_answers_are_counted_within_one_epoch() -> None:
    """The count is dropped with the book."""
    checked = CheckedBook()
    low(checked, 5)
    low(checked, 6)
    checked.checks.on_lost()
    assert not [out for at in (7, 8) for out in low(checked, at) if isinstance(out, IdsReset)]
    assert low(checked, 9) == [IdsReset()]


def test_an_answer_without_a_request_in_this_segment_proves_nothing() -> None:
    """It shows neither that the book is behind nor that ids fell back."""
    checked = CheckedBook()
    for last in (9, 9, 9, 12):
        checked.answer(last)
    assert [checked.tick(at) for at in range(4, 30)] == [[]] * 26


def test_on_old_tapes_low_answers_never_end_an_epoch() -> None:
    """That was the rule when they were recorded."""
    checked = CheckedBook()
    checked.sync.tape_format = 1
    assert not [out for at in range(5, 30) for out in low(checked, at) if isinstance(out, IdsReset)]


def test_setting_the_clock_back_moves_due_times() -> None:
    """Request times move too; a time that was not set stays unset."""
    checked = CheckedBook(pulse_s=30)
    due_ns = checked.checks.due_ns
    checked.checks.on_request_sent(9 * SECOND)
    checked.sync.step_clock(-4 * SECOND)
    checked.checks.step_clock(-4 * SECOND)
    assert (checked.checks.due_ns, checked.checks.asked_ns) == (due_ns - 4 * SECOND, 0)
    checked.answer(10, at=6)
    assert checked.sync.known_ns == 5 * SECOND
    without = CheckedBook(audit_s=0)
    without.checks.step_clock(-4 * SECOND)
    assert without.checks.due_ns == NEVER_NS


# ── when to ask ─────────────────────────────────────────────────────────────────────────────


def requests(outputs: list[CheckOutput], urgency: Urgency = Urgency.AUDIT) -> list[int]:
    """The limits of the requested snapshots, all of which have this urgency."""
    found = [output for output in outputs if isinstance(output, FetchSnapshot)]
    assert all(request.urgency is urgency for request in found)
    return [request.limit for request in found]


def deeper(outputs: list[CheckOutput]) -> list[int]:
    """The same, for a book that is not yet as deep as wanted."""
    return requests(outputs, Urgency.DEEPER)


def test_each_symbol_has_its_own_time_within_the_period() -> None:
    """The first audit is due within the first period, the next one period after the first was requested."""
    checked = CheckedBook()
    checks = checked.checks
    assert SECOND < checks.due_ns <= (1 + PERIOD_S) * SECOND
    assert BookChecks(SymbolSync("ETHBTC"), PERIOD_S, 5000).due_ns == NEVER_NS
    due_s = checks.due_ns // SECOND
    assert requests(checked.tick(due_s)) == []
    assert requests(checked.tick(due_s + 1)) == [100]
    assert checks.due_ns == (due_s + 1 + PERIOD_S) * SECOND
    assert checks.asked_ns == (due_s + 1) * SECOND


def test_two_symbols_are_not_due_at_once() -> None:
    """Otherwise all audits of a thousand symbols would be requested in one minute."""
    due = set()
    for symbol in ("BTCUSDT", "ETHUSDT", "BNBUSDT", "XRPUSDT"):
        checks = BookChecks(SymbolSync(symbol), PERIOD_S, 5000)
        list(checks.on_synced(0))
        due.add(checks.due_ns)
    assert len(due) == 4


def test_without_a_period_nothing_is_ever_due() -> None:
    """Zero means never, even for a narrow book."""
    checked = CheckedBook(audit_s=0, limit=2, depth=2)
    assert checked.checks.due_ns == NEVER_NS
    assert checked.began == []
    assert all(
        not checked.event(10 + n, {"99": "0", "98": "0"}) for n in range(1, 2 * NARROW_CHECK_EVENTS)
    )


@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize(("left", "narrow"), [(5, False), (4, True)])
def test_a_narrow_book_is_audited_from_time_to_time(side: str, left: int, *, narrow: bool) -> None:
    """Fewer than half of ten levels are left: the touch is halfway to the horizon."""
    checked = CheckedBook(depth=10, bids={})
    book, sign = checked.sync.book, -1 if side == "bids" else 1
    # The horizon is at 100; what lies beyond it does not count.
    prices = [100.0 - sign * n for n in range(left)] + [100.0 + sign]
    book.asks.update([(101.0, 0.0), (102.0, 0.0)])
    getattr(book, side).update((price, 1.0) for price in prices)
    setattr(book, f"{side.removesuffix('s')}_horizon", 100.0)
    at = SPACING_NS // SECOND
    asked = [requests(checked.event(10 + n, at=at)) for n in range(1, NARROW_CHECK_EVENTS + 1)]
    assert asked == [[]] * (NARROW_CHECK_EVENTS - 1) + [[10] if narrow else []]


def test_requests_are_spaced_out() -> None:
    """This holds whatever is due."""
    checked = CheckedBook()
    checked.checks.due_ns = 0
    space_s = SPACING_NS // SECOND
    assert requests(checked.tick(space_s)) == [100]
    checked.checks.due_ns = 0
    assert requests(checked.tick(2 * space_s - 1)) == []
    assert requests(checked.tick(2 * space_s)) == [100]


def test_a_book_that_has_just_been_disproved_is_not_audited_as_well() -> None:
    """A snapshot of it is requested anyway."""
    checked = CheckedBook()
    checked.checks.on_request_sent(0)
    checked.answer(11, {"99": "1"})
    checked.checks.due_ns = 0
    sent = event(11, 11)
    checked.sync.handle(sent, 20 * SECOND)
    outputs: list[CheckOutput] = []
    for output in checked.checks.on_applied(sent, 20 * SECOND):
        outputs.append(output)
        if isinstance(output, CheckFailed):
            checked.sync.handle(output, 20 * SECOND)
    assert [type(output) for output in outputs] == [Check, CheckFailed]


# ── how deep to ask ─────────────────────────────────────────────────────────────────────────


def many(count: int) -> Texts:
    return {f"{99 - n / 100:.2f}": "1" for n in range(count)}


def test_a_book_that_was_cut_off_is_requested_in_full() -> None:
    """At once, and again while the answer is cut off, each time deeper, until it is complete."""
    checked = CheckedBook(limit=100, bids=many(100))
    assert deeper(checked.began) == [500]
    for limit, found, then in ((500, 500, [1_000]), (1_000, 1_000, [5_000]), (5_000, 1_200, [])):
        checked.checks.on_request_sent(0)
        assert deeper(checked.answer(10, many(found), limit=limit)) == then
    assert len(checked.sync.book.bids) == 1_200


def test_a_dense_book_is_requested_in_full_at_once() -> None:
    """Its best hundred levels span ten basis points: there will be thousands."""
    dense = {f"{99 - n / 1_000:.3f}": "1" for n in range(100)}
    assert deeper(CheckedBook(limit=100, bids=dense).began) == [5_000]


def test_each_request_is_deeper_than_the_answer_that_was_cut_off() -> None:
    """Even if the book has lost levels meanwhile: otherwise the same request would repeat for ever."""
    checked = CheckedBook(limit=100, bids=many(100))
    checked.checks.on_request_sent(0)
    checked.event(11, {"99.00": "0", "98.99": "0"})
    assert deeper(checked.answer(10, many(100), limit=100)) == [500]


def test_a_book_that_is_complete_or_as_deep_as_wanted_is_not_requested_again() -> None:
    """A small answer that was not cut off is complete, and more than full depth is not available."""
    assert CheckedBook(limit=100).began == []
    checked = CheckedBook(depth=4)
    checked.checks.on_request_sent(0)
    checked.event(11, {"99": "0", "98": "0"})
    checked.sync.book.bid_horizon = 98.0
    assert requests(checked.answer(10, {**BIDS, "97": "1", "96": "1"}, limit=4)) == []


def test_a_small_book_is_requested_cheaply() -> None:
    """With one level more than it has, or the answer would seem cut off."""
    assert CheckedBook().began == []
    checked = CheckedBook(bids=many(99))
    checked.checks.due_ns = 0
    assert requests(checked.tick(10)) == [100]
    checked = CheckedBook(bids=many(100))
    checked.checks.due_ns = 0
    assert requests(checked.tick(10)) == [500]


def test_a_new_epoch_begins_with_a_first_attempt() -> None:
    """Earlier failures concern another book."""
    checked = CheckedBook()
    list(checked.checks.on_answer(UnreadableAnswer(), SECOND))
    list(checked.checks.on_synced(2 * SECOND))
    (again,) = checked.checks.on_answer(UnreadableAnswer(), 3 * SECOND)
    assert again == FetchSnapshot(B, 2, Urgency.AUDIT)


def test_a_book_without_a_pulse_is_requested_before_its_bound() -> None:
    """Not every exchange serves a pulse. A few levels at the book's own id prove it at little cost."""
    checked = CheckedBook(pulse_s=30)
    asked_s = [second for second in range(2, 130) if requests(checked.tick(second)) == [100]]
    space_s = SPACING_NS // SECOND
    # The first tick finds the evidence; three of five pulses later it is old.
    assert asked_s[0] == 2 + 91
    assert all(b - a == space_s for a, b in itertools.pairwise(asked_s))
    checked.checks.on_request_sent(130 * SECOND)
    assert checked.answer(10, at=131, limit=100) == [audited(10, 131)]
    assert [second for second in range(132, 220) if checked.tick(second)] == []
