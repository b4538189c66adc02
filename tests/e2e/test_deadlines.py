"""A test that waits for a command in vain fails in minutes, shows the output so far, and leaves no process behind."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from asyncio.subprocess import Process

import pytest

from e2e import commands
from e2e.commands import TooSlow, log_until, run, start

TWO_LINES = r"import sys, time; sys.stderr.write('one\ntwo\n'); sys.stderr.flush(); time.sleep(600)"


@pytest.fixture(autouse=True)
def hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that writes two lines at once, then nothing, and does not end."""
    monkeypatch.setattr(commands, "BOOKTAPE", (sys.executable, "-c", TWO_LINES))


@pytest.mark.real_time
async def test_a_line_that_does_not_come_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure contains the lines that came instead."""
    process = await start()
    assert await log_until(process, "one") == "one\n"
    monkeypatch.setattr(commands, "LOG_S", 0.0)
    with pytest.raises(TooSlow, match=r"has not said 'three' in 0 s:\ntwo\n"):
        await log_until(process, "three")


@pytest.mark.real_time
async def test_a_command_that_does_not_end_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure names it."""
    monkeypatch.setattr(commands, "COMMAND_S", 0.0)
    with pytest.raises(TooSlow, match="booktape verify data has not ended in 0 s"):
        await run("verify", "data")


def test_processes_left_by_a_failed_test_are_killed() -> None:
    """Their pipes are closed: otherwise they would warn in the middle of another test, which would then fail."""
    left: list[Process] = []

    async def fails() -> None:
        left.extend([await start(), await start()])
        raise TooSlow

    with pytest.raises(TooSlow):
        asyncio.run(fails())
    assert [process.returncode for process in left] == [-signal.SIGKILL] * 2
    left.clear()
    gc.collect()
