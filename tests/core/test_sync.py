"""The state machine: each rule of the table is followed once, and every input has a rule."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple, get_args

import pytest

from booktape.core import sync
from booktape.core.events import (
    BookLost,
    BookSynced,
    BookTooLarge,
    CheckFailed,
    DepthEvent,
    FetchSnapshot,
    GapInterval,
    IdsReset,
    StreamSilent,
    UnreadableAnswer,
    Urgency,
    WaitingEvent,
)
from booktape.core.lag import UsualLag
from booktape.core.sync import NOT_OPENED, TABLE, Rule, State, SymbolSync, SyncInput, SyncOutputs
from booktape.core.tape_records import DELISTED, SymbolListing
from support.oracle import SECOND, connected, event, lost, shown, snapshot

COLD, SYNCING, LIVE, BREAK, ENDED = State
INPUTS: Final = get_args(SyncInput)
B: Final = "BTCUSDT"


def cold() -> SymbolSync:
    return SymbolSync(B)


def syncing(*held: DepthEvent) -> SymbolSync:
    """Connected at second 1; the snapshot has been requested, and events wait for it."""
    machine = cold()
    machine.handle(connected(1), 1 * SECOND)
    for item in held:
        machine.handle(item, 2 * SECOND)
    return machine


def live(last_id: int = 10) -> SymbolSync:
    """Known since second 3: one bid of 100, one ask of 101."""
    machine = syncing()
    machine.handle(snapshot(last_id, {"100": "1"}, {"101": "1"}), 3 * SECOND)
    return machine


def resyncing() -> SymbolSync:
    """Was LIVE at id 10, missed 11, holds 12."""
    machine = live()
    machine.handle(event(12, 12), 4 * SECOND)
    return machine


def ended() -> SymbolSync:
    """Was LIVE at id 10 when, at second 5, the exchange stopped listing it."""
    machine = live()
    machine.handle(listed(DELISTED), 5 * SECOND)
    return machine


def listed(status: str) -> SymbolListing:
    return SymbolListing(9 * SECOND, B, status)


def full() -> SymbolSync:
    assert sync.HELD_MAX == 3_000  # five minutes of the busiest symbol
    return syncing(*[event(n, n) for n in range(1, sync.HELD_MAX + 1)])


def in_break(start: Callable[[], SymbolSync] = live) -> SymbolSync:
    """At second 5 the exchange's list said BREAK."""
    machine = start()
    machine.status = "BREAK"
    machine.handle(SymbolListing(5 * SECOND, B, "BREAK"), 5 * SECOND)
    return machine


def cold_in_break() -> SymbolSync:
    """The same, and then the only connection was lost."""
    machine = in_break()
    machine.handle(lost(6), 6 * SECOND)
    return machine


def not_opened() -> SymbolSync:
    """Known to be empty: the exchange has never traded it."""
    machine = syncing()
    machine.handle(snapshot(NOT_OPENED), 3 * SECOND)
    return machine


class Case(NamedTuple):
    """One promise: the state before, the input, the state after, and the outputs."""

    promise: str
    start: Callable[[], SymbolSync]
    item: SyncInput
    becomes: State
    says: SyncOutputs


def gap(reason: str, start: int = 3) -> GapInterval:
    return GapInterval(B, 1, start * SECOND, 10, reason)


CLOSED: Final = replace(gap("id_gap"), end_ns=9 * SECOND, next_update_id=11)
ASK: Final = FetchSnapshot(B, 1)
ASK_AGAIN: Final = FetchSnapshot(B, 2)
HELD: Final = WaitingEvent(2 * SECOND, event(5, 7))

CASES: Final = (
    Case("a subscription is followed by a request", cold, connected(9), SYNCING, (ASK,)),
    Case("a full buffer starts over", full, event(9_000, 9_001), SYNCING, (ASK_AGAIN,)),
    Case("an event waits for the snapshot", syncing, event(5, 7), SYNCING, ()),
    Case(
        "an answer that cannot join is asked for again",
        lambda: syncing(event(5, 7)),
        snapshot(3),
        SYNCING,
        (ASK_AGAIN,),
    ),
    Case("so is one from before the loss", resyncing, snapshot(10), SYNCING, (ASK_AGAIN,)),
    Case("a quiet symbol needs no event", syncing, snapshot(10), LIVE, (BookSynced(B, 1, 10),)),
    Case(
        "a snapshot joins what is held",
        lambda: syncing(event(5, 7)),
        snapshot(4),
        LIVE,
        (BookSynced(B, 1, 4, None, (HELD,)),),
    ),
    Case(
        "a snapshot closes the gap",
        resyncing,
        snapshot(11),
        LIVE,
        (BookSynced(B, 2, 11, CLOSED, (WaitingEvent(4 * SECOND, event(12, 12)),)),),
    ),
    Case("no answer is asked for again", syncing, UnreadableAnswer(), SYNCING, (ASK_AGAIN,)),
    Case("new ids need no new request", lambda: syncing(event(5, 7)), IdsReset(), SYNCING, ()),
    Case("without connection cold", lambda: syncing(event(5, 7)), lost(9), COLD, ()),
    Case("an old event is ignored", live, event(8, 9), LIVE, ()),
    Case("so is one that ends at the book's id", live, event(8, 10), LIVE, ()),
    Case("what chains is applied", live, event(11, 12), LIVE, (event(11, 12),)),
    Case("so is what overlaps", live, event(9, 11), LIVE, (event(9, 11),)),
    Case(
        "a symbol opens at any id",
        not_opened,
        event(12, 14),
        LIVE,
        (event(12, 14),),
    ),
    Case("a missing id is a gap", live, event(12, 12), SYNCING, (BookLost(gap("id_gap")), ASK)),
    Case(
        "so is a witness that differs",
        live,
        CheckFailed(),
        SYNCING,
        (BookLost(gap("disproved")), ASK),
    ),
    Case("so is silence", live, StreamSilent(), SYNCING, (BookLost(gap("silent")), ASK)),
    Case("so are new ids", live, IdsReset(), SYNCING, (BookLost(gap("ids_reset")), ASK)),
    Case("too many levels", live, BookTooLarge(), SYNCING, (BookLost(gap("too_large")), ASK)),
    Case("so is a lost connection", live, lost(9, alive=7), COLD, (BookLost(gap("disconnected")),)),
    Case("one that is not listed ends", cold, listed(DELISTED), ENDED, ()),
    Case(
        "with its gap, if there is one",
        resyncing,
        listed(DELISTED),
        ENDED,
        (replace(gap("id_gap"), end_ns=9 * SECOND),),
    ),
    Case("without one, if not", live, listed(DELISTED), ENDED, ()),
    Case(
        "also from a break",
        in_break,
        listed(DELISTED),
        ENDED,
        (replace(gap("break"), end_ns=9 * SECOND),),
    ),
    Case("once ended, old events say nothing", ended, event(9, 10), ENDED, ()),
    Case(
        "a new one says that it had not ended",
        ended,
        event(12, 12),
        SYNCING,
        (BookLost(gap("delisted", 5)), ASK),
    ),
    Case("a break is a gap", live, listed("BREAK"), BREAK, (BookLost(gap("break")),)),
    Case("so is the end of the day", live, listed("END_OF_DAY"), BREAK, (BookLost(gap("break")),)),
    Case("in a break nothing is asked for", syncing, listed("BREAK"), BREAK, ()),
    Case("nor said twice", in_break, listed("END_OF_DAY"), BREAK, ()),
    Case("a snapshot of a break is no book", in_break, snapshot(12), BREAK, ()),
    Case("trading again needs a snapshot", in_break, listed("TRADING"), SYNCING, (ASK,)),
    Case("so does an event", in_break, event(12, 12), SYNCING, (ASK,)),
    Case("a break without connection is cold", in_break, lost(9), COLD, ()),
    Case("and goes on with the next one", cold_in_break, connected(9), BREAK, ()),
    Case("a halt changes nothing", live, listed("HALT"), LIVE, ()),
    Case("no snapshot changes a known book", live, snapshot(99), LIVE, ()),
)


def followed(machine: SymbolSync, item: SyncInput) -> Rule:
    rules = SymbolSync.rules[machine.state, type(item)]
    return next(rule for rule in rules if rule.condition(machine, item))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.promise)
def test_each_promise_of_the_table(case: Case) -> None:
    """From this state, this input leads to that state and those outputs."""
    machine = case.start()
    assert machine.handle(case.item, 9 * SECOND) == case.says
    assert machine.state is case.becomes


def test_every_row_is_tested() -> None:
    """The cases above follow each row of the table at least once."""
    used = [followed(case.start(), case.item) for case in CASES]
    assert [rule for rule in TABLE if rule not in used] == []


@pytest.mark.parametrize(("state", "item"), list(itertools.product(State, INPUTS)))
def test_every_state_has_a_rule_for_every_input(state: State, item: type) -> None:
    """No input is unexpected in any state: the last rule always applies."""
    assert SymbolSync.rules[state, item][-1].condition is SymbolSync._always


@pytest.mark.parametrize(("state", "item"), list(itertools.product(State, INPUTS)))
def test_an_input_that_the_table_does_not_name_changes_nothing(state: State, item: type) -> None:
    """The state stays, and there is no output."""
    if not any((rule.state, rule.input) == (state, item) for rule in TABLE):
        (rule,) = SymbolSync.rules[state, item]
        assert (rule.next_state, rule.action) == (state, SymbolSync._ignore)


def test_the_names_of_states_on_the_tape_never_change() -> None:
    """Checkpoints contain them, and the next start reads them."""
    assert [state.value for state in State] == ["cold", "syncing", "live", "break", "ended"]


def test_the_index_keeps_the_table_s_order() -> None:
    """No row of the table is left out, and an earlier row is tried before a later one."""
    indexed = [rule for rules in SymbolSync.rules.values() for rule in rules]
    assert [rule for rule in TABLE if rule not in indexed] == []
    for rules in SymbolSync.rules.values():
        own = [rule for rule in rules if rule in TABLE]
        assert own == sorted(own, key=TABLE.index)


def test_only_a_live_book_is_shown() -> None:
    """A lost book is empty at once, so that no stale book can be read by mistake."""
    for item in (event(12, 12, {"100": "2"}), lost(9)):
        machine = live()
        machine.handle(item, 9 * SECOND)
        assert shown(machine.row(0)) == ([], [])


def test_an_ended_book_is_no_longer_shown() -> None:
    """The end of its last gap is known, though no state follows it."""
    assert shown(ended().row(0)) == ([], [])
    machine = resyncing()
    machine.handle(listed(DELISTED), 9 * SECOND)
    assert (machine.gap, machine.held) == (None, [])


def test_a_new_machine_knows_nothing() -> None:
    """Its checkpoint says so before the first input."""
    machine = cold()
    counts = (machine.epoch, machine.update_id, machine.updates, machine.attempt, machine.known_ns)
    assert counts == (0, 0, 0, 0, 0)


def test_a_book_that_was_known_is_more_urgent_than_a_new_one() -> None:
    """Each second without it is a hole in the data."""
    (new,) = cold().handle(connected(1), SECOND)
    lost_book, again = live().handle(event(12, 12), 4 * SECOND)
    assert isinstance(new, FetchSnapshot)
    assert isinstance(lost_book, BookLost)
    assert isinstance(again, FetchSnapshot)
    assert (new.urgency, again.urgency) == (Urgency.NEW, Urgency.LOST)


def test_a_new_epoch_has_no_exchange_time() -> None:
    """It has none until its first event: snapshots carry no time, and the last time is of another epoch."""
    machine = live()
    for item in (event(11, 11), event(13, 13), snapshot(20)):
        machine.handle(item, 9 * SECOND)
    assert machine.row(0).event_time_us is None
    assert machine.updates == 0


def test_a_cached_answer_moves_no_book_back() -> None:
    """Even when no event is held: the answer is older than the state that was known."""
    machine = live()
    machine.handle(lost(4), 4 * SECOND)
    machine.handle(connected(5), 5 * SECOND)
    assert machine.handle(snapshot(9), 6 * SECOND) == (FetchSnapshot(B, 2),)
    assert machine.handle(snapshot(10), 7 * SECOND) != ()
    assert machine.state is LIVE


def test_the_number_of_held_events_is_bounded() -> None:
    """When no answer comes, the oldest events are dropped, and the newest starts a new wait."""
    machine = full()
    machine.handle(event(9_000, 9_001), 9 * SECOND)
    assert machine.held == [WaitingEvent(9 * SECOND, event(9_000, 9_001))]


def test_a_lost_connection_drops_the_held_events() -> None:
    """The next connection starts afresh, and its requests are counted from 1 again."""
    machine = syncing(event(5, 7))
    machine.handle(lost(3), 3 * SECOND)
    assert machine.held == []
    assert machine.handle(connected(4), 4 * SECOND) == (FetchSnapshot(B, 1),)


def test_a_sign_of_life_from_the_connection_proves_no_book() -> None:
    """A subscription can be dead while its connection answers pings: only the last evidence counts."""
    machine = live()
    machine.handle(lost(9, alive=7), 9 * SECOND)
    assert machine.gap is not None
    assert machine.gap.start_ns == 3 * SECOND


def test_on_old_tapes_a_gap_begins_with_the_last_sign_of_life() -> None:
    """They hold no better evidence, and must be read as they were written."""
    machine = SymbolSync(B, tape_format=1)
    machine.handle(connected(1), SECOND)
    machine.handle(snapshot(10), 3 * SECOND)
    machine.handle(lost(9, alive=7), 9 * SECOND)
    assert machine.gap is not None
    assert machine.gap.start_ns == 7 * SECOND


def test_a_gap_begins_with_the_last_evidence() -> None:
    """Whatever ends the epoch, the last evidence is the last moment at which the book was known."""
    for item in (
        event(12, 12),
        CheckFailed(),
        StreamSilent(),
        IdsReset(),
        BookTooLarge(),
        listed("BREAK"),
        lost(9),
    ):
        machine = live()
        machine.note_proof(7 * SECOND)
        machine.handle(item, 9 * SECOND)
        assert machine.gap is not None
        assert machine.gap.start_ns == 7 * SECOND


def usual(lag_ns: int) -> UsualLag:
    lag = UsualLag()
    lag.on_tick(lag_ns)
    return lag


def lost_after_an_event(
    lag: UsualLag,
    stamp_s: float,
    exchange_s: float,
    *,
    new_segment: bool = False,
    stepped_s: int = 0,
) -> SymbolSync:
    """Known since second 3; an event that the exchange made then; then the connection is lost.

    Between the event and the loss a new segment may begin, or our clock may be set back.
    """
    machine = SymbolSync(B, lag=lag)
    machine.handle(connected(1), 1 * SECOND)
    machine.handle(snapshot(10), 3 * SECOND)
    late = event(11, 11, event_time_us=round(exchange_s * 1e6))
    machine.handle(late, round(stamp_s * SECOND))
    if new_segment:
        machine.begin_segment()
    machine.step_clock(stepped_s * SECOND)
    machine.handle(lost(40), 40 * SECOND)
    return machine


@pytest.mark.parametrize(
    ("stamp_s", "exchange_s", "starts_s"),
    [
        (30, 29.9, 30),  # as late as usual
        (30, 28.9, 30),  # a second later, and no more
        (30, 20, 20.1),  # it waited 9.9 s: it was due at 20.1 s
        (30, 1, 3),  # but the snapshot proves more
    ],
)
@pytest.mark.parametrize("new_segment", [False, True])
def test_an_event_that_waited_proves_the_book_when_it_was_due(
    stamp_s: float, exchange_s: float, starts_s: float, *, new_segment: bool
) -> None:
    """Frames wait while we or the network stand still: their stamps prove nothing about that time."""
    lag = usual(SECOND // 10)
    machine = lost_after_an_event(lag, stamp_s, exchange_s, new_segment=new_segment)
    assert machine.gap is not None
    assert machine.gap.start_ns == round(starts_s * SECOND)


def test_without_a_usual_lag_no_event_is_late() -> None:
    """Clocks may differ by hours, so only an event later than usual shows a wait."""
    machine = lost_after_an_event(UsualLag(), 30, 1)
    assert machine.gap is not None
    assert machine.gap.start_ns == 30 * SECOND


def test_a_row_is_known_once_everything_it_follows_from_has_arrived() -> None:
    """An event that waited in the buffer is stamped before the snapshot that it follows."""
    machine = syncing(event(11, 11), event(12, 12))
    machine.handle(snapshot(10), 3 * SECOND)
    for each in (event(11, 11), event(12, 12)):
        machine.handle(each, 2 * SECOND)
    assert machine.row(2 * SECOND).received_ns == 3 * SECOND


def test_an_epoch_never_begins_before_the_last_known_moment() -> None:
    """Otherwise two gaps could overlap, and the times of rows could go back."""
    machine = live()
    machine.handle(event(11, 11), 8 * SECOND)
    machine.handle(event(13, 13), 8 * SECOND)
    (synced,) = machine.handle(snapshot(13), 7 * SECOND)
    assert isinstance(synced, BookSynced)
    assert synced.closed is not None
    assert (synced.closed.start_ns, synced.closed.end_ns) == (8 * SECOND, 8 * SECOND)
    assert machine.row(7 * SECOND).received_ns == 8 * SECOND


def test_setting_the_clock_back_moves_every_stored_time() -> None:
    """Otherwise nothing would be newer than the known state until the clock had caught up."""
    machine = live()
    machine.handle(event(12, 12), 9 * SECOND)
    machine.step_clock(-2 * SECOND)
    assert machine.gap == gap("id_gap", 1)
    assert machine.held == [WaitingEvent(7 * SECOND, event(12, 12))]
    (synced,) = machine.handle(snapshot(11), 8 * SECOND)
    assert isinstance(synced, BookSynced)
    assert machine.row(0).received_ns == 8 * SECOND


def test_setting_the_clock_back_moves_the_time_of_the_snapshot() -> None:
    """A late event proves nothing after it was due; the snapshot before it still proves its own moment."""
    machine = lost_after_an_event(usual(SECOND // 10), 30, 0.5, stepped_s=-2)
    assert machine.gap is not None
    assert machine.gap.start_ns == 1 * SECOND


def test_setting_the_clock_back_creates_no_evidence() -> None:
    """A book that was never known has no time to move."""
    machine = SymbolSync(B)
    machine.step_clock(-2 * SECOND)
    assert (machine.stamp_ns, machine.synced_ns, machine.proved_ns) == (0, 0, 0)
    assert not machine.rests_on_event


def test_the_count_of_stale_answers_restarts_in_each_segment() -> None:
    """No checkpoint has this count, and a segment read alone must give the same books."""
    machine = live()
    machine.handle(StreamSilent(), 4 * SECOND)
    machine.handle(snapshot(5), 5 * SECOND)
    machine.handle(snapshot(5), 6 * SECOND)
    machine.begin_segment()
    for attempt in (4, 5):
        assert machine.handle(snapshot(5), 7 * SECOND) == (FetchSnapshot(B, attempt),)
    (synced,) = machine.handle(snapshot(5), 8 * SECOND)
    assert isinstance(synced, BookSynced)


def test_lower_ids_are_believed_the_third_time() -> None:
    """The first two may come from a cache; the third means that the exchange has restarted its ids."""
    machine = live()
    machine.handle(StreamSilent(), 4 * SECOND)
    assert machine.handle(snapshot(5), 5 * SECOND) == (ASK_AGAIN,)
    assert machine.handle(snapshot(5), 6 * SECOND) == (FetchSnapshot(B, 3),)
    (synced,) = machine.handle(snapshot(5), 7 * SECOND)
    assert isinstance(synced, BookSynced)
    assert (synced.update_id, synced.counts_anew) == (5, True)


def test_an_answer_with_the_id_of_the_lost_book_restarts_no_ids() -> None:
    """Nothing has happened since: the progress of the connections is kept."""
    machine = live()
    machine.handle(StreamSilent(), 4 * SECOND)
    (synced,) = machine.handle(snapshot(machine.update_id), 5 * SECOND)
    assert isinstance(synced, BookSynced)
    assert not synced.counts_anew


def test_after_new_ids_the_first_answer_is_believed() -> None:
    """The stream itself has shown that ids are lower now."""
    machine = live()
    machine.handle(IdsReset(), 4 * SECOND)
    (synced,) = machine.handle(snapshot(5), 5 * SECOND)
    assert isinstance(synced, BookSynced)
    assert synced.counts_anew


def test_held_events_of_the_old_ids_are_dropped() -> None:
    """They would not join a snapshot of the new ids."""
    machine = resyncing()
    machine.handle(IdsReset(), 5 * SECOND)
    assert machine.held == []


def test_on_old_tapes_a_break_changes_nothing() -> None:
    """They must be read as they were written: a status was only a note then."""
    machine = SymbolSync(B, tape_format=1)
    machine.handle(connected(1), SECOND)
    machine.handle(snapshot(10), 3 * SECOND)
    assert machine.handle(listed("BREAK"), 5 * SECOND) == ()
    assert machine.state is LIVE


def test_a_row_shows_the_whole_state_of_the_book() -> None:
    """Exchange time, our time, id, epoch, count, levels and horizons."""
    machine = syncing()
    machine.handle(snapshot(10, {"100": "1"}, {"101": "1"}, limit=1), 3 * SECOND)
    first = machine.row(3 * SECOND)
    assert (first.event_time_us, first.received_ns) == (None, 3 * SECOND)
    machine.handle(event(11, 13, {"100": "0", "99": "2"}, event_time_us=77), 4 * SECOND)
    row = machine.row(4 * SECOND)
    assert (row.event_time_us, row.received_ns) == (77, 4 * SECOND)
    assert (row.symbol, row.update_id, row.epoch, row.updates) == (B, 13, 1, 1)
    assert (row.bid_horizon, row.ask_horizon) == (100, 101)
    assert shown(row) == ([(99, 2)], [(101, 1)])
