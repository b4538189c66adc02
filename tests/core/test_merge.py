"""One ordered stream from several connections: tables of small stories.

The promises over any interleaving are in test_merge_any_order.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import pytest

from booktape.core import merge as merge_module
from booktape.core.events import Held, IdsReset
from booktape.core.merge import Lane, Merge
from oracle import SECOND, event

A, B, C = 1, 2, 3
BTC, ETH = "BTCUSDT", "ETHBTC"


def ids(ready: Sequence[Held | IdsReset]) -> list[int]:
    return [held.event.last_id for held in ready if isinstance(held, Held)]


def lane_of(*connections: int, passed: int = 10) -> Lane:
    """All of these brought everything up to `passed`."""
    return Lane(passed, dict.fromkeys(connections, passed))


def bring(lane: Lane, connection: int, *last_ids: int) -> list[int]:
    """Events of one id each, brought by one connection; the ids that are passed on."""
    return [
        passed for n in last_ids for passed in ids(lane.take(connection, event(n, n), n * SECOND))
    ]


class Case(NamedTuple):
    """What each connection brings in turn, what is passed on, and what still waits."""

    brought: tuple[tuple[int, int], ...]
    passed_on: list[int]
    waiting: list[int]
    on: tuple[int, ...] = (A, B)


CASES: Final[dict[str, Case]] = {
    "in order": Case(((A, 11), (A, 12)), [11, 12], []),
    "the second copy falls away": Case(((A, 11), (B, 11)), [11], []),
    "whichever is faster": Case(((A, 11), (B, 11), (B, 12), (A, 12)), [11, 12], []),
    "an old one falls away": Case(((A, 9),), [], []),
    "one that runs ahead waits": Case(((A, 12),), [], [12]),
    "another one fills the hole": Case(((A, 12), (B, 11)), [11, 12], []),
    "copies of one that waited fall away": Case(((A, 12), (B, 11), (B, 12)), [11, 12], []),
    "both run ahead of a third": Case(((A, 12), (B, 12), (C, 11)), [11, 12], [], (A, B, C)),
    "they wait in order": Case(((A, 14), (B, 12)), [12], [14]),
    "one hole is filled, the next not": Case(((A, 12), (A, 14), (B, 11)), [11, 12], [14]),
    "nobody can fill it": Case(((A, 12), (B, 13)), [12, 13], []),
    "alone, nobody else can": Case(((A, 12),), [12], [], (A,)),
    "two holes, both for good": Case(((A, 12), (A, 14), (B, 15)), [12, 14, 15], []),
    "an old copy does not fill it": Case(((A, 12), (B, 10)), [], [12]),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_passed_on(name: str) -> None:
    """From id 10 on: these are passed on, in this order, and these still wait."""
    case = CASES[name]
    lane = lane_of(*case.on)
    passed_on = [n for connection, last in case.brought for n in bring(lane, connection, last)]
    assert (passed_on, ids(lane.ahead)) == (case.passed_on, case.waiting)


def test_the_first_event_may_begin_anywhere() -> None:
    """Before it nothing is known to be missing, not even to a connection that brought nothing."""
    lane = Lane(reached={A: None, B: None})
    assert bring(lane, A, 50) == [50]
    assert bring(lane, B, 49, 50, 51) == [51]


def test_an_event_that_overlaps_is_passed_on() -> None:
    """It says something new, and its sizes are absolute."""
    lane = lane_of(A)
    assert ids(lane.take(A, event(9, 12), 0)) == [12]
    assert ids(lane.take(A, event(11, 13), 0)) == [13]


def test_each_event_keeps_the_time_it_arrived() -> None:
    """Waiting does not change the stamp."""
    lane = lane_of(A, B)
    bring(lane, A, 12)
    assert lane.take(B, event(11, 11), 99) == [
        Held(99, event(11, 11)),
        Held(12 * SECOND, event(12, 12)),
    ]


def test_a_new_connection_is_waited_for() -> None:
    """It has brought nothing yet, so it may still bring what is missing."""
    lane = lane_of(A)
    lane.reached[B] = None
    assert bring(lane, A, 12) == []
    assert bring(lane, B, 11) == [11, 12]


def test_a_hold_that_ran_out_gives_up_one_hole() -> None:
    """What waits behind a later hole, which can still be filled, goes on waiting."""
    lane = lane_of(A, B)
    bring(lane, A, 12, 13, 15)
    assert ids(lane.expire()) == [12, 13]
    assert ids(lane.ahead) == [15]
    assert bring(lane, B, 11, 14) == [14, 15]


def test_giving_up_nothing_is_nothing() -> None:
    """A hold that runs out just after the hole was filled changes nothing."""
    lane = lane_of(A, B)
    assert lane.expire() == []
    assert bring(lane, A, 11) == [11]


def test_who_goes_is_not_waited_for() -> None:
    """When the only one that was behind is gone, what waited is passed on at once."""
    lane = lane_of(A, B, C)
    bring(lane, A, 12)
    bring(lane, C, 13)
    assert ids(lane.leave(B)) == [12, 13]


def test_who_stays_is_waited_for() -> None:
    """One that goes takes nothing away from those that can still fill the hole."""
    lane = lane_of(A, B, C)
    bring(lane, A, 12)
    assert lane.leave(A) == []
    assert lane.leave(C) == []
    assert bring(lane, B, 11) == [11, 12]


def test_the_last_one_to_go_leaves_nothing_behind() -> None:
    """All that waited is passed on; whoever comes next may begin anywhere."""
    lane = lane_of(A, B)
    bring(lane, A, 12)
    assert (lane.leave(A), ids(lane.leave(B))) == ([], [12])
    assert lane == Lane()
    lane.leave(A)
    assert lane == Lane()


def test_a_snapshot_fills_holes() -> None:
    """What it tells nobody needs to bring; what follows it directly is released."""
    lane = lane_of(A, B)
    bring(lane, A, 12, 14, 16)
    assert ids(lane.know(13)) == [14]
    assert ids(lane.ahead) == [16]
    assert bring(lane, B, 11, 12, 13, 14, 15) == [15, 16]


def test_a_snapshot_says_where_the_first_event_must_join() -> None:
    """Known up to 10 before any event came: then 12 runs ahead."""
    lane = Lane(reached={A: None, B: None})
    assert lane.know(10) == []
    assert bring(lane, A, 12) == []
    assert bring(lane, B, 11) == [11, 12]


def test_a_market_may_begin_with_nothing() -> None:
    """A snapshot of id 0: the first event is number 1, and nothing is missing before it."""
    lane = Lane(None, {A: None})
    lane.know(0)
    assert lane.passed == 0
    assert bring(lane, A, 1) == [1]


def test_an_old_snapshot_changes_nothing() -> None:
    """Events have come past it."""
    lane = lane_of(A)
    assert lane.know(5) == []
    assert lane == lane_of(A)


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When one more runs ahead than may, the oldest hole is given up, and no later one."""
    monkeypatch.setattr(merge_module, "AHEAD_MAX", 3)
    lane = lane_of(A, B)
    assert bring(lane, A, 12, 13, 15) == []
    assert bring(lane, A, 16) == [12, 13]
    assert ids(lane.ahead) == [15, 16]


# ── who carries what ────────────────────────────────────────────────────────────────────────


def overlap(*symbols: str) -> Merge:
    """A brought id 10 of each; then B joined."""
    merge = Merge()
    merge.connected(A, symbols)
    for symbol in symbols:
        bring(merge.lanes[symbol], A, 10)
    merge.connected(B, symbols)
    return merge


def test_a_lost_connection_carried_its_symbols_once() -> None:
    """One that never stood, or is lost twice, carries nothing."""
    merge = overlap(BTC, ETH)
    assert [merge.lost(A), merge.lost(A), merge.lost(7)] == [(BTC, ETH), (), ()]
    assert merge.open == {B: (BTC, ETH)}


def test_a_connection_that_is_lost_leaves_nothing_behind() -> None:
    """Numbers are never used again: what was kept of each would pile up for years."""
    merge = overlap(BTC)
    for connection in (A, B):
        merge.lost(connection)
        merge.lanes[BTC].leave(connection)
    assert (merge.open, merge._joined, merge.lanes[BTC].reached) == ({}, {}, {})
    assert "__slots__" in vars(Lane)


def test_joining_again_forgets_nothing() -> None:
    """A segment's beginning names the connections that stand: they are as far as they were."""
    merge = overlap(BTC)
    merge.connected(A, (BTC,))
    assert merge.lanes[BTC].reached == {A: 10, B: None}


def test_waiting_since_the_oldest_stamp() -> None:
    """Only symbols of which something waits, each since the first that came."""
    merge = overlap(BTC, ETH)
    bring(merge.lanes[BTC], A, 14, 16)
    assert merge.waiting_since_ns() == {BTC: 14 * SECOND}


RELIEF: Final[dict[str, tuple[tuple[tuple[str, int, int], ...], bool]]] = {
    "nothing came": ((), False),
    "only the old one delivers": (((BTC, A, 11),), False),
    "the new one delivers one symbol only": (((BTC, A, 11), (ETH, A, 11), (BTC, B, 11)), False),
    "the new one delivers, the old one still has to": (((BTC, B, 12),), False),
    "the new one alone delivers what is next": (((BTC, B, 11), (ETH, B, 11)), True),
    "both deliver one, the other is quiet": (((BTC, A, 11), (BTC, B, 11)), True),
    "the old one has not come to it, the other is quiet": (((BTC, B, 11),), False),
    "the old one was first, and is far ahead": (((BTC, A, 11), (BTC, A, 12), (BTC, B, 11)), True),
    "the new one joined in a hole": (((BTC, A, 12), (ETH, A, 11), (ETH, B, 11)), False),
    "a hole for good": (((BTC, A, 12), (BTC, B, 13), (ETH, A, 11), (ETH, B, 11)), True),
}


@pytest.mark.parametrize("name", RELIEF)
def test_relief(name: str) -> None:
    """After this, the old connection can go, or not, without taking anything with it."""
    brought, can_go = RELIEF[name]
    merge = overlap(BTC, ETH)
    for symbol, connection, last_id in brought:
        bring(merge.lanes[symbol], connection, last_id)
    assert merge.can_relieve(A, B) is can_go


def test_relief_by_and_of_whoever_is_gone() -> None:
    """One that is gone needs no relief, and gives none; nor does one that lacks a symbol."""
    merge = overlap(BTC)
    bring(merge.lanes[BTC], B, 11)
    assert merge.can_relieve(A, B)
    assert not merge.can_relieve(A, 7)
    merge.connected(C, (BTC, ETH))
    bring(merge.lanes[BTC], C, 12)
    bring(merge.lanes[BTC], B, 12)
    assert not merge.can_relieve(C, B)
    merge.lost(A)
    assert merge.can_relieve(A, B)
    assert merge.can_relieve(A, 7)
