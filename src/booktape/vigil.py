"""Who is silent and should not be? A quiet market is not an alarm.

Pure: it is shown the lanes of all symbols from time to time, and names the connections that should
be replaced. Two witnesses speak against a silence: another connection that goes on delivering the
symbol, and, where there is no other, the symbol's own history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from booktape.core.merge import Lane

LOOK_EVERY_S: Final = 2.0

LAG_S: Final = 10.0
"""So long a connection may be behind another one on a symbol."""

EXPECTED_LOOKS: Final = 15.0
"""A symbol is too quiet when so many looks should have seen it move and none did. By chance that
happens once in some three million times (e^-15)."""

_MEMORY: Final = 0.02  # weight of one look: the habit of a symbol forms over some hundred seconds


@dataclass(slots=True)
class _Habit:
    """How often a look finds that a symbol has moved, and how many looks it has not."""

    passed: int | None = None
    moves: float = 0.0
    still: int = 0

    def look(self, passed: int | None) -> bool:
        """Whether the symbol is too quiet by its own history. Said once for each silence."""
        moved = passed != self.passed
        self.passed = passed
        expected = self.moves * (self.still + 1)
        self.still = 0 if moved else self.still + 1
        if not moved and expected >= EXPECTED_LOOKS:
            self.moves = 0.0
            return True
        # A habit is learnt from moves and unlearnt from pauses, but not from the silence in doubt.
        if moved or self.moves < _MEMORY:
            self.moves += _MEMORY * (moved - self.moves)
        return False


@dataclass(slots=True)
class _Lag:
    """A connection is behind `passed`; since `moved_s` the others have gone on."""

    passed: int
    moved_s: float | None = None


class Vigil:
    """Remembers what it saw at its last looks."""

    def __init__(self) -> None:
        self._habits: dict[str, _Habit] = {}
        self._lags: dict[tuple[str, int], _Lag] = {}

    def look(self, lanes: Mapping[str, Lane], now_s: float) -> Iterator[tuple[int, str]]:
        """Connections to replace, each with the reason. `now_s` is steady time."""
        for symbol, lane in lanes.items():
            for connection in lane.reached:
                if self._lags_behind(symbol, connection, lane, now_s):
                    yield connection, f"{symbol} is silent on it, and not elsewhere"
            habit = self._habits.setdefault(symbol, _Habit())
            if lane.reached and habit.look(lane.passed):
                for connection in lane.reached:
                    yield connection, f"{symbol} is silent, which is not its habit"

    def _lags_behind(self, symbol: str, connection: int, lane: Lane, now_s: float) -> bool:
        key = symbol, connection
        reached, passed = lane.reached[connection], lane.passed
        if passed is None or (reached is not None and reached >= passed):
            self._lags.pop(key, None)
            return False
        lag = self._lags.get(key)
        if lag is None or (reached is not None and reached >= lag.passed):
            self._lags[key] = _Lag(passed)
            return False
        if lag.moved_s is None:
            lag.moved_s = now_s if passed > lag.passed else None
        elif now_s - lag.moved_s >= LAG_S:
            del self._lags[key]
            return True
        return False
