"""The order of one symbol's events, when several connections deliver them.

The first copy of an event is released. An event with a hole before it waits while some connection may still
fill the hole: one that has delivered nothing beyond it. Events wait in a plain list, sorted whenever one
arrives.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from booktape.verify.model.decode import Event

_BUFFERED_MAX: Final = 1_000


class ArrivedEvent(NamedTuple):
    """An event and when it arrived. `inherited`: it is known from a checkpoint, not from this tape."""

    stamp_ns: int
    event: Event
    inherited: bool = False


class ModelArbiter:
    """`last_released` is None when the next event may begin anywhere.

    No event waits for the `silent` connections; the caller changes this set. `newest_id` and `newest_us` are
    the last id and the newest `E` of the released events, both 0 when there are none. `held_ns` is for how
    long the first hole has been waited for, in tape time as of the last tick; None when no tick has seen an
    event wait.
    """

    def __init__(self, silent: AbstractSet[int] = frozenset()) -> None:
        self.last_released: int | None = None
        self.last_by_connection: dict[int, int | None] = {}
        self.buffered: list[ArrivedEvent] = []
        self.newest_id = self.newest_us = 0
        self.held_ns: int | None = None
        self._silent = silent

    def add_connection(self, connection: int) -> None:
        """A connection carries the symbol from now on."""
        if connection not in self.last_by_connection:
            self.last_by_connection[connection] = None

    def accept(self, connection: int, arrived: ArrivedEvent) -> list[ArrivedEvent]:
        """An event arrived. Returns the events released now, in order."""
        self.last_by_connection[connection] = arrived.event.last
        self.buffered.append(arrived)
        # Sorting is stable: of two with the same first id, the one that arrived first comes first.
        self.buffered.sort(key=lambda waiting: waiting.event.first)
        return self.release()

    def advance_to(self, last: int) -> list[ArrivedEvent]:
        """A snapshot holds everything up to `last`. Returns the events released now."""
        self.last_released = last if self.last_released is None else max(self.last_released, last)
        return self.release()

    def release_next(self) -> list[ArrivedEvent]:
        """Stop waiting for what is missing before the first event that waits."""
        if self.buffered:
            self.last_released = self.buffered[0].event.first - 1
        return self.release()

    def drop_connection(self, connection: int) -> list[ArrivedEvent]:
        """A connection is lost, and with it what only it could have delivered."""
        self.last_by_connection.pop(connection, None)
        due = self.release()
        if not self.last_by_connection:
            self.last_released = None
            self.newest_id = self.newest_us = 0
        return due

    def reset(self) -> None:
        """The exchange counts from lower ids again: all ids are forgotten, and events that wait are dropped."""
        self.last_released = None
        self.newest_id = self.newest_us = 0
        self.last_by_connection = dict.fromkeys(self.last_by_connection)
        self.buffered, self.held_ns = [], None

    def release_after_reset(self, first: ArrivedEvent, second: ArrivedEvent) -> list[ArrivedEvent]:
        """After a reset, begin with these two events."""
        self.buffered = [first, second]
        return self.release()

    def release(self) -> list[ArrivedEvent]:
        """The events released now, in order."""
        due = list(self._released())
        if not self.buffered:
            self.held_ns = None
        return due

    def _released(self) -> Iterator[ArrivedEvent]:
        while self.buffered:
            first = self.buffered[0].event
            known = self.last_released is not None and first.last <= self.last_released
            if not known and self._is_waited_for(first.first):
                return
            arrived = self.buffered.pop(0)
            if not known:
                self.last_released = self.newest_id = first.last
                self.newest_us = max(self.newest_us, first.time_us)
                yield arrived

    def _is_waited_for(self, first: int) -> bool:
        """Whether ids before `first` are missing, and some connection has not come past them."""
        if (
            self.last_released is None
            or self.last_released + 1 >= first
            or len(self.buffered) > _BUFFERED_MAX
        ):
            return False
        return any(
            connection not in self._silent and (at is None or at + 1 < first)
            for connection, at in self.last_by_connection.items()
        )
