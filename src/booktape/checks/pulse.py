"""Compares the book with the pulse: the best level of each side, from one answer for all symbols.

The answer names no update id. So only a quiet book is compared: one that has no event from well before the
request was sent until well after the answer. Then the answer must show the book as it is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from booktape.checks.book_ticker import compare_touch, touch_of
from booktape.checks.compare import Comparison
from booktape.core.checks import BestLevels
from booktape.core.sync import SymbolSync

QUIET_NS: Final = 10**9
"""How long before the request a book must have been quiet: an event takes 0.1 s to reach us."""

TICKS: Final = 2
"""The answer is compared this number of ticks after it came, if no event has come since."""


class _Waiting(NamedTuple):
    """An answer, and the state of the book when it came."""

    asked_ns: int
    best: BestLevels
    epoch: int
    update_id: int


class PulseCheck:
    """The last pulse of one symbol, until it can be compared."""

    def __init__(self) -> None:
        self._waiting: _Waiting | None = None
        self._ticks = 0

    def reset(self) -> None:
        """The book is not known, or the segment ends."""
        self._waiting = None

    def on_answer(self, asked_ns: int, best: BestLevels, sync: SymbolSync) -> None:
        """An answer to a request sent at `asked_ns`. It is dropped if the book was not quiet."""
        if sync.stamp_ns <= asked_ns - QUIET_NS:
            self._waiting, self._ticks = _Waiting(asked_ns, best, sync.epoch, sync.update_id), 0

    def on_tick(self, sync: SymbolSync, *, waits: bool) -> tuple[int, Comparison] | None:
        """The comparison, and the moment that it proves. None while the answer waits, or if an event came.

        `waits`: an event waits in the arbiter, so the symbol is not quiet.
        """
        waiting = self._waiting
        if waiting is None:
            return None
        self._ticks += 1
        if (waiting.epoch, waiting.update_id) != (sync.epoch, sync.update_id):
            self._waiting = None
            return None
        if self._ticks < TICKS:
            return None
        self._waiting = None
        if waits:
            return None
        return waiting.asked_ns, compare_touch(touch_of(sync), waiting.best.bid, waiting.best.ask)

    def step_clock(self, step_ns: int) -> None:
        """Our clock was set back."""
        if self._waiting:
            self._waiting = self._waiting._replace(asked_ns=self._waiting.asked_ns + step_ns)
