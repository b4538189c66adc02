"""Comparisons as rows of `checks`: one row for each failure, and one per minute for all that passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from booktape.checks.compare import Comparison
from booktape.core.checks import Check

_MINUTE_NS: Final = 60 * 10**9


@dataclass(slots=True)
class CheckSummary:
    """The passed comparisons of one witness and symbol in the current minute, summed."""

    symbol: str
    witness: str
    _received_ns: int = 0
    _update_id: int = 0
    _levels: int = 0
    _comparisons: int = 0

    def add(self, found: Comparison, received_ns: int) -> tuple[Check, ...]:
        """Add a comparison. Returns the rows that are now complete, nearly always none."""
        same_minute = self._received_ns // _MINUTE_NS == received_ns // _MINUTE_NS
        complete = () if same_minute else self.close()
        if found.differences:
            failed = Check(
                self.symbol,
                received_ns,
                found.update_id,
                self.witness,
                found.levels,
                found.differences,
            )
            return (*complete, failed)
        self._received_ns, self._update_id = received_ns, found.update_id
        self._levels += found.levels
        self._comparisons += 1
        return complete

    def close(self) -> tuple[Check, ...]:
        """The minute, or the segment, is over."""
        if not self._comparisons:
            return ()
        passed = Check(
            self.symbol,
            self._received_ns,
            self._update_id,
            self.witness,
            self._levels,
            comparisons=self._comparisons,
        )
        self._levels = self._comparisons = 0
        return (passed,)
