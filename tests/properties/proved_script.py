"""A script in which everything is said twice: by the events, and by witnesses of the same market.

Partial books and tickers come on each connection, as the real exchange sends them: each stream in
order and without a hole, a ticker perhaps after the event that contains it. Snapshots are asked
for and answered early, late, ahead of the book, behind it, inside an event, cut off. No message is wrong,
so no witness may ever differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Final

import pytest

from booktape.checks import book_checks
from booktape.core.checks import BookTicker, TopLevels
from booktape.core.tape_records import SnapshotRequested
from properties.any_script import Script, Sent, Step
from properties.market import Market
from support.oracle import combined, doubles

LEVELS: Final = 2
"""Instead of 20, because the markets here have six prices a side."""


class ProvedScript(Script):
    """Witnesses travel with the events; requests leave before they are answered."""

    def __init__(self, chance: Random, every: int) -> None:
        super().__init__(chance, every, audit_s=chance.choice([9, 9, 0]))
        self.limits = chance.choice([[5, 3, 5000], [1, 2, 3], [1]])
        self.left: set[str] = set()

    def tell_of(self, symbol: str, connections: Iterable[int]) -> None:
        """An event may be lost, but a witness's message never is: its streams have no holes."""
        market, number = self.markets[symbol], self.happened + 1
        before = market.last_id
        lengths = {connection: len(queue) for connection, queue in self.queues.items()}
        super().tell_of(symbol, connections)
        words = [combined(ticker) for ticker in tickers(market, before)]
        # Nothing forbids a partial book of an id inside an event.
        seen_id = self.chance.choice([*[market.last_id] * 4, before + 1])
        words.insert(self.chance.randint(0, len(words)), combined(top(market, seen_id)))
        for connection, length in lengths.items():
            queue = self.queues[connection]
            spoken = [Sent(number, symbol, market.last_id, word, is_witness=True) for word in words]
            # Most come just before their event.
            at = max(len(words) - self.chance.choice([0, 0, 0, 1, 2]), 0)
            queue[length:] = [*spoken[:at], *queue[length:], *spoken[at:]]

    def deliver_from(self, connection: int, *, keep: bool, garbled: bool) -> None:
        """Messages of witnesses are never garbled or dropped."""
        garbled = garbled and not self.queues[connection][0].is_witness
        super().deliver_from(connection, keep=keep, garbled=garbled)

    def drop(self) -> None:
        if self.queues:
            queue = self.queues[self.chance.choice(list(self.queues))]
            for message in [message for message in queue if not message.is_witness][
                : self.chance.randint(0, 2)
            ]:
                queue.remove(message)

    def answer(self, *, age: int = 0) -> None:
        """The request is sent first, and anything may happen before its answer comes."""
        if not self.requests:
            return
        symbol = self.requests[0]
        if symbol in self.left:
            self.left.remove(symbol)
            super().answer(age=age)
        else:
            self.left.add(symbol)
            self.feed(SnapshotRequested(self.tick(), symbol, 5))

    def answer_unreadably(self) -> None:
        self.left.difference_update(self.requests[:1])
        super().answer_unreadably()

    def ask_unasked(self) -> None:
        """A request without a cause, so that there are more audits."""
        symbol = self.chance.choice(list(self.markets))
        if symbol not in self.requests:
            self.requests.append(symbol)

    def restart(self) -> None:
        self.left = set()
        super().restart()

    def settle(self) -> None:
        """In the end answers are whole: one that is cut off is always requested again."""
        self.limits = [5000]
        super().settle()


def touch(market: Market, update_id: int) -> tuple[tuple[float, float] | None, ...]:
    """The best level of each side after this id."""
    bids, asks = market.at(update_id)
    best = doubles(bids, best_is_highest=True)[:1], doubles(asks, best_is_highest=False)[:1]
    return tuple(side[0] if side else None for side in best)


def tickers(market: Market, before: int) -> list[BookTicker]:
    """A ticker for each id after `before` that changed the touch."""
    return [
        BookTicker(market.symbol, n, *touch(market, n))
        for n in range(before + 1, market.last_id + 1)
        if touch(market, n) != touch(market, n - 1)
    ]


def top(market: Market, update_id: int) -> TopLevels:
    """The best levels of each side after this id."""
    bids, asks = market.at(update_id)
    sides = doubles(bids, best_is_highest=True), doubles(asks, best_is_highest=False)
    return TopLevels(market.symbol, update_id, *(side[:LEVELS] for side in sides))


STEPS: Final[tuple[Step, ...]] = (
    *[ProvedScript.deliver] * 24,
    *[ProvedScript.happen] * 4,
    *[ProvedScript.answer] * 4,
    *[ProvedScript.connect] * 2,
)
TROUBLES: Final[tuple[Step, ...]] = (
    ProvedScript.ask_unasked,
    ProvedScript.answer_late,
    ProvedScript.answer_unreadably,
    ProvedScript.bring_unasked,
    ProvedScript.happen_unheard,
    ProvedScript.drop,
    ProvedScript.repeat,
    ProvedScript.garble,
    ProvedScript.cut,
    ProvedScript.renew,
    ProvedScript.expire,
    ProvedScript.rotate,
    ProvedScript.restart,
)


def play_proved(chance: Random) -> ProvedScript:
    """One such script. Raises `ledger.Violation` when a promise is broken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book_checks, "LEVELS", LEVELS)
        patch.setattr(book_checks, "NARROW_CHECK_EVENTS", 3)
        patch.setattr(book_checks, "SPACING_NS", 2 * 10**9)
        script = ProvedScript(chance, every=chance.choice([1, 2, 3]))
        script.connect()
        troubles = chance.sample(TROUBLES, chance.randint(1, 5))
        for _ in range(chance.randint(20, 300)):
            chance.choice((*STEPS, *troubles, *troubles))(script)
        script.settle()
        for symbol, market in script.markets.items():
            script.ledger.close(script.machine.syncs[symbol], market.last_id)
    return script
