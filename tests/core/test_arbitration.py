"""One ordered stream from several connections: tables of small sequences.

The promises over any interleaving are in test_arbitration_any_order.py.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from booktape.core import arbitration
from booktape.core.arbitration import HOLD_NS, FeedArbiter, ReleasedEvents, SymbolFeed
from booktape.core.events import DepthEvent, IdsReset
from support.oracle import SECOND, event

A, B, C = 1, 2, 3
BTC, ETH = "BTCUSDT", "ETHBTC"


def ids(ready: ReleasedEvents) -> list[int]:
    return [item.last_id for _, item in ready if isinstance(item, DepthEvent)]


def waiting(feed: SymbolFeed) -> list[int]:
    return [held.event.last_id for held in feed.buffered]


def feed_of(*connections: int, last: int = 10) -> SymbolFeed:
    """A feed to which each of these connections has brought everything up to id `last`."""
    return SymbolFeed(last, dict.fromkeys(connections, last))


def bring(feed: SymbolFeed, connection: int, *last_ids: int) -> list[int]:
    """One connection brings events of one id each; returns the ids that are released."""
    return [
        released
        for n in last_ids
        for released in ids(feed.accept(connection, event(n, n), n * SECOND))
    ]


class Case(NamedTuple):
    """The events that each connection brings in turn, those released, and those still waiting."""

    brought: tuple[tuple[int, int], ...]
    released: list[int]
    waiting: list[int]
    on: tuple[int, ...] = (A, B)


CASES: Final[dict[str, Case]] = {
    "in order": Case(((A, 11), (A, 12)), [11, 12], []),
    "the second copy is dropped": Case(((A, 11), (B, 11)), [11], []),
    "whichever is faster": Case(((A, 11), (B, 11), (B, 12), (A, 12)), [11, 12], []),
    "an old one is dropped": Case(((A, 9),), [], []),
    "one that runs ahead waits": Case(((A, 12),), [], [12]),
    "another one fills the hole": Case(((A, 12), (B, 11)), [11, 12], []),
    "copies of one that waited are dropped": Case(((A, 12), (B, 11), (B, 12)), [11, 12], []),
    "both run ahead of a third": Case(((A, 12), (B, 12), (C, 11)), [11, 12], [], (A, B, C)),
    "they wait in order": Case(((A, 14), (B, 12)), [12], [14]),
    "one hole is filled, the next not": Case(((A, 12), (A, 14), (B, 11)), [11, 12], [14]),
    "no connection can fill it": Case(((A, 12), (B, 13)), [12, 13], []),
    "alone, no other can": Case(((A, 12),), [12], [], (A,)),
    "two holes that no connection can fill": Case(((A, 12), (A, 14), (B, 15)), [12, 14, 15], []),
    "an old copy does not fill it": Case(((A, 12), (B, 10)), [], [12]),
}


@pytest.mark.parametrize("name", CASES)
def test_which_events_are_released_and_which_wait(name: str) -> None:
    """The feed starts at id 10; events are released in the order listed."""
    case = CASES[name]
    feed = feed_of(*case.on)
    released = [n for connection, last in case.brought for n in bring(feed, connection, last)]
    assert (released, waiting(feed)) == (case.released, case.waiting)


def test_the_first_event_may_begin_anywhere() -> None:
    """Nothing before it counts as missing, even for a connection that has brought nothing yet."""
    feed = SymbolFeed(last_by_connection={A: None, B: None})
    assert bring(feed, A, 50) == [50]
    assert bring(feed, B, 49, 50, 51) == [51]


def test_an_event_that_overlaps_is_released() -> None:
    """Part of it is new, and its sizes are absolute."""
    feed = feed_of(A)
    assert ids(feed.accept(A, event(9, 12), 0)) == [12]
    assert ids(feed.accept(A, event(11, 13), 0)) == [13]


def test_each_event_keeps_its_arrival_time() -> None:
    """Waiting does not change the stamp."""
    feed = feed_of(A, B)
    bring(feed, A, 12)
    assert feed.accept(B, event(11, 11), 99) == [
        (99, event(11, 11)),
        (12 * SECOND, event(12, 12)),
    ]


def test_a_new_connection_is_waited_for() -> None:
    """It has brought nothing yet, so it may still bring what is missing."""
    feed = feed_of(A)
    feed.last_by_connection[B] = None
    assert bring(feed, A, 12) == []
    assert bring(feed, B, 11) == [11, 12]


def test_one_release_closes_one_hole() -> None:
    """Events behind a later hole that can still be filled continue to wait."""
    feed = feed_of(A, B)
    bring(feed, A, 12, 13, 15)
    assert ids(feed.release_next()) == [12, 13]
    assert waiting(feed) == [15]
    assert bring(feed, B, 11, 14) == [14, 15]


def test_without_a_buffered_event_nothing_is_released() -> None:
    """A hold that expires just after its hole was filled changes nothing."""
    feed = feed_of(A, B)
    assert feed.release_next() == []
    assert bring(feed, A, 11) == [11]


def test_a_lost_connection_is_not_waited_for() -> None:
    """When the only connection that was behind is lost, waiting events are released at once."""
    feed = feed_of(A, B, C)
    bring(feed, A, 12)
    bring(feed, C, 13)
    assert ids(feed.drop_connection(B)) == [12, 13]


def test_the_remaining_connections_are_waited_for() -> None:
    """Losing one connection changes nothing for those that can still fill the hole."""
    feed = feed_of(A, B, C)
    bring(feed, A, 12)
    assert feed.drop_connection(A) == []
    assert feed.drop_connection(C) == []
    assert bring(feed, B, 11) == [11, 12]


def test_the_last_lost_connection_leaves_nothing_behind() -> None:
    """All waiting events are released; the next connection may begin anywhere."""
    feed = feed_of(A, B)
    bring(feed, A, 12)
    assert (feed.drop_connection(A), ids(feed.drop_connection(B))) == ([], [12])
    assert feed == SymbolFeed()
    feed.drop_connection(A)
    assert feed == SymbolFeed()


def test_a_snapshot_fills_holes() -> None:
    """No connection needs to bring ids that it contains; events directly after it are released."""
    feed = feed_of(A, B)
    bring(feed, A, 12, 14, 16)
    assert ids(feed.advance_to(13)) == [14]
    assert waiting(feed) == [16]
    assert bring(feed, B, 11, 12, 13, 14, 15) == [15, 16]


def test_a_snapshot_decides_where_the_first_event_must_join() -> None:
    """With ids known up to 10 before any event came, event 12 runs ahead."""
    feed = SymbolFeed(last_by_connection={A: None, B: None})
    assert feed.advance_to(10) == []
    assert bring(feed, A, 12) == []
    assert bring(feed, B, 11) == [11, 12]


def test_a_market_may_begin_empty() -> None:
    """A snapshot of id 0: the first event is number 1, and nothing is missing before it."""
    feed = SymbolFeed(None, {A: None})
    feed.advance_to(0)
    assert feed.last_released == 0
    assert bring(feed, A, 1) == [1]


def test_an_old_snapshot_changes_nothing() -> None:
    """Events are already past its id."""
    feed = feed_of(A)
    assert feed.advance_to(5) == []
    assert feed == feed_of(A)


def test_the_number_of_waiting_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event above the limit ends the wait for the oldest hole; events still wait for later holes."""
    monkeypatch.setattr(arbitration, "BUFFERED_MAX", 3)
    feed = feed_of(A, B)
    assert bring(feed, A, 12, 13, 15) == []
    assert bring(feed, A, 16) == [12, 13]
    assert waiting(feed) == [15, 16]


# ── how long an event waits ───────────────────────────────────────────────────────────────


def tick(feed: SymbolFeed, *passed_s: float) -> list[list[int]]:
    """The ids that each of these ticks releases."""
    return [ids(feed.on_tick(round(seconds * SECOND))) for seconds in passed_s]


def test_an_event_waits_three_seconds_from_the_tick_that_finds_its_hole() -> None:
    """Three seconds of tape time, in any number of ticks; the first tick only starts the clock."""
    feed = feed_of(A, B)
    bring(feed, A, 12)
    assert tick(feed, 2, 1, 1, 0.5) == [[], [], [], []]
    assert tick(feed, 0.5) == [[12]]
    assert tick(feed, 9) == [[]]


def test_no_event_is_released_a_nanosecond_early() -> None:
    """This holds for the first event and for one behind a later hole."""
    feed = feed_of(A, B)
    bring(feed, A, 12, 14)
    for released in ([12], [14]):
        feed.on_tick(0)
        assert feed.on_tick(HOLD_NS - 1) == []
        assert ids(feed.on_tick(1)) == released


def test_events_behind_a_hole_do_not_give_it_more_time() -> None:
    """They arrive ten times a second."""
    feed = feed_of(A, B)
    bring(feed, A, 12)
    assert tick(feed, 0, 2) == [[], []]
    assert bring(feed, A, 13) == []
    assert tick(feed, 1) == [[12, 13]]


def test_each_hole_has_three_seconds_of_its_own() -> None:
    """The clock of the next hole starts when the three seconds of the first are over."""
    feed = feed_of(A, B)
    bring(feed, A, 12, 14)
    assert tick(feed, 1, 1, 1, 1) == [[], [], [], [12]]
    assert tick(feed, 1, 1, 1) == [[], [], [14]]


def test_filling_a_hole_stops_its_clock() -> None:
    """The next tick finds the next hole, even if the first was filled between two ticks."""
    feed = feed_of(A, B)
    bring(feed, A, 12)
    assert tick(feed, 1, 1, 1) == [[]] * 3
    assert bring(feed, B, 11) == [11, 12]
    bring(feed, A, 14)
    assert tick(feed, 1, 1, 1) == [[]] * 3
    assert tick(feed, 1) == [[14]]


def test_a_new_segment_restarts_the_clock_of_a_hole() -> None:
    """A segment can be read alone, and no checkpoint says how long an event has waited."""
    feed = feed_of(A, B)
    bring(feed, A, 12)
    assert tick(feed, 1, 1, 1) == [[]] * 3
    feed.begin_segment()
    assert tick(feed, 1, 1, 1) == [[]] * 3
    assert tick(feed, 1) == [[12]]


# ── silent connections ───────────────────────────────────────────────────────────────────────────


def test_a_silent_connection_is_not_waited_for() -> None:
    """Events that waited only for it are released at once; later events do not wait for it."""
    feed = feed_of(A, B, C)
    bring(feed, A, 12)
    assert feed.mark_silent(B) == []
    assert ids(feed.mark_silent(C)) == [12]
    assert bring(feed, A, 14) == [14]


def test_a_connection_that_speaks_again_is_waited_for() -> None:
    """It may bring the missing events."""
    feed = feed_of(A, B)
    feed.mark_silent(B)
    feed.silent_connections.discard(B)
    assert bring(feed, A, 12) == []
    assert bring(feed, B, 11) == [11, 12]


def test_a_silent_connection_is_forgotten_when_it_is_lost_or_the_segment_ends() -> None:
    """Connection numbers are never reused, and a segment can be read alone."""
    feed = feed_of(A, B, C)
    feed.mark_silent(B)
    feed.mark_silent(C)
    feed.drop_connection(B)
    assert feed.silent_connections == {C}
    feed.begin_segment()
    assert feed.silent_connections == set()


# ── ids that start over ───────────────────────────────────────────────────────────────────────


def say(feed: SymbolFeed, connection: int, first: int, last: int, at_s: float) -> list[int | str]:
    """The exchange makes one event of these ids at `at_s`; returns the ids that are released."""
    message = event(first, last, event_time_us=round(at_s * 1e6))
    ready = feed.accept(connection, message, round(at_s * SECOND))
    return ["reset" if isinstance(item, IdsReset) else item.last_id for _, item in ready]


def at_a_hundred(*connections: int) -> SymbolFeed:
    """A feed whose newest released id is 100, made at second 10."""
    feed = SymbolFeed(99, dict.fromkeys(connections or (A,), 99))
    assert say(feed, A, 100, 100, 10) == [100]
    return feed


def test_two_chained_low_events_with_newer_times_restart_the_ids() -> None:
    """Both are released after the reset; the stream then continues from there."""
    feed = at_a_hundred()
    assert say(feed, A, 1, 3, 11.1) == []
    assert say(feed, A, 4, 5, 11.2) == ["reset", 3, 5]
    assert say(feed, A, 6, 6, 11.3) == [6]
    assert (feed.last_released, feed.newest_id) == (6, 6)


@pytest.mark.parametrize(
    ("at_s", "reset"), [(10.0, False), (10.5, False), (11.0, False), (11.000001, True)]
)
def test_newer_means_more_than_a_second_after_the_newest_event(at_s: float, *, reset: bool) -> None:
    """By the exchange's own clock."""
    feed = at_a_hundred()
    ready = [say(feed, A, n, n, at_s) for n in (1, 2)]
    assert ready == ([[], ["reset", 1, 2]] if reset else [[], []])


def test_one_low_event_alone_changes_nothing() -> None:
    """Nor do two that do not chain: each may be the first of the new ids; the last one counts."""
    feed = at_a_hundred()
    assert say(feed, A, 1, 1, 12) == []
    assert say(feed, A, 5, 5, 12) == []
    assert say(feed, A, 2, 2, 12) == [], "it follows on one that has been replaced"
    assert say(feed, A, 101, 101, 12.5) == [101]


def test_the_second_must_not_be_earlier_than_the_first() -> None:
    """Where ids continue, time does not go back."""
    feed = at_a_hundred()
    assert say(feed, A, 1, 1, 13) == []
    assert say(feed, A, 2, 2, 12) == []
    assert say(feed, A, 3, 3, 12) == ["reset", 2, 3]


def test_copies_of_the_first_low_event_are_ignored() -> None:
    """Other connections bring it too; its successor still chains."""
    feed = at_a_hundred(A, B)
    assert say(feed, A, 1, 3, 12) == []
    assert say(feed, B, 1, 3, 12) == []
    assert say(feed, B, 4, 4, 12.1) == ["reset", 3, 4]
    assert say(feed, A, 4, 4, 12.1) == []
    assert say(feed, A, 5, 5, 12.2) == [5]


def test_the_first_low_event_keeps_the_stamp_of_its_first_arrival() -> None:
    """A later copy from another connection does not replace it."""
    feed = at_a_hundred(A, B)
    low, next_one = (event(n, n, event_time_us=12_000_000) for n in (1, 2))
    feed.accept(A, low, 12 * SECOND)
    feed.accept(B, low, 13 * SECOND)
    ready = feed.accept(A, next_one, 14 * SECOND)
    assert [stamp for stamp, _ in ready] == [14 * SECOND, 12 * SECOND, 14 * SECOND]


def test_copies_and_late_duplicates_restart_nothing() -> None:
    """Minutes later another connection repeats every released event, with its original time."""
    feed = SymbolFeed(None, {A: None, B: None})
    messages = [(n, n, n / 10) for n in range(1, 200)]
    assert [say(feed, A, *message) for message in messages] == [[n] for n, _, _ in messages]
    assert [say(feed, B, *message) for message in messages] == [[]] * len(messages)
    assert [say(feed, A, *message) for message in messages[50:]] == [[]] * len(messages[50:])


def test_ids_that_a_snapshot_covered_are_not_low() -> None:
    """The snapshot ran ahead: its ids were never released, so their times prove nothing."""
    feed = at_a_hundred(A, B)
    assert feed.advance_to(500) == []
    assert [say(feed, A, n, n, 20 + n / 10) for n in range(101, 500)] == [[]] * 399
    assert say(feed, A, 501, 501, 80) == [501]


def test_no_id_is_low_before_the_first_release() -> None:
    """This is a symbol whose snapshot came first."""
    feed = SymbolFeed(None, {A: None})
    feed.advance_to(500)
    assert [say(feed, A, n, n, 1_000) for n in (1, 2, 3)] == [[]] * 3


def test_a_reset_forgets_everything_about_the_old_ids() -> None:
    """Waiting events are dropped, and no connection counts as having reached any id."""
    feed = at_a_hundred(A, B)
    bring(feed, A, 103)
    assert say(feed, A, 1, 1, 12) == []
    assert say(feed, A, 2, 2, 12) == ["reset", 1, 2]
    assert (feed.buffered, feed.last_by_connection) == ([], {A: None, B: None})


def test_ids_may_start_over_twice() -> None:
    """Each restart is recognised by later times."""
    feed = at_a_hundred()
    say(feed, A, 1, 1, 12)
    assert say(feed, A, 2, 2, 12) == ["reset", 1, 2]
    assert say(feed, A, 1, 1, 13.5) == []
    assert say(feed, A, 2, 2, 13.5) == ["reset", 1, 2]


def test_the_first_low_event_is_dropped_when_the_segment_ends_or_the_last_connection_is_lost() -> (
    None
):
    """No checkpoint contains it; the next event may begin anywhere."""
    feed = at_a_hundred()
    say(feed, A, 1, 1, 12)
    feed.begin_segment()
    assert say(feed, A, 2, 2, 12) == []
    assert say(feed, A, 3, 3, 12) == ["reset", 2, 3]
    feed = at_a_hundred()
    say(feed, A, 1, 1, 12)
    feed.drop_connection(A)
    assert feed == SymbolFeed()


def test_on_tapes_of_format_1_an_event_with_low_ids_is_a_copy() -> None:
    """That was the rule when they were recorded."""
    feed = at_a_hundred()
    feed.sees_resets = False
    assert [say(feed, A, n, n, 20) for n in (1, 2, 3)] == [[]] * 3


def test_setting_the_clock_back_moves_the_stamps_of_waiting_events() -> None:
    """The stamp of the first low event moves too; the exchange's own times stay."""
    feed = feed_of(A, B)
    bring(feed, A, 12)
    feed.step_clock(-5 * SECOND)
    assert feed.accept(B, event(11, 11), 8 * SECOND)[1] == (7 * SECOND, event(12, 12))
    feed = at_a_hundred()
    say(feed, A, 1, 1, 12)
    feed.step_clock(-5 * SECOND)
    _, first, _ = feed.accept(A, event(2, 2, event_time_us=12_000_000), 8 * SECOND)
    assert first == (7 * SECOND, event(1, 1, event_time_us=12_000_000))


# ── connections and their symbols ────────────────────────────────────────────────────────────────────────


def overlap(*symbols: str) -> FeedArbiter:
    """A brought id 10 of each symbol; then B joined."""
    arbiter = FeedArbiter()
    arbiter.add_connection(A, symbols)
    for symbol in symbols:
        bring(arbiter.feeds[symbol], A, 10)
    arbiter.add_connection(B, symbols)
    return arbiter


def test_a_lost_connection_carried_its_symbols_once() -> None:
    """A connection that was never open, or is lost a second time, carries nothing."""
    arbiter = overlap(BTC, ETH)
    assert [
        arbiter.remove_connection(A),
        arbiter.remove_connection(A),
        arbiter.remove_connection(7),
    ] == [
        (BTC, ETH),
        (),
        (),
    ]
    assert arbiter.connections == {B: (BTC, ETH)}


def test_a_lost_connection_leaves_nothing_behind() -> None:
    """Connection numbers are never reused: whatever was kept of each would pile up for years."""
    arbiter = overlap(BTC)
    for connection in (A, B):
        arbiter.remove_connection(connection)
        arbiter.feeds[BTC].drop_connection(connection)
    assert (
        arbiter.connections,
        arbiter._released_at_join,
        arbiter.feeds[BTC].last_by_connection,
    ) == (
        {},
        {},
        {},
    )
    assert "__slots__" in vars(SymbolFeed)


def test_a_new_arbiter_notices_ids_that_start_over() -> None:
    """Only tapes of format 1 are read without this check."""
    feed = overlap(BTC).feeds[BTC]
    assert say(feed, A, 1, 1, 12) == []
    assert say(feed, A, 2, 2, 12) == ["reset", 1, 2]


def test_joining_again_forgets_nothing() -> None:
    """The start of a segment names the open connections; their progress is kept."""
    arbiter = overlap(BTC)
    arbiter.add_connection(A, (BTC,))
    assert arbiter.feeds[BTC].last_by_connection == {A: 10, B: None}


COVERS: Final[dict[str, tuple[tuple[tuple[str, int, int], ...], bool]]] = {
    "nothing came": ((), False),
    "only the old one delivers": (((BTC, A, 11),), False),
    "the new one delivers one symbol only": (((BTC, A, 11), (ETH, A, 11), (BTC, B, 11)), False),
    "the new one delivers, the old one not yet": (((BTC, B, 12),), False),
    "the new one alone delivers what is next": (((BTC, B, 11), (ETH, B, 11)), True),
    "both deliver one, the other is quiet": (((BTC, A, 11), (BTC, B, 11)), True),
    "the old one has not come to it, the other is quiet": (((BTC, B, 11),), False),
    "the old one was first, and is far ahead": (((BTC, A, 11), (BTC, A, 12), (BTC, B, 11)), True),
    "the new one joined in a hole": (((BTC, A, 12), (ETH, A, 11), (ETH, B, 11)), False),
    "a hole that no connection can fill": (
        ((BTC, A, 12), (BTC, B, 13), (ETH, A, 11), (ETH, B, 11)),
        True,
    ),
}


@pytest.mark.parametrize("name", COVERS)
def test_whether_another_connection_covers_this_one(name: str) -> None:
    """If it is covered after these events, the old connection can be closed without a hole."""
    brought, covers = COVERS[name]
    arbiter = overlap(BTC, ETH)
    for symbol, connection, last_id in brought:
        bring(arbiter.feeds[symbol], connection, last_id)
    assert arbiter.covers(A, B) is covers


def test_a_lost_connection_neither_covers_nor_needs_to_be_covered() -> None:
    """Nor does one that lacks a symbol cover one that has it."""
    arbiter = overlap(BTC)
    bring(arbiter.feeds[BTC], B, 11)
    assert arbiter.covers(A, B)
    assert not arbiter.covers(A, 7)
    arbiter.add_connection(C, (BTC, ETH))
    bring(arbiter.feeds[BTC], C, 12)
    bring(arbiter.feeds[BTC], B, 12)
    assert not arbiter.covers(C, B)
    arbiter.remove_connection(A)
    assert arbiter.covers(A, B)
    assert arbiter.covers(A, 7)
