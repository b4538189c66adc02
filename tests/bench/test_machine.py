"""On which machine, and with what, the figures of docs/performance.md were measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest

from booktape.version import VERSION
from docs.generated import table

pytestmark = pytest.mark.bench

LIBRARIES: Final = ("msgspec", "numpy", "pyarrow", "aiohttp")


def said(file: str, name: str) -> str:
    """What Linux says of its processor or memory; empty elsewhere."""
    path = Path("/proc") / file
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def machine() -> Iterator[list[str]]:
    yield ["booktape", VERSION]
    yield ["processor", f"{os.cpu_count()} x {said('cpuinfo', 'model name')}"]
    yield ["memory", said("meminfo", "MemTotal")]
    yield ["system", f"{platform.system()} {platform.release()}"]
    yield ["Python", platform.python_version()]
    yield ["libraries", ", ".join(f"{name} {version(name)}" for name in LIBRARIES)]


def test_machine(report: Callable[[str, str], None]) -> None:
    """What runs, on what."""
    report("machine", table(["", ""], list(machine())))
