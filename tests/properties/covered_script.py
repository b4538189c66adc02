"""A script in which connections fail and the whole does not: every event is delivered by one of them.

Each connection drops, garbles, lags, starts late, is cut; but nothing is ever dropped or cut unless another connection
has delivered it or will deliver it, and no wait runs out. So one epoch must be enough.
"""

from __future__ import annotations

from random import Random
from typing import Final

from booktape.core.events import BookLost, BookSynced, FetchSnapshot, GapInterval
from properties.any_script import SYMBOLS, Script, Step
from properties.ledger import promise


class CoveredScript(Script):
    """Before a connection loses something, another one delivers it."""

    def __init__(self, chance: Random, every: int) -> None:
        super().__init__(chance, every)
        self.brought: set[int] = set()

    def happen(self) -> None:
        """The event goes to all connections, or to all but some."""
        reached = [connection for connection in self.queues if self.chance.random() < 0.7]
        some = reached or self.chance.sample(list(self.queues), min(1, len(self.queues)))
        self.tell_of(self.chance.choice(SYMBOLS), some)

    def deliver(self, *, keep: bool = False, garbled: bool = False) -> None:
        waiting = [connection for connection, queue in self.queues.items() if queue]
        if not waiting:
            return
        connection = self.chance.choice(waiting)
        message = self.queues[connection][0]
        if garbled and not self.is_covered(message.number, without=connection):
            return
        if not garbled:
            self.brought.add(message.number)
        self.deliver_from(connection, keep=keep, garbled=garbled)

    def is_covered(self, number: int, without: int) -> bool:
        others = (queue for connection, queue in self.queues.items() if connection != without)
        on_its_way = {message.number for queue in others for message in queue}
        return number in self.brought | on_its_way

    def cut(self) -> None:
        connection = self.chance.choice(list(self.queues))
        if len(self.queues) > 1 and self.can_go(connection):
            self.close(connection)

    def can_go(self, connection: int) -> bool:
        return all(
            self.is_covered(message.number, connection) for message in self.queues[connection]
        )

    def may_close(self, old: int) -> bool:
        """The successor may have dropped an event, which cannot be known yet."""
        return self.can_go(old)


STEPS: Final[tuple[Step, ...]] = (
    *[CoveredScript.deliver] * 8,
    *[CoveredScript.happen] * 4,
    *[CoveredScript.answer] * 2,
    *[CoveredScript.renew] * 2,
    CoveredScript.connect,
    CoveredScript.cut,
    CoveredScript.repeat,
    CoveredScript.garble,
    CoveredScript.rotate,
)


def play_covered(chance: Random) -> Script:
    """One such script: no gap, one epoch, and no request once a book is known."""
    script = CoveredScript(chance, every=chance.choice([1, 2, 3]))
    for _ in range(chance.randint(1, 3)):
        script.connect()
    for _ in range(chance.randint(5, 160)):
        chance.choice(STEPS)(script)
    script.settle()
    known: set[str] = set()
    for output in script.outputs:
        if isinstance(output, BookSynced):
            known.add(output.symbol)
        promise(
            not isinstance(output, BookLost | GapInterval),
            "a gap, and everything had been brought",
        )
        asked = isinstance(output, FetchSnapshot) and output.symbol in known
        promise(not asked, "a request for a book that was never lost")
    for symbol, market in script.markets.items():
        script.ledger.close(script.machine.syncs[symbol], market.last_id)
    return script
