"""On which machine, and with what, the figures of docs/performance.md were measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest

from booktape import __version__
from docs.generated import table

pytestmark = pytest.mark.bench

LIBRARIES: Final = ("msgspec", "numpy", "pyarrow", "aiohttp")


def processor() -> str:
    """What Linux calls it; elsewhere what Python knows."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def machine() -> Iterator[list[str]]:
    yield ["booktape", __version__]
    yield ["processor", f"{os.cpu_count()} x {processor()}"]
    yield ["memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB"]
    yield ["system", platform.system()]
    yield ["Python", platform.python_version()]
    yield ["libraries", ", ".join(f"{name} {version(name)}" for name in LIBRARIES)]


def test_machine(report: Callable[[str, str], None]) -> None:
    """What runs, on what."""
    report("machine", table(["", ""], list(machine())))
