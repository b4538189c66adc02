"""The book against `@depth20`: the same levels as of the same id, or not.

Its `lastUpdateId` is some depth event's last id, and its levels are the top of the book after that
event. It mostly comes just before that event, so it waits for it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from booktape.checks.compare import Comparison, differences_of, known_sides
from booktape.core.checks import Difference, TopLevels
from booktape.core.sync import SymbolSync

WAITING_MAX: Final = 100
LEVELS: Final = 20
"""As many a side as the stream shows; fewer only where the side has no more."""


class Depth20Check:
    """What it said of one symbol that could not be compared yet; it shows `levels` a side."""

    def __init__(self, levels: int) -> None:
        self.waiting: deque[TopLevels] = deque(maxlen=WAITING_MAX)
        self._newest_id = self._agreed_id = -1
        self._levels = levels

    def reset(self) -> None:
        """The book is not known, or a new segment begins."""
        self.waiting.clear()
        self._newest_id = self._agreed_id = -1

    def confirms(self, top: TopLevels, sync: SymbolSync) -> bool:
        """Whether it shows the book as of the book's own id, by what was compared already."""
        return top.last_id == sync.update_id == self._agreed_id

    def on_levels(self, top: TopLevels, sync: SymbolSync) -> Comparison | None:
        """One more statement. A copy, or one of a state that has passed, says nothing."""
        if top.last_id < sync.update_id or top.last_id <= self._newest_id:
            return None
        self._newest_id = top.last_id
        if top.last_id == sync.update_id:
            return self._compare(top, sync)
        self.waiting.append(top)
        return None

    def on_applied(self, sync: SymbolSync) -> Comparison | None:
        """The book is one event further."""
        while self.waiting and self.waiting[0].last_id <= sync.update_id:
            top = self.waiting.popleft()
            if top.last_id == sync.update_id:
                return self._compare(top, sync)
        return None

    def _compare(self, top: TopLevels, sync: SymbolSync) -> Comparison:
        """The first levels of both, as far as the book claims to be complete."""
        levels = 0
        differences: list[Difference] = []
        sides = known_sides(sync.book, self._levels)
        for book, said in zip(sides, (top.bids, top.asks), strict=True):
            if said == book.levels and book.knows_all_of_its_levels():
                levels += len(said)  # nearly always so
                continue
            mine, theirs = book.known_of(book.levels), book.known_of(said)
            levels += len(mine.keys() | theirs.keys())
            differences += differences_of(book.name, mine, theirs)
        if not differences:
            self._agreed_id = sync.update_id
        return Comparison(sync.update_id, levels, tuple(differences))
