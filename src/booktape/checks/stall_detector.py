"""Finds connections that lack, on some symbol, events that another connection delivers.

A connection can answer every ping while one of its subscriptions is dead. It is behind on a symbol when, for
`BEHIND_S`, it has not delivered an event that another connection had already delivered. A quiet market causes
no alarm: without a new event nothing is missing. The comparison reads steady time, and of the rest only what
the arbiter knows. So it is not part of the pure function, and nothing of it is on the tape.

Events that *no* connection delivers are not looked for here. `freshness` does that, and it has evidence: what
a witness, the pulse or an audit shows. A comparison of a symbol with its own past activity has none. It cannot
tell a market that falls asleep from a stream that died, and when it was tried it replaced sound connections in
quiet markets. Known weakness: with `--pulse 0 --audit 0` and without a witness, a symbol that falls silent on
all its connections is not noticed, unless a connection has no other traffic either (`connection_load`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from booktape.core.arbitration import SymbolFeed

STALL_CHECK_S: Final = 2.0
"""How often the feeds are compared."""

BEHIND_S: Final = 10.0
"""How long a connection may lack what another has delivered."""


@dataclass(slots=True)
class _Behind:
    """One connection on one symbol: at `since_s` it had to reach `due_id`, and it has reached `last_id`."""

    last_id: int
    due_id: int
    since_s: float

    def is_overdue(self, feed: SymbolFeed, connection: int, now_s: float) -> bool:
        """True once, when `BEHIND_S` have passed since it last caught up."""
        self.last_id = max(self.last_id, feed.last_by_connection[connection] or 0)
        if self.last_id >= self.due_id:
            self.due_id, self.since_s = feed.last_released or 0, now_s
        overdue = now_s - self.since_s >= BEHIND_S
        if overdue:
            self.since_s = math.inf
        return overdue


class StallDetector:
    """How far each connection had come on each symbol at the last comparison."""

    def __init__(self) -> None:
        self._behind: defaultdict[str, dict[int, _Behind]] = defaultdict(dict)

    def find_stalled(self, symbol: str, feed: SymbolFeed, now_s: float) -> list[tuple[int, str]]:
        """The connections to replace, each with the reason. `now_s` is steady time."""
        marks, released_id = self._behind[symbol], feed.last_released or 0
        for connection in marks.keys() - feed.last_by_connection.keys():
            del marks[connection]
        stalled = []
        for connection in feed.last_by_connection:
            # A new connection need not deliver events that were released before it joined.
            mark = marks.setdefault(connection, _Behind(released_id, released_id, now_s))
            if mark.is_overdue(feed, connection, now_s):
                stalled.append((connection, f"{symbol} is silent on it, but not elsewhere"))
        return stalled
