"""Finds connections that fall silent after they were busy.

One symbol may be quiet for minutes; a connection that carries many symbols is not. A connection that
delivered messages before each of `BUSY_TICKS` ticks in a row, and then none for `SILENT_NS`, is presumed
dead. It is replaced, which costs nothing if that was wrong, and no event waits for it any longer.
"""

from __future__ import annotations

from typing import Final

BUSY_TICKS: Final = 30
"""Half a minute."""

SILENT_NS: Final = 5 * 10**9
"""Of tape time."""


class _ConnectionLoad:
    """How busy one connection was lately."""

    def __init__(self) -> None:
        self.had_message = False  # since the last tick
        self._streak = 0
        self._idle_ns = 0

    def on_tick(self, passed_ns: int) -> bool:
        """Whether the connection falls silent now."""
        if self.had_message:
            self._streak = 1 if self._idle_ns else self._streak + 1
            self.had_message, self._idle_ns = False, 0
            return False
        self._idle_ns += passed_ns
        silent = self._streak >= BUSY_TICKS and self._idle_ns >= SILENT_NS
        if silent:
            self._streak = 0
        return silent


class ConnectionLoads:
    """All open connections. `silent` are those that have delivered nothing since they fell silent."""

    def __init__(self) -> None:
        self.silent: set[int] = set()
        self._loads: dict[int, _ConnectionLoad] = {}

    def add(self, connection: int) -> None:
        """A connection was opened."""
        self._loads[connection] = _ConnectionLoad()

    def remove(self, connection: int) -> None:
        """A connection was lost."""
        self._loads.pop(connection, None)
        self.silent.discard(connection)

    def on_message(self, connection: int) -> bool:
        """The connection delivered a message. Returns whether it was silent until now."""
        load = self._loads.get(connection)
        if load:
            load.had_message = True
        if connection not in self.silent:
            return False
        self.silent.discard(connection)
        return True

    def on_tick(self, passed_ns: int) -> list[int]:
        """The connections that fall silent now, in the order in which they were opened."""
        fallen = [connection for connection, load in self._loads.items() if load.on_tick(passed_ns)]
        self.silent.update(fallen)
        return fallen

    def begin_segment(self) -> None:
        """Start counting again: the next segment must be readable on its own."""
        self._loads = {connection: _ConnectionLoad() for connection in self._loads}
        self.silent.clear()
