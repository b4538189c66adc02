"""Python's garbage collector, kept out of the way of a recording.

With many books a pass over everything that is old held the event loop longer than anything else did
(`make bench BENCH=tests/bench/test_loop.py` shows the pauses), and found nothing: what an event leaves
behind is freed by its reference count. So only what is young is looked at. Known weakness: a cycle
that dies old is never freed. Connections and failed requests leave some; most of them die young.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 1_000
MIDDLE: Final = 4
NEVER: Final = 1_000_000
"""So many passes over the middle generation come before one over the old one."""


def spare_the_old() -> None:
    """For the whole process, from now on."""
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
