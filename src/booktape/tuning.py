"""What Python is told before it records for months: about its garbage, and about its lock.

**Old garbage is not collected.** With many books a pass over everything that is old held the event
loop longer than anything else did (`make bench BENCH=tests/bench/test_loop.py` shows the pauses), and
found nothing: what an event leaves behind is freed by its reference count. So only what is young is
looked at. Known weakness: a cycle that dies old is never freed. Connections and failed requests
leave some; most of them die young.

**The lock changes hands sooner.** Copying the rows of a group together, numpy lets go of the lock and
takes it again for each of them. While another thread computes, each time takes as long as that one may
keep it: at Python's own 5 ms the worker is late by seconds, and the recorder waits for it in the end.
`make bench BENCH=tests/bench/test_recovery.py` shows the difference.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

YOUNG: Final = 1_000
MIDDLE: Final = 4
NEVER: Final = 1_000_000
"""Passes over the middle generation before one over the old one."""

LOCK_S: Final = 0.0005
"""How long a thread may keep the lock that others wait for."""


def tune_interpreter() -> None:
    """For the whole process, from now on."""
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
    sys.setswitchinterval(LOCK_S)
