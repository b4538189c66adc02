"""Interpreter settings for a recorder that runs for months: garbage collection, and the global lock.

**Old garbage is not collected.** With many books, a pass over all old objects held up the event loop longer than
anything else (`make bench BENCH=tests/bench/test_loop.py` shows the pauses), and found nothing: reference counts free
what an event leaves behind. So only young objects are examined. Known weakness: a cycle that dies old is never freed.
Connections and failed requests leave some cycles; most of them die young.

**The lock changes hands sooner.** When numpy joins the rows of a group, it releases the lock and takes it
again for each row. While another thread computes, taking it back lasts as long as that thread may keep the lock: with
Python's own 5 ms the store's thread falls seconds behind, and in the end the recorder waits for it.
`make bench BENCH=tests/bench/test_recovery.py` shows the difference.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

YOUNG: Final = 1_000
MIDDLE: Final = 4
NEVER: Final = 1_000_000
"""Passes over the middle generation before one over the old generation."""

LOCK_S: Final = 0.0005
"""How long a thread may keep the lock while others wait for it."""


def tune_interpreter() -> None:
    """Apply these settings to the whole process."""
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
    sys.setswitchinterval(LOCK_S)
