"""The four traps of the exchange's procedure, each against the state machine.

The documentation states the procedure in sentences that real captures do not follow to the letter;
code that follows the sentences rejects good books, or accepts bad ones. Trap 4 has tests in
test_book.py too.
"""

from __future__ import annotations

import pytest

from booktape.core.events import BookSynced, FetchSnapshot
from booktape.core.sync import State, SymbolSync, SyncOutputs
from support.oracle import SECOND, connected, event, shown, snapshot


def synced(last_id: int, *held: tuple[int, int]) -> tuple[SymbolSync, list[SyncOutputs]]:
    """A machine that held these events, got the snapshot, and got the events again."""
    machine = SymbolSync("BTCUSDT")
    machine.handle(connected(1), SECOND)
    for first, last in held:
        machine.handle(event(first, last), 2 * SECOND)
    (joined,) = machine.handle(snapshot(last_id), 3 * SECOND)
    assert isinstance(joined, BookSynced)
    return machine, [machine.handle(item.event, item.received_ns) for item in joined.held]


@pytest.mark.parametrize("first", [(101, 103), (100, 103), (90, 101)])
def test_trap_1_first_event_may_begin_exactly_after_the_snapshot(first: tuple[int, int]) -> None:
    """57 of 66 real syncs begin at L + 1, so L is not within [U, u]; they are good all the same."""
    machine, outputs = synced(100, first)
    assert outputs == [(event(*first),)]
    assert (machine.state, machine.update_id) == (State.LIVE, first[1])


def test_trap_1_a_first_event_after_a_hole_is_refused() -> None:
    """L + 2 is one update too late: that book was never known."""
    machine, outputs = synced(100, (99, 100), (102, 103))
    assert outputs[0] == ()
    assert outputs[1][1:] == (FetchSnapshot("BTCUSDT", 1),)
    assert machine.state is State.SYNCING


def test_trap_2_stale_events_keep_coming_after_the_answer() -> None:
    """Up to twelve events from before the snapshot arrive after it: each is ignored, none is a gap."""
    machine, _ = synced(100)
    for last in range(80, 101):
        assert machine.handle(event(last - 1, last), 4 * SECOND) == ()
    assert (machine.state, machine.update_id, machine.updates) == (State.LIVE, 100, 0)
    assert machine.handle(event(101, 101), 5 * SECOND) == (event(101, 101),)


def test_trap_3_a_quiet_symbol_needs_no_event() -> None:
    """The snapshot is requested at once and makes a valid book; the next event must still chain."""
    machine = SymbolSync("BTCUSDT")
    assert machine.handle(connected(1), SECOND) == (FetchSnapshot("BTCUSDT", 1),)
    machine.handle(snapshot(100, {"100": "1"}), 2 * SECOND)
    assert shown(machine.row(2 * SECOND)) == ([(100, 1)], [])
    outputs = machine.handle(event(102, 102), 20 * SECOND)
    assert outputs[1:] == (FetchSnapshot("BTCUSDT", 1),)
    assert machine.state is State.SYNCING


def test_trap_4_levels_beyond_the_horizon_are_kept_and_the_horizon_is_stated() -> None:
    """A limited answer shows its side down to its last price; changes beyond that price are real."""
    machine = SymbolSync("BTCUSDT")
    machine.handle(connected(1), SECOND)
    machine.handle(snapshot(100, {"100": "1", "99": "1"}, limit=2), 2 * SECOND)
    machine.handle(event(101, 104, {"100": "0", "99": "0", "95": "3"}), 3 * SECOND)
    row = machine.row(3 * SECOND)
    assert shown(row)[0] == [(95, 3)]
    assert row.bid_horizon == 99
    assert row.ask_horizon is None
