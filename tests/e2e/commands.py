"""The program as its user runs it: a process, its output, its exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

BOOKTAPE = (sys.executable, "-m", "booktape")


async def start(*arguments: str | Path, **environment: str) -> Process:
    """A running `booktape …`."""
    return await asyncio.create_subprocess_exec(
        *BOOKTAPE,
        *map(str, arguments),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **environment},
    )


async def run(*arguments: str | Path, **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `booktape …`."""
    process = await start(*arguments, **environment)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def log_until(process: Process, word: str) -> str:
    """Wait until the program's log says something; returns everything up to there."""
    assert process.stderr is not None
    heard = ""
    while word not in heard:
        line = await process.stderr.readline()
        assert line, f"it ended without saying {word!r}:\n{heard}"
        heard += line.decode()
    return heard
