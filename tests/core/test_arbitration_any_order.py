"""One ordered stream from several connections, in whatever order things happen.

A small true world: one sequence of events; connections that join, lose some, lag and go. Each
delivers in order, and only what happened after it had joined.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booktape.core import arbitration as merge_module
from booktape.core.arbitration import FeedArbiter, ReleasedEvents, SymbolFeed
from booktape.core.events import DepthEvent
from support.oracle import event

RANDOMS: Final = st.randoms(use_true_random=False)
BOUND: Final = 4


class World:
    """A feed, the events still on their way to it, and those it released."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.feed = SymbolFeed()
        self.last_id = 10
        self.ways: dict[int, list[DepthEvent]] = {}
        self.given_up = False
        self.begun: int | None = None
        self.delivered: dict[int, DepthEvent] = {}
        self.out: list[DepthEvent] = []

    def join(self) -> None:
        connection = len(self.feed.last_by_connection) + self.chance.randint(1, 100) * 10
        self.ways.setdefault(connection, [])
        self.feed.last_by_connection.setdefault(connection, None)

    def happen(self) -> None:
        first = self.last_id + 1
        self.last_id += self.chance.randint(1, 3)
        for way in self.ways.values():
            if self.chance.random() < 0.8:
                way.append(event(first, self.last_id))

    def deliver(self) -> None:
        busy = [connection for connection, way in self.ways.items() if way]
        if busy:
            connection = self.chance.choice(busy)
            message = self.ways[connection].pop(0)
            self.delivered[message.first_id] = message
            self.see(self.feed.accept(connection, message, 0))

    def leave(self) -> None:
        if self.ways:
            connection = self.chance.choice(list(self.ways))
            del self.ways[connection]
            self.see(self.feed.drop_connection(connection))
            if not self.ways:
                self.check_nothing_is_missing()
                self.begun, self.delivered, self.out, self.given_up = None, {}, [], False

    def expire(self) -> None:
        self.given_up = True
        waited = self.feed.buffered[:1]
        ready = self.feed.release_next()
        assert ready[:1] == [(held.received_ns, held.event) for held in waited]
        self.see(ready)

    def see(self, ready: ReleasedEvents) -> None:
        """Each event once at most, in order, past a hole only when no connection can fill it."""
        for _, message in ready:
            assert isinstance(message, DepthEvent)
            if self.begun is None:
                self.begun = message.first_id
            elif message.first_id != self.out[-1].last_id + 1:
                hole = range(self.out[-1].last_id + 1, message.first_id)
                assert hole, "out of order, or twice"
                on_its_way = {way_event.first_id for way in self.ways.values() for way_event in way}
                assert self.given_up or on_its_way.isdisjoint(hole), "passed over too early"
            self.out.append(message)

    def check_nothing_is_missing(self) -> None:
        """Every event delivered since the first one was released, unless a hold was given up."""
        if not self.given_up:
            begun = self.begun or 0
            assert self.out == [
                message for n, message in sorted(self.delivered.items()) if n >= begun
            ]


@given(RANDOMS)
def test_nothing_twice_nothing_missing_nothing_too_early(chance: Random) -> None:
    """With no expired hold, exactly the delivered events are released, each as early as possible."""
    world = World(chance)
    world.join()
    steps = [world.happen] * 3 + [world.deliver] * 5 + [world.join, world.leave]
    for _ in range(chance.randint(10, 120)):
        chance.choice(steps)()
        for held in world.feed.buffered:
            behind = [
                n
                for n in world.feed.last_by_connection.values()
                if (n or 0) < held.event.first_id - 1
            ]
            assert behind, "waits, and no connection can bring what is missing"
    while world.ways:
        world.leave()


@given(RANDOMS)
def test_a_release_loses_only_events_missing_before_it(chance: Random) -> None:
    """When holds expire and too many events wait, releases stay in order, once each, and bounded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge_module, "BUFFERED_MAX", BOUND)
        world = World(chance)
        world.given_up = True
        for _ in range(3):
            world.join()
        for _ in range(chance.randint(10, 120)):
            chance.choice([world.happen] * 3 + [world.deliver] * 5 + [world.expire, world.join])()
            assert len(world.feed.buffered) <= BOUND


class Rollover:
    """Two connections for several symbols; each brings every event since its subscription, in order."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.symbols = tuple(f"S{n}" for n in range(chance.randint(1, 4)))
        self.merge = FeedArbiter()
        self.last_id = 0
        self.last_ids = dict.fromkeys(self.symbols, 0)
        self.ways: dict[int, list[DepthEvent]] = {}
        self.since: dict[int, int] = {}

    def subscribe(self, connection: int) -> None:
        """The note may come before or after the subscription takes effect."""
        noted_first = self.chance.random() < 0.5
        if noted_first:
            self.merge.add_connection(connection, self.symbols)
            self.run([self.happen, self.deliver])
        self.ways[connection], self.since[connection] = [], self.last_id
        if not noted_first:
            self.run([self.happen])
            self.merge.add_connection(connection, self.symbols)

    def happen(self) -> None:
        """One counter serves all symbols: the last id of each event says when it happened."""
        self.happen_to(self.chance.choice(self.symbols))

    def happen_to(self, symbol: str) -> None:
        self.last_id += 1
        happened = event(self.last_ids[symbol] + 1, self.last_id, symbol=symbol)
        self.last_ids[symbol] = self.last_id
        for way in self.ways.values():
            way.append(happened)

    def deliver(self) -> None:
        if any(self.ways.values()):
            connection = self.chance.choice([number for number, way in self.ways.items() if way])
            message = self.ways[connection].pop(0)
            self.merge.feeds[message.symbol].accept(connection, message, 0)

    def run(self, steps: list[Callable[[], None]]) -> None:
        for _ in range(self.chance.randint(0, 8)):
            self.chance.choice(steps)()


@given(RANDOMS)
def test_closing_a_covered_connection_never_costs_an_event(chance: Random) -> None:
    """Once it may close, every event still on its way on it also reached the new connection."""
    rollover = Rollover(chance)
    rollover.subscribe(1)
    known = rollover.last_id
    for feed in rollover.merge.feeds.values():
        feed.advance_to(known)
    rollover.run([rollover.happen, rollover.deliver])
    rollover.subscribe(2)
    for _ in range(chance.randint(0, 40)):
        chance.choice([rollover.happen, rollover.deliver, rollover.deliver])()
        if rollover.merge.covers(1, 2):
            missed = range(known + 1, rollover.since[2] + 1)
            assert not [message for message in rollover.ways[1] if message.last_id in missed]
    for symbol in rollover.symbols:
        rollover.happen_to(symbol)
    while any(rollover.ways.values()):
        rollover.deliver()
    assert rollover.merge.covers(1, 2), "never relieved"
