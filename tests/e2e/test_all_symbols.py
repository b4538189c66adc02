"""Every listed symbol, from a fresh start: tops first, depth as fast as the budget allows."""

from __future__ import annotations

from pathlib import Path

from e2e.promises import gaps_of
from e2e.starting import least, start

SYMBOLS, PER_MINUTE = 60, 600
"""`make proofs` has 1,400; fewer with a small budget meet the same rules."""


async def test_all_books_are_soon_known_and_later_deep(tmp_path: Path) -> None:
    """Hardly later than with any possible recorder, and without a request beyond the budget."""
    started = await start(SYMBOLS, tmp_path, PER_MINUTE)
    bound = least(started)
    assert started.known_s <= bound.known_s + 2
    assert started.weight <= 1.1 * bound.weight
    assert started.deep_s <= 1.1 * bound.deep_s + 62
    assert not started.violations
    assert gaps_of(tmp_path) == []
