"""In which order the events of one symbol count, when several connections bring them.

The first copy of an event counts. One that runs ahead of what is missing waits while a connection
may still bring that: one that has delivered nothing beyond it. Events wait in a plain list, sorted
whenever one comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from booktape.verify.payload import Event

_WAITING_MAX: Final = 1_000


class Arrived(NamedTuple):
    """An event and when it arrived. `inherited`: only a checkpoint says so, not this tape."""

    stamp_ns: int
    event: Event
    inherited: bool = False


class Arrivals:
    """`counted` is the last id that counted, None when the next event may begin anywhere."""

    def __init__(self) -> None:
        self.counted: int | None = None
        self.reached: dict[int, int | None] = {}
        self.waiting: list[Arrived] = []

    def open(self, connection: int) -> None:
        """A connection carries the symbol from now on."""
        if connection not in self.reached:
            self.reached[connection] = None

    def bring(self, connection: int, arrived: Arrived) -> list[Arrived]:
        """An event came; what is its turn now, in order."""
        self.reached[connection] = arrived.event.last
        self.waiting.append(arrived)
        # Sorting is stable: of two that begin alike, the one that came first counts first.
        self.waiting.sort(key=lambda waiting: waiting.event.first)
        return list(self._due())

    def show(self, last: int) -> list[Arrived]:
        """A snapshot showed all up to `last`; what is due now."""
        self.counted = last if self.counted is None else max(self.counted, last)
        return list(self._due())

    def give_up(self) -> list[Arrived]:
        """What is missing before the first one that waits will not be waited for."""
        if self.waiting:
            self.counted = self.waiting[0].event.first - 1
        return list(self._due())

    def close(self, connection: int) -> list[Arrived]:
        """A connection is gone; what only it could have brought does not come."""
        self.reached.pop(connection, None)
        due = list(self._due())
        if not self.reached:
            self.counted = None
        return due

    def _due(self) -> Iterator[Arrived]:
        while self.waiting:
            first = self.waiting[0].event
            known = self.counted is not None and first.last <= self.counted
            if not known and self._may_be_completed(first.first):
                return
            arrived = self.waiting.pop(0)
            if not known:
                self.counted = first.last
                yield arrived

    def _may_be_completed(self, first: int) -> bool:
        """Whether ids before `first` are missing, and some connection has not come past them."""
        if self.counted is None or self.counted + 1 >= first or len(self.waiting) > _WAITING_MAX:
            return False
        return not all(at is not None and at + 1 >= first for at in self.reached.values())
