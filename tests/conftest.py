"""How tests run: coroutines in virtual time, property tests with the same examples each time.

`make test` runs the tests that stay in one process, `make test-system` the rest (`SYSTEM`). `make test-long` tries more
examples (`--hypothesis-profile=many`); `--hypothesis-profile=explore` tries different ones on every run.
"""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from support import virtual_time

TESTS: Final = Path(__file__).parent

SYSTEM: Final = (
    *("bucket/", "captures/", "clients/", "e2e/", "install/"),
    *("docs/test_scale_guide.py", "plot/test_real.py", "reader/test_map_segments.py"),
    *("faults/test_against_the_truth.py", "faults/test_detection.py", "faults/test_losses.py"),
    *(
        "properties/test_evidence.py",
        "rerecord/test_random_outages.py",
        "sim/server/test_server.py",
    ),
    *("processes/", "recorder/test_workers.py", "web/test_operations.py", "web/test_page.py"),
    *("store/test_bombs.py", "store/test_every_refusal.py", "store/test_full_disk.py"),
    *("store/test_opening.py",),
)
"""Tests with processes, servers, shells or a browser of their own, with full disks, with real recordings, or with many
minutes of a simulated exchange and its faults."""

settings.register_profile(
    "booktape",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("booktape")
settings.register_profile("few", max_examples=10)
settings.register_profile("many", max_examples=100)
settings.register_profile("explore", derandomize=False, max_examples=5_000)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in `SYSTEM` get the marker of this name."""
    for item in items:
        if item.path.relative_to(TESTS).as_posix().startswith(SYSTEM):
            item.add_marker("system")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """An `async def test_…` runs in virtual time, or as its markers (pyproject.toml) say."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = inspect.signature(pyfuncitem.obj).parameters
    work = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in arguments})
    if pyfuncitem.get_closest_marker("real_time"):
        asyncio.run(work)
    else:
        within = pyfuncitem.get_closest_marker("within_s")
        virtual_time.run(work, *within.args if within else ())
    return True
