"""A connection that lacks what another delivers is found; a quiet market causes no alarm."""

from __future__ import annotations

from typing import Final

import pytest

from booktape.checks.stall_detector import BEHIND_S, STALL_CHECK_S, StallDetector
from booktape.core.arbitration import SymbolFeed

A, B = 1, 2
HOUR: Final = round(3_600 / STALL_CHECK_S)


class Market:
    """Feeds that a detector compares every two seconds."""

    def __init__(self, *connections: int, symbols: int = 1) -> None:
        self.feeds = {
            f"S{n}": SymbolFeed(100, dict.fromkeys(connections, 100)) for n in range(symbols)
        }
        self.feed = self.feeds["S0"]
        self.detector = StallDetector()
        self.now_s = 0.0

    def find_stalled(self) -> list[tuple[int, str]]:
        self.now_s += STALL_CHECK_S
        feeds = self.feeds.items()
        return [
            found for s, feed in feeds for found in self.detector.find_stalled(s, feed, self.now_s)
        ]

    def move(self, *connections: int) -> None:
        """One more event of S0, delivered by these connections."""
        self.feed.last_released = (self.feed.last_released or 0) + 1
        self.feed.last_by_connection |= dict.fromkeys(connections, self.feed.last_released)

    def trail(self, connection: int, looks: int) -> list[tuple[int, str]]:
        """A look after which A has one more event, and the other connection is `looks` looks behind."""
        self.move(A)
        assert self.feed.last_released
        self.feed.last_by_connection[connection] = max(100, self.feed.last_released - looks)
        return self.find_stalled()

    def live(self, looks: int, *connections: int) -> None:
        """Ordinary operation: each look sees a new event, and no connection is named."""
        for _ in range(looks):
            self.move(*connections)
            assert self.find_stalled() == []

    def looks_until_named(self, *moving: int) -> int:
        for looks in range(1, HOUR):
            if moving:
                self.move(*moving)
            if self.find_stalled():
                return looks
        pytest.fail("not named in an hour")


# ── behind another connection ───────────────────────────────────────────────────────────────


def test_a_connection_that_falls_behind_is_named_once() -> None:
    """After ten seconds and not before, by its number, with the symbol, and not again."""
    market = Market(A, B)
    market.live(50, A, B)
    named = []
    for _ in range(20):
        market.move(A)
        named.append(market.find_stalled())
    # It is seen to be behind at the first of these looks.
    overdue = round(BEHIND_S / STALL_CHECK_S)
    assert named[overdue] == [(B, "S0 is silent on it, but not elsewhere")]
    assert [found for found in named if found] == [named[overdue]]


def test_a_connection_that_missed_the_last_event_is_named() -> None:
    """Even if the symbol is quiet afterwards."""
    market = Market(A, B)
    market.find_stalled()
    market.move(A)
    assert market.looks_until_named() == 1 + BEHIND_S / STALL_CHECK_S


def test_a_connection_that_catches_up_is_not_named() -> None:
    """A connection that is always nine seconds behind is slow, not silent."""
    market = Market(A, B)
    assert not any(market.trail(B, 4) for _ in range(100))


def test_a_connection_that_stays_far_behind_is_named() -> None:
    """It moves, but the events it brings are older than ten seconds."""
    market = Market(A, B)
    named = [found for _ in range(100) for found in market.trail(B, 8)]
    assert {connection for connection, _ in named} == {B}


def test_a_second_silence_is_named_again() -> None:
    """Once it has caught up, it may fall behind again."""
    market = Market(A, B)
    market.looks_until_named(A)
    market.live(10, A, B)
    assert market.looks_until_named(A) == 1 + BEHIND_S / STALL_CHECK_S


def test_a_new_connection_need_not_deliver_older_events() -> None:
    """On a quiet symbol it may have nothing to deliver for hours, until the next event."""
    market = Market(A)
    market.find_stalled()
    market.feed.last_by_connection[B] = None
    for _ in range(HOUR):
        assert market.find_stalled() == []
    assert market.looks_until_named(A) == 1 + BEHIND_S / STALL_CHECK_S


def test_a_symbol_without_events_causes_no_alarm() -> None:
    """If it is newly listed, or newly connected, there is nothing to fall behind."""
    market = Market()
    market.feed.last_released, market.feed.last_by_connection = None, {A: None, B: None}
    assert [market.find_stalled() for _ in range(HOUR)] == [[]] * HOUR


def test_a_connection_that_comes_back_starts_afresh() -> None:
    """A lost connection is forgotten, and an outage is not the silence of a connection."""
    market = Market(A, B)
    market.live(300, A, B)
    market.feed.last_released, market.feed.last_by_connection = None, {}
    assert [market.find_stalled() for _ in range(HOUR)] == [[]] * HOUR
    market.feed.last_by_connection = {A: None, B: None}
    assert [market.find_stalled() for _ in range(5)] == [[]] * 5
    market.live(50, A, B)


@pytest.mark.parametrize("connections", [(A,), (A, B)])
def test_a_symbol_that_falls_quiet_on_all_connections_causes_no_alarm(
    connections: tuple[int, ...],
) -> None:
    """However busy it was before, nothing is missing without a new event. Freshness judges silence."""
    market = Market(*connections)
    market.live(HOUR, *connections)
    assert [market.find_stalled() for _ in range(HOUR)] == [[]] * HOUR
