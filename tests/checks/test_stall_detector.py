"""Silence is noticed, and quiet is not taken for silence.

Markets are made of chance as the exchange's are: a symbol has something to say in each look with
its own probability. Time is the number of looks.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

import pytest

from booktape.checks.stall_detector import LAG_S, LOOK_EVERY_S, StallDetector
from booktape.core.arbitration import SymbolFeed

A, B = 1, 2
HOUR: Final = round(3_600 / LOOK_EVERY_S)


class Market:
    """Lanes that a detector looks at every two seconds."""

    def __init__(self, *connections: int, symbols: int = 1) -> None:
        self.feeds = {
            f"S{n}": SymbolFeed(100, dict.fromkeys(connections, 100)) for n in range(symbols)
        }
        self.feed = self.feeds["S0"]
        self.detector = StallDetector()
        self.now_s = 0.0

    def look(self) -> list[tuple[int, str]]:
        self.now_s += LOOK_EVERY_S
        feeds = self.feeds.items()
        return [
            found for s, feed in feeds for found in self.detector.find_stalled(s, feed, self.now_s)
        ]

    def move(self, *connections: int) -> None:
        """One more event of S0, delivered by these."""
        self.feed.last_released = (self.feed.last_released or 0) + 1
        self.feed.last_by_connection |= dict.fromkeys(connections, self.feed.last_released)

    def trail(self, connection: int, looks: int) -> list[tuple[int, str]]:
        """A look at which A brought one more event, and the other one is so many looks behind."""
        self.move(A)
        assert self.feed.last_released
        self.feed.last_by_connection[connection] = max(100, self.feed.last_released - looks)
        return self.look()

    def live(self, looks: int, *connections: int) -> None:
        """An ordinary time, in which each look sees something new, and nobody is named."""
        for _ in range(looks):
            self.move(*connections)
            assert self.look() == []

    def looks_until_named(self, *moving: int) -> int:
        for looks in range(1, HOUR):
            if moving:
                self.move(*moving)
            if self.look():
                return looks
        pytest.fail("not named in an hour")


# ── behind another connection ───────────────────────────────────────────────────────────────


def test_who_falls_behind_is_named_once() -> None:
    """After ten seconds and not before, by its number, with the symbol; then no more."""
    market = Market(A, B)
    market.live(50, A, B)
    named = []
    for _ in range(20):
        market.move(A)
        named.append(market.look())
    # It is seen to be behind at the first of these looks.
    late = round(LAG_S / LOOK_EVERY_S)
    assert named[late] == [(B, "S0 is silent on it, and not elsewhere")]
    assert [said for said in named if said] == [named[late]]


def test_who_missed_the_last_event_is_named() -> None:
    """Also when the symbol is quiet afterwards: nobody knows whether it would go on."""
    market = Market(A, B)
    market.look()
    market.move(A)
    assert market.looks_until_named() == 1 + LAG_S / LOOK_EVERY_S


def test_who_catches_up_is_not_named() -> None:
    """Nine seconds behind for ever is slow, and not silent."""
    market = Market(A, B)
    assert not any(market.trail(B, 4) for _ in range(100))


def test_who_is_far_behind_is_named() -> None:
    """It moves, and what it brings is older than ten seconds."""
    market = Market(A, B)
    named = [said for _ in range(100) for said in market.trail(B, 8)]
    assert {connection for connection, _ in named} == {B}


def test_a_second_silence_is_named_again() -> None:
    """Once it has caught up, it may fall behind anew."""
    market = Market(A, B)
    market.looks_until_named(A)
    market.live(10, A, B)
    assert market.looks_until_named(A) == 1 + LAG_S / LOOK_EVERY_S


def test_a_newcomer_owes_nothing_of_the_past() -> None:
    """On a quiet symbol it has nothing to deliver for hours; from the next event on it has."""
    market = Market(A)
    market.look()
    market.feed.last_by_connection[B] = None
    for _ in range(HOUR):
        assert market.look() == []
    assert market.looks_until_named(A) == 1 + LAG_S / LOOK_EVERY_S


def test_a_symbol_of_which_nothing_came_yet() -> None:
    """Newly listed, or newly connected: there is nothing to be behind of."""
    market = Market()
    market.feed.last_released, market.feed.last_by_connection = None, {A: None, B: None}
    assert [market.look() for _ in range(HOUR)] == [[]] * HOUR


def test_who_comes_back_begins_anew() -> None:
    """A lost connection is forgotten, and an outage is nobody's silence."""
    market = Market(A, B)
    market.live(300, A, B)
    market.feed.last_released, market.feed.last_by_connection = None, {}
    assert [market.look() for _ in range(HOUR)] == [[]] * HOUR
    market.feed.last_by_connection = {A: None, B: None}
    assert [market.look() for _ in range(5)] == [[]] * 5
    market.live(50, A, B)


# ── against its own habit ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("minutes", [5, 30, 180])
def test_a_liquid_symbol_s_silence_is_noticed(minutes: int) -> None:
    """Within 30 to 40 seconds; all that carry it are named, once, and not before it is over."""
    market = Market(A, B)
    market.live(minutes * 30, A, B)
    assert 30 <= market.looks_until_named() * LOOK_EVERY_S <= 40
    assert [market.look() for _ in range(HOUR)] == [[]] * HOUR


def test_all_that_carry_it_are_named() -> None:
    """Nobody knows which of them is to blame."""
    market = Market(A, B)
    market.live(HOUR, A, B)
    named = next(said for said in iter(market.look, None) if said)
    assert named == [(n, "S0 is silent, which is not its habit") for n in (A, B)]


def test_a_habit_forms_again() -> None:
    """After a silence of a minute the next one is noticed too, a little later at first."""
    market = Market(A)
    market.live(HOUR, A)
    market.looks_until_named()
    market.live(150, A)
    assert market.looks_until_named() * LOOK_EVERY_S <= 50


def test_a_symbol_that_never_moved_is_not_silent() -> None:
    """A market that is all quiet is left in peace, for hours."""
    market = Market(A, symbols=20)
    for _ in range(3 * HOUR):
        assert market.look() == []


def false_alarms(move_at: Callable[[int], float], symbols: int, hours: int) -> int:
    """How often these were called silent; `move_at` tells the chance that a look sees a move."""
    alarms = 0
    for seed in range(symbols):
        chance, market = Random(seed), Market(A)
        for looks in range(hours * HOUR):
            if chance.random() < move_at(looks):
                market.move(A)
            alarms += len(market.look())
    return alarms


@pytest.mark.parametrize("percent", [35, 10, 3, 1, 0.3, 0.1, 0.03, 0.01])
def test_a_quiet_symbol_is_not_silent(percent: float) -> None:
    """Symbols that speak by chance, from three times a second to four times an hour: no alarm.

    Of the hundred-millisecond slots of a look so many, in percent, hold an event.
    """
    moves = 1 - (1 - percent / 100) ** (LOOK_EVERY_S / 0.1)
    assert false_alarms(lambda _: moves, symbols=4, hours=6) == 0


def test_a_market_that_falls_asleep_is_not_silent() -> None:
    """Activity that halves every half an hour, from each look down to one in half an hour."""
    assert false_alarms(lambda looks: 0.5 ** (looks / 900), symbols=10, hours=5) == 0
