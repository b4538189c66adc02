"""Pipes and terminals without a reader: real ones, filled until they take no more."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress


def fill(descriptor: int) -> int:
    """Write into a pipe or a terminal until it takes no more; returns how many bytes that were."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    written = 0
    with suppress(BlockingIOError):
        while True:
            written += os.write(descriptor, b".")
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    return written
