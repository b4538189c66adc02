"""The state machine, row by row: each rule of the table followed once, and no input without one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple, get_args

import pytest

from booktape.core import sync
from booktape.core.events import (
    Applied,
    DepthEvent,
    Disproved,
    FetchSnapshot,
    Gap,
    Held,
    Lost,
    Synced,
    Unreadable,
    Urgency,
)
from booktape.core.frames import DELISTED, Listed
from booktape.core.sync import TABLE, Input, Outputs, State, SymbolSync
from oracle import SECOND, connected, event, lost, shown, snapshot

COLD, SYNCING, LIVE, ENDED = State
INPUTS: Final = get_args(Input)
B: Final = "BTCUSDT"


def cold() -> SymbolSync:
    return SymbolSync(B)


def syncing(*held: DepthEvent) -> SymbolSync:
    """Connected at second 1; the snapshot has been asked for, the events wait for it."""
    machine = cold()
    machine.take(connected(1), 1 * SECOND)
    for item in held:
        machine.take(item, 2 * SECOND)
    return machine


def live(last_id: int = 10) -> SymbolSync:
    """Known since second 3: one bid of 100, one ask of 101."""
    machine = syncing()
    machine.take(snapshot(last_id, {"100": "1"}, {"101": "1"}), 3 * SECOND)
    return machine


def resyncing() -> SymbolSync:
    """Was LIVE at id 10, missed 11, holds 12."""
    machine = live()
    machine.take(event(12, 12), 4 * SECOND)
    return machine


def ended() -> SymbolSync:
    """Was LIVE at id 10 when, at second 5, the exchange did not list it any more."""
    machine = live()
    machine.take(listed(DELISTED), 5 * SECOND)
    return machine


def listed(status: str) -> Listed:
    return Listed(9 * SECOND, B, status)


def full() -> SymbolSync:
    return syncing(*[event(n, n) for n in range(1, sync.HELD_MAX + 1)])


class Case(NamedTuple):
    """One row of the table: from where, on what, which row, to where, saying what."""

    start: Callable[[], SymbolSync]
    item: Input
    rule: int
    becomes: State
    says: Outputs


GAP_BY_ID: Final = Gap(B, 1, 3 * SECOND, 10, "id_gap")
GAP_BY_LOSS: Final = Gap(B, 1, 3 * SECOND, 10, "disconnected")
DISPROVED: Final = Gap(B, 1, 3 * SECOND, 10, "disproved")
WRONGLY_ENDED: Final = Gap(B, 1, 5 * SECOND, 10, "delisted")
CLOSED: Final = Gap(B, 1, 3 * SECOND, 10, "id_gap", 9 * SECOND, 11)

CASES: Final = (
    Case(cold, connected(9), 0, SYNCING, (FetchSnapshot(B, 1),)),
    Case(cold, event(1, 2), 1, COLD, ()),
    Case(cold, snapshot(10), 2, COLD, ()),
    Case(cold, Unreadable(), 3, COLD, ()),
    Case(cold, lost(9), 4, COLD, ()),
    Case(full, event(9_000, 9_001), 5, SYNCING, (FetchSnapshot(B, 2),)),
    Case(syncing, event(5, 7), 6, SYNCING, ()),
    Case(lambda: syncing(event(5, 7)), snapshot(3), 7, SYNCING, (FetchSnapshot(B, 2),)),
    Case(resyncing, snapshot(10), 7, SYNCING, (FetchSnapshot(B, 2),)),
    Case(syncing, snapshot(10), 8, LIVE, (Synced(B, 1, 10),)),
    Case(
        lambda: syncing(event(5, 7)),
        snapshot(4),
        8,
        LIVE,
        (Synced(B, 1, 4, None, (Held(2 * SECOND, event(5, 7)),)),),
    ),
    Case(
        resyncing,
        snapshot(11),
        8,
        LIVE,
        (Synced(B, 2, 11, CLOSED, (Held(4 * SECOND, event(12, 12)),)),),
    ),
    Case(syncing, Unreadable(), 9, SYNCING, (FetchSnapshot(B, 2),)),
    Case(syncing, connected(9), 10, SYNCING, ()),
    Case(lambda: syncing(event(5, 7)), lost(9), 11, COLD, ()),
    Case(live, event(8, 9), 12, LIVE, ()),
    Case(live, event(8, 10), 12, LIVE, ()),
    Case(live, event(11, 12), 13, LIVE, (Applied(event(11, 12)),)),
    Case(live, event(9, 11), 13, LIVE, (Applied(event(9, 11)),)),
    Case(live, event(12, 12), 14, SYNCING, (Lost(GAP_BY_ID), FetchSnapshot(B, 1))),
    Case(live, snapshot(99), 15, LIVE, ()),
    Case(live, Unreadable(), 16, LIVE, ()),
    Case(live, connected(9), 17, LIVE, ()),
    Case(live, lost(9, alive=3), 18, COLD, (Lost(GAP_BY_LOSS),)),
    Case(live, Disproved(), 19, SYNCING, (Lost(DISPROVED), FetchSnapshot(B, 1))),
    Case(cold, Disproved(), 20, COLD, ()),
    Case(syncing, Disproved(), 21, SYNCING, ()),
    Case(ended, Disproved(), 22, ENDED, ()),
    Case(cold, listed(DELISTED), 23, ENDED, ()),
    Case(resyncing, listed(DELISTED), 24, ENDED, (replace(GAP_BY_ID, end_ns=9 * SECOND),)),
    Case(live, listed(DELISTED), 25, ENDED, ()),
    Case(cold, listed("TRADING"), 26, COLD, ()),
    Case(syncing, listed("BREAK"), 27, SYNCING, ()),
    Case(live, listed("HALT"), 28, LIVE, ()),
    Case(ended, listed("TRADING"), 29, ENDED, ()),
    Case(ended, event(9, 10), 30, ENDED, ()),
    Case(ended, event(12, 12), 31, SYNCING, (Lost(WRONGLY_ENDED), FetchSnapshot(B, 1))),
    Case(ended, snapshot(99), 32, ENDED, ()),
    Case(ended, Unreadable(), 33, ENDED, ()),
    Case(ended, connected(9), 34, ENDED, ()),
    Case(ended, lost(9), 35, ENDED, ()),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.becomes.name}-rule-{case.rule}")
def test_each_row_of_the_table(case: Case) -> None:
    """From this state, on this input, this very rule is followed to this state and these words."""
    machine = case.start()
    rules = [rule for rule in TABLE if (rule.state, rule.input) == (machine.state, type(case.item))]
    followed = next(rule for rule in rules if rule.when(machine, case.item))
    assert followed is TABLE[case.rule]
    assert machine.take(case.item, 9 * SECOND) == case.says
    assert machine.state is case.becomes


def test_no_row_is_untested() -> None:
    """The cases above are all of the table."""
    assert {case.rule for case in CASES} == set(range(len(TABLE)))


@pytest.mark.parametrize(("state", "item"), list(itertools.product(State, INPUTS)))
def test_every_state_has_a_rule_for_every_input(state: State, item: type) -> None:
    """There is no input that a state does not expect: the last rule always holds."""
    assert SymbolSync.rules[state, item][-1].when is SymbolSync._always


def test_states_have_their_words_on_the_tape() -> None:
    """Checkpoints name them, and the next start reads them: they never change."""
    assert [state.value for state in State] == ["cold", "syncing", "live", "ended"]


def test_the_index_keeps_the_table_s_order() -> None:
    """Nothing of the table is left out, and an earlier row is tried before a later one."""
    indexed = [rule for rules in SymbolSync.rules.values() for rule in rules]
    assert sorted(indexed, key=TABLE.index) == list(TABLE)
    assert all(list(rules) == sorted(rules, key=TABLE.index) for rules in SymbolSync.rules.values())


def test_only_a_live_book_is_shown() -> None:
    """A lost book is empty at once: nobody can read a stale one by mistake."""
    for item in (event(12, 12, {"100": "2"}), lost(9)):
        machine = live()
        machine.take(item, 9 * SECOND)
        assert shown(machine.row(0)) == ([], [])


def test_an_ended_book_is_shown_no_more() -> None:
    """And the end of its last gap is known, though no state follows it."""
    assert shown(ended().row(0)) == ([], [])
    machine = resyncing()
    machine.take(listed(DELISTED), 9 * SECOND)
    assert (machine.gap, machine.held) == (None, [])


def test_a_machine_begins_with_nothing() -> None:
    """Its checkpoint says so, before anything has come."""
    machine = cold()
    counts = (machine.epoch, machine.update_id, machine.updates, machine.attempt, machine.known_ns)
    assert counts == (0, 0, 0, 0, 0)


def test_a_book_that_was_known_is_more_urgent_than_a_new_one() -> None:
    """Each second without it is a hole in the data."""
    (new,) = cold().take(connected(1), SECOND)
    lost_book, again = live().take(event(12, 12), 4 * SECOND)
    assert isinstance(new, FetchSnapshot)
    assert isinstance(lost_book, Lost)
    assert isinstance(again, FetchSnapshot)
    assert (new.urgency, again.urgency) == (Urgency.NEW, Urgency.LOST)


def test_a_new_epoch_knows_no_time_of_the_exchange() -> None:
    """Until its first event: a snapshot has none, and the last one is of another epoch."""
    machine = live()
    for item in (event(11, 11), event(13, 13), snapshot(20)):
        machine.take(item, 9 * SECOND)
    assert machine.row(0).event_time_us is None
    assert machine.updates == 0


def test_a_cached_answer_takes_nobody_back() -> None:
    """Also where no event is held: it is of a state before the one that was known."""
    machine = live()
    machine.take(lost(4), 4 * SECOND)
    machine.take(connected(5), 5 * SECOND)
    assert machine.take(snapshot(9), 6 * SECOND) == (FetchSnapshot(B, 2),)
    assert machine.take(snapshot(10), 7 * SECOND) != ()
    assert machine.state is LIVE


def test_what_is_held_is_bounded() -> None:
    """When no answer comes, the oldest events go, and the newest begins a new wait."""
    machine = full()
    machine.take(event(9_000, 9_001), 9 * SECOND)
    assert machine.held == [Held(9 * SECOND, event(9_000, 9_001))]


def test_a_lost_connection_forgets_what_was_held() -> None:
    """The next connection begins afresh, its requests counted from 1 again."""
    machine = syncing(event(5, 7))
    machine.take(lost(3), 3 * SECOND)
    assert machine.held == []
    assert machine.take(connected(4), 4 * SECOND) == (FetchSnapshot(B, 1),)


def test_a_gap_begins_with_the_last_sign_of_life() -> None:
    """Until then everything had arrived, so a quiet symbol was known until then."""
    machine = live()
    machine.take(lost(9, alive=7), 9 * SECOND)
    assert machine.gap is not None
    assert machine.gap.start_ns == 7 * SECOND


def test_a_gap_never_begins_before_the_book_was_known() -> None:
    """A sign of life older than the snapshot does not make two gaps overlap."""
    machine = live()
    machine.take(lost(9, alive=1), 9 * SECOND)
    assert machine.gap is not None
    assert machine.gap.start_ns == 3 * SECOND


def test_a_row_tells_what_the_book_is() -> None:
    """Time of the exchange, our time, id, epoch, count, levels and horizons."""
    machine = syncing()
    machine.take(snapshot(10, {"100": "1"}, {"101": "1"}, limit=1), 3 * SECOND)
    first = machine.row(3 * SECOND)
    assert (first.event_time_us, first.received_ns) == (None, 3 * SECOND)
    machine.take(event(11, 13, {"100": "0", "99": "2"}, event_time_us=77), 4 * SECOND)
    row = machine.row(4 * SECOND)
    assert (row.event_time_us, row.received_ns) == (77, 4 * SECOND)
    assert (row.symbol, row.update_id, row.epoch, row.updates) == (B, 13, 1, 1)
    assert (row.bid_horizon, row.ask_horizon) == (100, 101)
    assert shown(row) == ([(99, 2)], [(101, 1)])
