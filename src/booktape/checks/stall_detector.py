"""Who is silent and should not be? A quiet market is not an alarm.

Pure: it is shown the feed of each symbol from time to time, and names the connections that should
be replaced, once for each silence. Two witnesses speak against a silence: another connection that
goes on delivering the symbol, and, where there is no other, the symbol's own history.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from booktape.core.arbitration import SymbolFeed

LOOK_EVERY_S: Final = 2.0

LAG_S: Final = 10.0
"""So long a connection may be behind another one on a symbol."""

EXPECTED_LOOKS: Final = 15.0
"""A symbol is too quiet when so many looks should have seen it move and none did. By chance that
happens once in some three million times (e^-15)."""

_MEMORY: Final = 1 / 500  # weight of one look: what is older than half an hour hardly counts
_DOUBT: Final = 5.0  # looks that count as still ones before the first: a habit takes some time


@dataclass(slots=True)
class _ActivityBaseline:
    """How many of the past looks found that a symbol had moved; older ones weigh less."""

    passed: int | None = None
    looks: float = 0.0
    moves: float = 0.0
    still: int = 0

    def look(self, passed: int | None) -> bool:
        """Whether the symbol is too quiet by its own history."""
        if passed == self.passed:
            self.still += 1
            return self._is_broken()
        # Only now the pause is part of the habit: while it lasts it is in doubt.
        fade = (1 - _MEMORY) ** (self.still + 1)
        self.looks = self.looks * fade + (1 - fade) / _MEMORY
        self.moves = self.moves * fade + 1
        self.passed, self.still = passed, 0
        return False

    def _is_broken(self) -> bool:
        """Said once: a broken habit is forgotten, and another one forms."""
        # A few moves are no habit: what of them may be chance (two deviations) is taken off.
        surely = (self.moves - 2 * math.sqrt(self.moves)) / (self.looks + _DOUBT)
        broken = self.still * surely >= EXPECTED_LOOKS
        if broken:
            self.looks = self.moves = 0.0
        return broken


@dataclass(slots=True)
class _Lag:
    """How far a connection came on a symbol, and how far others were at a look at `since_s`."""

    came: int
    due: int
    since_s: float

    def look(self, feed: SymbolFeed, connection: int, now_s: float) -> bool:
        """Whether it is overdue."""
        self.came = max(self.came, feed.last_by_connection[connection] or 0)
        if self.came >= self.due:
            self.due, self.since_s = feed.last_released or 0, now_s
        overdue = now_s - self.since_s >= LAG_S
        if overdue:
            self.since_s = math.inf
        return overdue


@dataclass(slots=True)
class _Watch:
    """One symbol: its habit, and what each connection owes."""

    habit: _ActivityBaseline = field(default_factory=_ActivityBaseline)
    debts: dict[int, _Lag] = field(default_factory=dict)

    def look(self, symbol: str, feed: SymbolFeed, now_s: float) -> Iterator[tuple[int, str]]:
        # Nobody owes what was delivered before it came.
        new, passed = feed.last_by_connection.keys() - self.debts.keys(), feed.last_released or 0
        self.debts.update((connection, _Lag(passed, passed, now_s)) for connection in new)
        for connection in self.debts.keys() - feed.last_by_connection.keys():
            del self.debts[connection]
        for connection, debt in self.debts.items():
            if debt.look(feed, connection, now_s):
                yield connection, f"{symbol} is silent on it, and not elsewhere"
        if feed.last_by_connection and self.habit.look(feed.last_released):
            for connection in feed.last_by_connection:
                yield connection, f"{symbol} is silent, which is not its habit"


class StallDetector:
    """Remembers what it saw at its last looks."""

    def __init__(self) -> None:
        self._symbols: defaultdict[str, _Watch] = defaultdict(_Watch)

    def find_stalled(
        self, symbol: str, feed: SymbolFeed, now_s: float
    ) -> Iterator[tuple[int, str]]:
        """Connections to replace, each with the reason. `now_s` is steady time."""
        return self._symbols[symbol].look(symbol, feed, now_s)
