"""Prints a client's book at random moments, as one line of JSON."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable
from typing import Any

SHARE = 0.3


def print_sometimes(update_id: int, bids: Iterable[Any], asks: Iterable[Any]) -> None:
    """Prices and sizes as numbers, best first."""
    if random.random() < SHARE:
        sides = ([(float(price), float(size)) for price, size, *_ in side] for side in (bids, asks))
        best_first = [update_id, sorted(next(sides), reverse=True), sorted(next(sides))]
        sys.stdout.write(json.dumps(best_first) + "\n")
        sys.stdout.flush()
