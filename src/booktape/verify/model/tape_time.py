"""What follows from the ticks of a tape: tape time, how late events are, which connections are silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SECOND_NS: Final = 10**9
PAUSE_NS: Final = 3 * SECOND_NS
"""A tick that comes this late, or later, shows a pause of the recorder."""

_TICK_MAX_NS: Final = 2 * SECOND_NS
_LAG_TICKS: Final = 60
_AFTER_STEP_TICKS: Final = 2
_BUSY_TICKS: Final = 30
_SILENT_NS: Final = 5 * SECOND_NS


def tape_time(elapsed_ns: int) -> int:
    """By how much a tick moves tape time: at most 2 s."""
    return min(elapsed_ns, _TICK_MAX_NS)


class ModelUsualLag:
    """The smallest lag of an event at the last ticks: how late events are when nothing delays them.

    `messages_waited` since a tick that came late, or before which every event was late: until the next
    tick, messages may have waited in the socket.
    """

    def __init__(self) -> None:
        self._samples: list[tuple[int, int]] = []  # each with the ticks for which it still counts
        self._stepped = False
        self.messages_waited = False

    @property
    def usual_ns(self) -> int | None:
        """None when no tick has seen one."""
        return min((lag_ns for lag_ns, _ in self._samples), default=None)

    def on_tick(self, elapsed_ns: int, lag_ns: int | None) -> None:
        """The time and the smallest lag since the tick before."""
        usual_ns = self.usual_ns
        is_late = lag_ns is not None and usual_ns is not None and lag_ns > usual_ns + SECOND_NS
        self.messages_waited = elapsed_ns >= PAUSE_NS or is_late
        self._samples = [(lag, left - 1) for lag, left in self._samples if left > 1]
        if lag_ns is not None:
            # The first sample after a step may be from before it, and expires with those.
            self._samples.append((lag_ns, _AFTER_STEP_TICKS - 1 if self._stepped else _LAG_TICKS))
        self._stepped = False

    def step_clock(self) -> None:
        """Our clock was set: older samples expire soon."""
        self._stepped = True
        self._samples = [(lag, min(left, _AFTER_STEP_TICKS)) for lag, left in self._samples]


@dataclass
class _Activity:
    """One connection. `streak`: ticks in a row with a message before each."""

    had_message: bool = False
    had_message_before: bool = False
    streak: int = 0
    idle_ns: int = 0


class ConnectionActivity:
    """Which connections are silent after they were busy. No event waits for them."""

    def __init__(self) -> None:
        self.silent: set[int] = set()
        self._activities: dict[int, _Activity] = {}

    def add(self, connection: int) -> None:
        """A connection was opened, or carries more symbols."""
        self._activities.setdefault(connection, _Activity())

    def remove(self, connection: int) -> None:
        """A connection was lost."""
        self._activities.pop(connection, None)
        self.silent.discard(connection)

    def on_message(self, connection: int) -> None:
        """It delivered a message of any kind."""
        self.silent.discard(connection)
        if connection in self._activities:
            self._activities[connection].had_message = True

    def on_tick(self, passed_ns: int) -> list[int]:
        """`passed_ns` of tape time have passed. Returns the connections that fall silent now."""
        fallen = []
        for connection, activity in self._activities.items():
            if activity.had_message:
                activity.streak = activity.streak + 1 if activity.had_message_before else 1
                activity.idle_ns = 0
            else:
                activity.idle_ns += passed_ns
                if activity.streak >= _BUSY_TICKS and activity.idle_ns >= _SILENT_NS:
                    activity.streak = 0
                    fallen.append(connection)
            activity.had_message_before, activity.had_message = activity.had_message, False
        self.silent.update(fallen)
        return fallen
