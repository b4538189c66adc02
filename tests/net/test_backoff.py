"""Pauses grow, have full jitter, and are bounded."""

from __future__ import annotations

import random
from itertools import islice

from booktape.net.backoff import FIRST_S, LONGEST_S, full_jitter


def test_the_bound_doubles_up_to_a_maximum() -> None:
    """With maximum jitter the pauses are 0.5, 0.5, 1, 2 … 30, 30 seconds."""
    pauses = list(islice(full_jitter(lambda _, top: top), 10))
    assert pauses == [0.5, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert (pauses[0], pauses[-1]) == (FIRST_S, LONGEST_S)


def test_reconnecting_takes_no_longer_than_the_outage_lasted() -> None:
    """No pause is longer than all before it together, once those add up to half a second."""
    for seed in range(200):
        waited_s = 0.0
        for pause_s in islice(full_jitter(random.Random(seed).uniform), 30):
            assert pause_s <= max(FIRST_S, waited_s)
            waited_s += pause_s
        assert waited_s > 60


def test_jitter_reaches_down_to_zero() -> None:
    """Clients cut at the same time do not come back together: any pause below the bound is possible."""
    firsts = [next(full_jitter(random.Random(seed).uniform)) for seed in range(200)]
    assert min(firsts) < 0.05
    assert max(firsts) > 0.45
    assert all(0 <= pause <= FIRST_S for pause in firsts)
