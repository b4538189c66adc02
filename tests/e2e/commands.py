"""The program as its user runs it: its output and its exit code; a process, or a call where a process proves no more."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from booktape import cli

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


def run_here(*arguments: str | Path) -> tuple[int, str, str]:
    """The same in this process, many times faster. An unexpected error is raised here, where there it is a traceback."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = cli.run([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


async def log_until(process: Process, word: str) -> str:
    """Wait until the program's log says something; returns everything up to there."""
    assert process.stderr is not None
    heard = ""
    while word not in heard:
        line = await process.stderr.readline()
        assert line, f"it ended without saying {word!r}:\n{heard}"
        heard += line.decode()
    return heard
