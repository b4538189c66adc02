"""Pauses between attempts, as plain numbers, so that they can be tested without waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0


def full_jitter(uniform: Callable[[float, float], float]) -> Iterator[float]:
    """Pauses in seconds: anywhere between 0 and a bound that doubles up to LONGEST_S.

    With full jitter, clients that were cut at the same time do not come back at the same time. No pause is longer
    than all pauses before it together (except for FIRST_S), so coming back takes no longer than the trouble lasted.
    Start a new iterator after a success.
    """
    bound_s, waited_s = FIRST_S, 0.0
    while True:
        pause_s = uniform(0, bound_s)
        yield pause_s
        waited_s += pause_s
        bound_s = min(LONGEST_S, 2 * bound_s, max(FIRST_S, waited_s))
