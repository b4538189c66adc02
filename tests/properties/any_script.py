"""A script of everything that can go wrong between a true market and a recorder.

Chance is an argument: a hypothesis test passes one that it can shrink, the tests of loosened rules
pass `random.Random(seed)`, so that a script that shows a fault has a name. The script never lies:
frames are dropped, repeated, swapped, garbled, late, but what arrives whole is true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import pytest

from booktape.core import arbitration, sync
from booktape.core.events import FetchSnapshot
from booktape.core.gap_reasons import KILLED, STOPPED
from booktape.core.sync import TABLE, Rule, State, SymbolSync, index
from booktape.core.tape_records import (
    ROTATED,
    Checkpoint,
    Connected,
    DepthAnswer,
    Disconnected,
    HoldExpired,
    SegmentEnd,
    SegmentStart,
    StreamMessage,
    TapeRecord,
    Tick,
)
from booktape.reconstruct import Output, Reconstruction
from properties.ledger import Ledger, promise
from properties.market import Market
from support.oracle import SECOND

SYMBOLS: Final = ("BTCUSDT", "ETHBTC")
HELD_MAX: Final = 3
BUFFERED_MAX: Final = 5
"""Instead of 3,000 and 1,000, because no script would ever be long enough to reach those."""


class Sent(NamedTuple):
    """One event on its way: its number in the order in which events happened, and its bytes; or a witness of it."""

    number: int
    symbol: str
    last_id: int
    payload: bytes
    is_witness: bool = False


class Script:
    """One play: the markets, up to three connections, REST, and the function under test."""

    def __init__(self, chance: Random, every: int, audit_s: float = 0) -> None:
        self.chance = chance
        self.now = 0
        self.markets = {symbol: Market(chance, symbol) for symbol in SYMBOLS}
        self.happened = 0
        self.opened = 0
        self.queues: dict[int, list[Sent]] = {}
        self.since: dict[int, int] = {}
        self.relief: tuple[int, int] | None = None
        self.in_order = True
        self.requests: list[str] = []
        self.limits = [5, 3, 5000]
        self.tape: list[TapeRecord] = []
        self.outputs: list[Output] = []
        self.machine = Reconstruction()
        self.opening = SegmentStart(0, "test", "sim", every, 5, SYMBOLS, audit_s=audit_s)
        # Most tapes have the current format.
        self.opening = replace(self.opening, format=chance.choice([2, 2, 2, 1]))
        truths = {symbol: market.at for symbol, market in self.markets.items()}
        self.ledger = Ledger(truths, every, has_ticks=self.opening.format != 1)
        self.feed(self.opening)

    def feed(self, frame: TapeRecord) -> None:
        self.tape.append(frame)
        outputs = list(self.machine.apply(frame))
        asked = [output.symbol for output in outputs if isinstance(output, FetchSnapshot)]
        # As the REST client does: while an answer is awaited, no other is requested.
        self.requests += [symbol for symbol in asked if symbol not in self.requests]
        self.outputs += outputs
        self.ledger.check(frame, outputs, self.machine)

    def tick(self) -> int:
        self.now += SECOND
        return self.now

    # ── what may happen ─────────────────────────────────────────────────────────────────────

    def happen(self) -> None:
        self.tell_of(self.chance.choice(SYMBOLS), list(self.queues))

    def happen_unheard(self) -> None:
        """No connection delivers this one, for whatever reason."""
        self.tell_of(self.chance.choice(SYMBOLS), [])

    def tell_of(self, symbol: str, connections: Iterable[int]) -> None:
        market = self.markets[symbol]
        payload = market.happen(self.chance, self.now)
        self.happened += 1
        for connection in connections:
            message = Sent(self.happened, symbol, market.last_id, payload)
            self.queues[connection].append(message)

    def deliver(self, *, keep: bool = False, garbled: bool = False) -> None:
        waiting = [connection for connection, queue in self.queues.items() if queue]
        if waiting:
            self.deliver_from(self.chance.choice(waiting), keep=keep, garbled=garbled)

    def deliver_from(self, connection: int, *, keep: bool, garbled: bool) -> None:
        queue = self.queues[connection]
        payload = (queue[0] if keep else queue.pop(0)).payload
        payload = payload[:-1] if garbled else payload
        self.feed(StreamMessage(self.tick(), connection, payload))

    def repeat(self) -> None:
        self.deliver(keep=True)

    def garble(self) -> None:
        self.deliver(garbled=True)

    def drop(self) -> None:
        if self.queues:
            queue = self.queues[self.chance.choice(list(self.queues))]
            del queue[: self.chance.randint(0, 2)]

    def swap(self) -> None:
        self.in_order = False
        for queue in self.queues.values():
            queue[:2] = reversed(queue[:2])

    def connect(self) -> None:
        if len(self.queues) < 3:
            self.open()

    def open(self) -> int:
        """The subscription may take effect a little before or after the note that the connection is open."""
        self.opened += 1
        number, early = self.opened, self.chance.random() < 0.5
        if early:
            self.queues[number], self.since[number] = [], self.happened
        if self.chance.random() < 0.2:
            self.happen()
        self.feed(Connected(self.tick(), number, SYMBOLS))
        if not early:
            if self.chance.random() < 0.2:
                self.happen()
            self.queues[number], self.since[number] = [], self.happened
        return number

    def cut(self) -> None:
        if self.queues:
            self.close(self.chance.choice(list(self.queues)))

    def close(self, connection: int) -> None:
        del self.queues[connection]
        alive_ns = self.now - self.chance.randint(0, 3) * SECOND
        self.feed(Disconnected(self.tick(), connection, alive_ns, "disconnected"))

    def renew(self) -> None:
        """Make before break: open a successor, and close the old one when it may go."""
        if self.relief and self.relief[0] in self.queues and self.relief[1] in self.queues:
            old, new = self.relief
            if self.machine.arbiter.covers(old, new):
                self.check_relief(old, new)
                if self.may_close(old):
                    self.relief = None
                    self.close(old)
        elif self.queues:
            old = self.chance.choice(list(self.queues))
            self.relief = (old, self.open())

    def may_close(self, _: int) -> bool:
        """Whether other connections also bring the events on their way does not matter here."""
        return True

    def check_relief(self, old: int, new: int) -> None:
        """Events still on their way on the old connection are not needed, or also go to the new one."""
        for message in self.queues[old]:
            machine = self.machine.syncs[message.symbol]
            is_new = message.last_id > machine.update_id and not message.is_witness
            needed = machine.state is State.LIVE and is_new
            covered = message.number > self.since[new] or not self.in_order
            promise(covered or not needed, "relieved too early")

    def waiting(self) -> list[str]:
        """The symbols of which an event runs ahead."""
        return [symbol for symbol, feed in self.machine.arbiter.feeds.items() if feed.buffered]

    def expire(self) -> None:
        """A tick: some seconds have passed; or one event has waited long enough."""
        if self.opening.format != 1:
            for _ in range(self.chance.randint(1, 3)):
                self.feed(Tick(self.tick(), self.chance.randint(1, 3) * SECOND))
        elif self.waiting():
            self.feed(HoldExpired(self.tick(), self.chance.choice(self.waiting())))

    def answer(self, *, age: int = 0) -> None:
        if self.requests:
            self._bring(self.requests.pop(0), age)

    def answer_late(self) -> None:
        self.answer(age=self.chance.randint(0, 8))

    def bring_unasked(self) -> None:
        self._bring(self.chance.choice(SYMBOLS), self.chance.randint(0, 8))

    def answer_unreadably(self) -> None:
        if self.requests:
            self.feed(DepthAnswer(self.tick(), self.requests.pop(0), 5, b"<html>502</html>"))

    def _bring(self, symbol: str, age: int) -> None:
        market = self.markets[symbol]
        limit = self.chance.choice(self.limits)
        update_id = max(market.first_id, market.last_id - age)
        self.feed(DepthAnswer(self.tick(), symbol, limit, market.snapshot(update_id, limit)))

    def rotate(self) -> None:
        """A new segment: what was known is written as text and read back, and another machine continues."""
        self.feed(SegmentEnd(self.now, ROTATED))
        self.go_on()

    def go_on(self) -> None:
        old, self.machine = self.machine, Reconstruction()
        saved = msgspec.json.encode(list(old.checkpoints(self.now)))
        records: list[TapeRecord] = [
            self.opening,
            *msgspec.json.decode(saved, type=list[Checkpoint]),
        ]
        records += [
            Connected(self.now, number, held) for number, held in old.arbiter.connections.items()
        ]
        for frame in records:
            assert list(self.machine.apply(frame)) == []

    def restart(self) -> None:
        """The recorder ends, well or badly; another one begins, with no connection and no pending request."""
        self.queues, self.requests = {}, []
        self.feed(SegmentEnd(self.tick(), self.chance.choice([STOPPED, KILLED])))
        self.go_on()

    def settle(self) -> None:
        """At last everything works, and each symbol has one more event."""
        self.connect()
        self._drain()
        for symbol in SYMBOLS:
            self.tell_of(symbol, list(self.queues))
        self._drain()
        while self.waiting() or self.requests:
            if self.waiting():
                self.expire()
            self.answer()

    def _drain(self) -> None:
        while any(self.queues.values()) or self.requests:
            self.answer()
            self.deliver()


# Any: a step of a script, or of a kind of script.
Step: TypeAlias = Callable[[Any], None]

# The world mostly works: a step that is listed several times happens more often.
WORKING: Final[tuple[Step, ...]] = (
    *[Script.deliver] * 8,
    *[Script.happen] * 4,
    *[Script.connect] * 2,
)
TROUBLES: Final[tuple[Step, ...]] = (
    Script.answer_late,
    Script.answer_unreadably,
    Script.bring_unasked,
    Script.happen_unheard,
    Script.drop,
    Script.swap,
    Script.repeat,
    Script.garble,
    Script.cut,
    Script.renew,
    Script.expire,
    Script.rotate,
    Script.restart,
)


def play(chance: Random, rules: Iterable[Rule] = TABLE) -> Script:
    """One whole script under these rules. Raises `ledger.Violation` when a promise is broken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync, "HELD_MAX", HELD_MAX)
        patch.setattr(arbitration, "BUFFERED_MAX", BUFFERED_MAX)
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
