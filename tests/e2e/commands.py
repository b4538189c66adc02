"""The program as its user runs it, with output and exit code: in a process, or by a call if a process would prove
nothing more."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from asyncio import StreamReader
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from booktape import cli

BOOKTAPE = (sys.executable, "-m", "booktape")

LOG_S = 120.0
COMMAND_S = 300.0
"""Real time on a machine that may be busy: for an expected log message, and for the end of a command."""

_KILLED_S = 60.0

_guards: set[AsyncGenerator[None]] = set()


class TooSlow(AssertionError):
    """The program did not print the expected text, or did not end, in time."""


async def start(*arguments: str | Path, **environment: str) -> Process:
    """A running `booktape …`. It is killed when its event loop is closed, so a failing test leaves nothing behind."""
    process = await asyncio.create_subprocess_exec(
        *BOOKTAPE,
        *map(str, arguments),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **environment},
    )
    guard = _killed_at_the_end(process)
    await anext(guard)
    _guards.add(guard)
    return process


async def _killed_at_the_end(process: Process) -> AsyncGenerator[None]:
    """`asyncio.run` closes every open generator before it closes the loop, after all tasks have ended."""
    try:
        yield
    finally:
        _guards.clear()  # those of one loop, all of which end now
        if process.returncode is None:
            process.kill()
            async with asyncio.timeout(_KILLED_S):  # a child process may still hold the pipes
                await process.communicate()


async def run(*arguments: str | Path, **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `booktape …`. Raises TooSlow."""
    process = await start(*arguments, **environment)
    out, err = bytearray(), bytearray()
    try:
        async with asyncio.timeout(COMMAND_S):
            await asyncio.gather(_read(process.stdout, out), _read(process.stderr, err))
            return await process.wait(), out.decode(), err.decode()
    except TimeoutError:
        heard = (out + err).decode(errors="replace")
        command = " ".join(map(str, arguments))
        raise TooSlow(f"booktape {command} has not ended in {COMMAND_S:g} s:\n{heard}") from None


async def _read(stream: StreamReader | None, heard: bytearray) -> None:
    assert stream is not None
    while part := await stream.read(1 << 16):
        heard.extend(part)


def run_here(*arguments: str | Path) -> tuple[int, str, str]:
    """The same in this process, many times faster. An unexpected error, a traceback for a user, is raised here."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = cli.run([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


async def log_until(process: Process, word: str) -> str:
    """Wait for a message in the program's log; returns everything up to there. Raises TooSlow."""
    assert process.stderr is not None
    heard = ""
    try:
        async with asyncio.timeout(LOG_S):
            while word not in heard:
                line = await process.stderr.readline()
                assert line, f"it ended without saying {word!r}:\n{heard}"
                heard += line.decode()
    except TimeoutError:
        raise TooSlow(f"it has not said {word!r} in {LOG_S:g} s:\n{heard}") from None
    return heard
