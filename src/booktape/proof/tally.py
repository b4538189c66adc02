"""Comparisons as rows of `checks`: each failure one, what passed one a minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from booktape.core.proving import Check
from booktape.proof.window import Comparison

_MINUTE_NS: Final = 60 * 10**9


@dataclass(slots=True)
class Tally:
    """What one witness confirmed of one symbol in the current minute."""

    symbol: str
    witness: str
    passed: Check | None = None

    def add(self, found: Comparison, received_ns: int) -> Iterator[Check]:
        """One more comparison; the checks that are complete by it."""
        check = Check(
            self.symbol, received_ns, found.update_id, self.witness, found.levels, found.differences
        )
        before = self.passed
        if before and before.received_ns // _MINUTE_NS != received_ns // _MINUTE_NS:
            yield from self.close()
            before = None
        if check.differences:
            yield check
        else:
            self.passed = _sum(before, check) if before else check

    def close(self) -> Iterator[Check]:
        """The minute, or the segment, is over."""
        if self.passed:
            yield self.passed
        self.passed = None


def _sum(before: Check, check: Check) -> Check:
    return replace(
        check,
        levels_compared=before.levels_compared + check.levels_compared,
        comparisons=before.comparisons + 1,
    )
