"""A process that may open only a few more files, or take only a little more memory: the operating system's own
limit."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def memory_left(count_bytes: int) -> Iterator[None]:
    """This process may map only this much more; then Python raises MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    mapped_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit_bytes = mapped_pages * resource.getpagesize() + count_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Only `most` files can be opened; any further one is refused with EMFILE."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 200, before[1]))
    try:
        with suppress(OSError):  # the last of them is refused
            while True:
                taken.append(os.dup(taken[0]))
        for _ in range(count):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in taken:
            os.close(descriptor)
