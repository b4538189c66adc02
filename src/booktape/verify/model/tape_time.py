"""What the ticks of a tape say: how much time passed, how late events are, who has fallen silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SECOND_NS: Final = 10**9
PAUSE_NS: Final = 3 * SECOND_NS
"""A tick that comes so late tells of a pause of the recorder."""

_TICK_MAX_NS: Final = 2 * SECOND_NS
_LAG_TICKS: Final = 60
_AFTER_STEP_TICKS: Final = 2
_BUSY_TICKS: Final = 30
_SILENT_NS: Final = 5 * SECOND_NS


def tape_time(elapsed_ns: int) -> int:
    """By how much a tick moves tape time: of what passed unseen, little counts."""
    return min(elapsed_ns, _TICK_MAX_NS)


class ModelUsualLag:
    """The smallest lag of an event at the last ticks: how late events are when nothing delays them.

    `messages_waited` since a tick that came late, or before which every event was late: until the next
    tick, frames may have waited in the socket.
    """

    def __init__(self) -> None:
        self._samples: list[tuple[int, int]] = []  # each with the ticks for which it still counts
        self._stepped = False
        self.messages_waited = False

    @property
    def usual_ns(self) -> int | None:
        """None when no tick has seen one."""
        return min((lag_ns for lag_ns, _ in self._samples), default=None)

    def tick(self, elapsed_ns: int, lag_ns: int | None) -> None:
        """The time and the smallest lag since the tick before."""
        usual_ns = self.usual_ns
        is_late = lag_ns is not None and usual_ns is not None and lag_ns > usual_ns + SECOND_NS
        self.messages_waited = elapsed_ns >= PAUSE_NS or is_late
        self._samples = [(lag, left - 1) for lag, left in self._samples if left > 1]
        if lag_ns is not None:
            # The first one after a step may be of before it, and falls away with all of those.
            self._samples.append((lag_ns, _AFTER_STEP_TICKS - 1 if self._stepped else _LAG_TICKS))
        self._stepped = False

    def step(self) -> None:
        """Our clock was set: what was measured with it before says little."""
        self._stepped = True
        self._samples = [(lag, min(left, _AFTER_STEP_TICKS)) for lag, left in self._samples]


@dataclass
class _Habit:
    """One connection. `streak`: ticks in a row before each of which it had brought something."""

    has_spoken: bool = False
    spoke_before: bool = False
    streak: int = 0
    idle_ns: int = 0


class ConnectionActivity:
    """Which connections are silent against their habit. An event is not held for what they may bring."""

    def __init__(self) -> None:
        self.silent: set[int] = set()
        self._habits: dict[int, _Habit] = {}

    def open(self, connection: int) -> None:
        """A connection begins, or carries more symbols."""
        self._habits.setdefault(connection, _Habit())

    def close(self, connection: int) -> None:
        """It is gone."""
        self._habits.pop(connection, None)
        self.silent.discard(connection)

    def spoke(self, connection: int) -> None:
        """It brought something, whatever that was."""
        self.silent.discard(connection)
        if connection in self._habits:
            self._habits[connection].has_spoken = True

    def tick(self, passed_ns: int) -> list[int]:
        """So much tape time has passed; the connections that have fallen silent with it."""
        fallen = []
        for connection, habit in self._habits.items():
            if habit.has_spoken:
                habit.streak = habit.streak + 1 if habit.spoke_before else 1
                habit.idle_ns = 0
            else:
                habit.idle_ns += passed_ns
                if habit.streak >= _BUSY_TICKS and habit.idle_ns >= _SILENT_NS:
                    habit.streak = 0
                    fallen.append(connection)
            habit.spoke_before, habit.has_spoken = habit.has_spoken, False
        self.silent.update(fallen)
        return fallen
