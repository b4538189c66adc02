"""A small true market, and a script of all that can go wrong on the way from it to a recorder.

Chance is an argument: a hypothesis test passes one that it can shrink, the tests of loosened rules
pass `random.Random(seed)`, so that a script that shows a fault has a name. The script never lies:
frames are dropped, repeated, swapped, garbled, late, but what arrives whole is true.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from random import Random
from typing import Final, TypeAlias

import msgspec
import pytest

from booktape.core import sync
from booktape.core.events import FetchSnapshot
from booktape.core.frames import (
    KILLED,
    STOPPED,
    Checkpoint,
    Connected,
    Disconnected,
    Frame,
    RestFrame,
    SegmentEnd,
    SegmentStart,
    StreamFrame,
)
from booktape.core.sync import TABLE, Rule, SymbolSync, index
from booktape.reconstruct import Reconstruction
from oracle import SECOND, Side, change
from properties.ledger import Ledger

SYMBOLS: Final = ("BTCUSDT", "ETHBTC")
HELD_MAX: Final = 3
"""In place of 3,000, or no script would ever be long enough to fill it."""


class Market:
    """One symbol's true history: the book at every update id."""

    def __init__(self, chance: Random, symbol: str) -> None:
        self.symbol = symbol
        self.first_id = self.last_id = chance.randint(1, 20)
        bids, asks = (self._some_levels(chance, around) for around in (100, 105))
        self.books: list[tuple[Side, Side]] = [(bids, asks)]

    @staticmethod
    def _some_levels(chance: Random, around: int) -> Side:
        side: Side = {}
        change(side, [[f"{around + n}.10", "1"] for n in range(chance.randint(0, 5))])
        return side

    def at(self, update_id: int) -> tuple[Side, Side]:
        """Both sides as they were once `update_id` had happened."""
        assert self.first_id <= update_id <= self.last_id
        return self.books[update_id - self.first_id]

    def happen(self, chance: Random) -> bytes:
        """A few updates, told as one event."""
        first = self.last_id + 1
        told: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        for _ in range(chance.randint(1, 3)):
            bids, asks = (dict(side) for side in self.books[-1])
            name, side, around = chance.choice([("b", bids, 100), ("a", asks, 105)])
            price = f"{around + chance.randint(0, 6)}.10"
            told[name][price] = chance.choice(["0.00000000", "1.00000000", "0.30000000"])
            change(side, [[price, told[name][price]]])
            self.books.append((bids, asks))
            self.last_id += 1
        sides = {name: list(texts.items()) for name, texts in told.items()}
        event = {"e": "depthUpdate", "E": 1_700_000_000_000 + first, "s": self.symbol}
        return json.dumps({**event, "U": first, "u": self.last_id, **sides}).encode()

    def snapshot(self, update_id: int, limit: int) -> bytes:
        """A REST answer as of `update_id`, which may lie in the middle of an event."""
        bids, asks = self.at(update_id)
        body: dict[str, object] = {"lastUpdateId": update_id}
        for name, side, falling in (("bids", bids, True), ("asks", asks, False)):
            best_first = [side[price] for price in sorted(side, reverse=falling)][:limit]
            body[name] = [[str(level.price), str(level.size)] for level in best_first]
        return json.dumps(body).encode()


class Script:
    """One play: the market, up to two connections, the REST door, and the machine under test."""

    def __init__(self, chance: Random, every: int) -> None:
        self.chance = chance
        self.now = 0
        self.markets = {symbol: Market(chance, symbol) for symbol in SYMBOLS}
        self.queues: dict[int, list[bytes]] = {}
        self.requests: list[str] = []
        self.tape: list[Frame] = []
        self.machine = Reconstruction()
        self.ledger = Ledger({s: market.at for s, market in self.markets.items()}, every)
        self.opening = SegmentStart(0, "test", "sim", every, 5, SYMBOLS)
        self.feed(self.opening)

    def feed(self, frame: Frame) -> None:
        self.tape.append(frame)
        outputs = list(self.machine.feed(frame))
        asked = [output.symbol for output in outputs if isinstance(output, FetchSnapshot)]
        # As the REST door does: while an answer is awaited, nobody asks for another.
        self.requests += [symbol for symbol in asked if symbol not in self.requests]
        self.ledger.check(frame, outputs, self.machine)

    def tick(self) -> int:
        self.now += SECOND
        return self.now

    # ── what may happen ─────────────────────────────────────────────────────────────────────

    def happen(self) -> None:
        payload = self.markets[self.chance.choice(SYMBOLS)].happen(self.chance)
        for queue in self.queues.values():
            queue.append(payload)

    def deliver(self, *, keep: bool = False, garbled: bool = False) -> None:
        waiting = [connection for connection, queue in self.queues.items() if queue]
        if waiting:
            connection = self.chance.choice(waiting)
            queue = self.queues[connection]
            payload = queue[0] if keep else queue.pop(0)
            payload = payload[:-1] if garbled else payload
            self.feed(StreamFrame(self.tick(), connection, payload))

    def repeat(self) -> None:
        self.deliver(keep=True)

    def garble(self) -> None:
        self.deliver(garbled=True)

    def drop(self) -> None:
        for queue in self.queues.values():
            del queue[: self.chance.randint(0, 2)]

    def swap(self) -> None:
        for queue in self.queues.values():
            queue[:2] = reversed(queue[:2])

    def connect(self) -> None:
        down = [connection for connection in (0, 1) if connection not in self.queues]
        if down:
            self.queues[down[0]] = []
            self.feed(Connected(self.tick(), down[0], SYMBOLS))

    def cut(self) -> None:
        if self.queues:
            connection = self.chance.choice(list(self.queues))
            del self.queues[connection]
            alive_ns = self.now - self.chance.randint(0, 3) * SECOND
            self.feed(Disconnected(self.tick(), connection, alive_ns, "disconnected"))

    def answer(self, *, age: int = 0) -> None:
        if self.requests:
            self._bring(self.requests.pop(0), age)

    def answer_late(self) -> None:
        self.answer(age=self.chance.randint(0, 8))

    def bring_unasked(self) -> None:
        self._bring(self.chance.choice(SYMBOLS), self.chance.randint(0, 8))

    def answer_unreadably(self) -> None:
        if self.requests:
            self.feed(RestFrame(self.tick(), self.requests.pop(0), 5, b"<html>502</html>"))

    def _bring(self, symbol: str, age: int) -> None:
        market = self.markets[symbol]
        limit = self.chance.choice([5, 3, 5000])
        update_id = max(market.first_id, market.last_id - age)
        self.feed(RestFrame(self.tick(), symbol, limit, market.snapshot(update_id, limit)))

    def rotate(self) -> None:
        """A new segment: what was known goes through text, and another machine goes on."""
        old, self.machine = self.machine, Reconstruction()
        saved = msgspec.json.encode(old.checkpoints(self.now))
        said: list[Frame] = [self.opening, *msgspec.json.decode(saved, type=list[Checkpoint])]
        said += [Connected(self.now, number, held) for number, held in old.merge.open.items()]
        for frame in said:
            assert list(self.machine.feed(frame)) == []

    def restart(self) -> None:
        """The recorder ends, well or badly; another one begins, with no connection and no wish."""
        self.queues, self.requests = {}, []
        self.feed(SegmentEnd(self.tick(), self.chance.choice([STOPPED, KILLED])))
        self.rotate()

    def settle(self) -> None:
        """The world behaves at last, and tells one more event of each symbol."""
        self.connect()
        self._drain()
        for market in self.markets.values():
            payload = market.happen(self.chance)
            for queue in self.queues.values():
                queue.append(payload)
        self._drain()

    def _drain(self) -> None:
        while any(self.queues.values()) or self.requests:
            self.answer()
            if any(self.queues.values()):
                self.deliver()


Step: TypeAlias = Callable[[Script], None]

# Mostly the world works: what stands here more than once happens more often.
WORKING: Final[tuple[Step, ...]] = (
    *[Script.deliver] * 8,
    *[Script.happen] * 4,
    *[Script.connect] * 2,
)
TROUBLES: Final[tuple[Step, ...]] = (
    Script.answer_late,
    Script.answer_unreadably,
    Script.bring_unasked,
    Script.drop,
    Script.swap,
    Script.repeat,
    Script.garble,
    Script.cut,
    Script.rotate,
    Script.restart,
)


def play(chance: Random, rules: Iterable[Rule] = TABLE) -> Script:
    """One whole script under these rules. Raises `ledger.Violation` when a promise is broken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync, "HELD_MAX", HELD_MAX)
        patch.setattr(SymbolSync, "rules", index(rules))
        script = Script(chance, every=chance.choice([1, 2, 3]))
        script.connect()
        # Each script has its own few troubles: all at once would hide one another.
        troubles = chance.sample(TROUBLES, chance.randint(1, 4))
        answers = [Script.answer] * chance.choice([4, 2, 1])
        for _ in range(chance.randint(5, 160)):
            chance.choice((*WORKING, *answers, *troubles, *troubles))(script)
        script.settle()
        for symbol, market in script.markets.items():
            script.ledger.close(script.machine.syncs[symbol], market.last_id)
    return script
