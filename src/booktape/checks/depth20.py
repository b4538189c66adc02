"""Compares the book with `@depth20`: the best 20 levels of each side as of the same id.

Its `lastUpdateId` is the last id of some depth event, and its levels are the top of the book after that
event. The message usually arrives just before that event, so it waits.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from booktape.checks.compare import Comparison, differences_of, known_sides
from booktape.core.checks import Difference, TopLevels
from booktape.core.sync import SymbolSync

WAITING_MAX: Final = 100
"""How many messages of one symbol may wait for their event."""

LEVELS: Final = 20
"""Levels a side in each message; fewer only if the side has no more."""


class Depth20Check:
    """The messages of one symbol that could not be compared yet. Each shows `levels` a side."""

    def __init__(self, levels: int) -> None:
        self.waiting: deque[TopLevels] = deque(maxlen=WAITING_MAX)
        self._newest_id = self._agreed_id = -1
        self._levels = levels

    def reset(self) -> None:
        """The book is not known, or a new segment begins."""
        self.waiting.clear()
        self._newest_id = self._agreed_id = -1

    def confirms(self, top: TopLevels, sync: SymbolSync) -> bool:
        """Whether this message has the book's own id, and a message with that id was compared and agreed."""
        return top.last_id == sync.update_id == self._agreed_id

    def on_levels(self, top: TopLevels, sync: SymbolSync) -> Comparison | None:
        """Another message. It is not compared if it is a copy, or shows an older state of the book."""
        if top.last_id < sync.update_id or top.last_id <= self._newest_id:
            return None
        self._newest_id = top.last_id
        if top.last_id == sync.update_id:
            return self._compare(top, sync)
        self.waiting.append(top)
        return None

    def on_applied(self, sync: SymbolSync) -> Comparison | None:
        """One event has changed the book."""
        while self.waiting and self.waiting[0].last_id <= sync.update_id:
            top = self.waiting.popleft()
            if top.last_id == sync.update_id:
                return self._compare(top, sync)
        return None

    def _compare(self, top: TopLevels, sync: SymbolSync) -> Comparison:
        """Compare the best levels of both, up to the book's horizon."""
        levels = 0
        differences: list[Difference] = []
        sides = known_sides(sync.book, self._levels)
        for side, shown in zip(sides, (top.bids, top.asks), strict=True):
            if shown == side.levels and side.knows_all_of_its_levels():
                levels += len(shown)  # the usual case
                continue
            mine, theirs = side.known_of(side.levels), side.known_of(shown)
            levels += len(mine.keys() | theirs.keys())
            differences += differences_of(side.name, mine, theirs)
        if not differences:
            self._agreed_id = sync.update_id
        return Comparison(sync.update_id, levels, tuple(differences))
