"""How long to wait before the next try, as numbers: testable without waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0


def full_jitter(uniform: Callable[[float, float], float]) -> Iterator[float]:
    """Pauses in seconds: anywhere between 0 and a bound that doubles up to LONGEST_S.

    Full jitter, so that many clients that were cut at once do not come back at once. Start a new
    iterator after a success.
    """
    bound_s = FIRST_S
    while True:
        yield uniform(0, bound_s)
        bound_s = min(LONGEST_S, 2 * bound_s)
