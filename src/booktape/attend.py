"""A recorder at work, and a person beside it: signals, the window, the log."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeAlias

import structlog
from rich.console import Console

from booktape.core.status import Status
from booktape.live import console as live_table
from booktape.live import lines

LEFT_AT_ONCE: Final = 130
"""Exit code after a second signal."""


class Attended(Protocol):
    """A recorder, or several as one."""

    async def run(self) -> None:
        """Record until stopped."""

    def stop(self) -> None:
        """Seal everything and return from `run`."""

    def flush(self) -> None:
        """Bring what there is to the disk, before the process ends at once."""

    def status(self) -> Status | None:
        """How it stands; None before it has begun, and while it ends."""


Watch: TypeAlias = Callable[[Attended], Coroutine[Any, Any, None]]


def window(recorder: Attended) -> Coroutine[Any, Any, None]:
    """A table on a terminal, a line a minute elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        return live_table.show(recorder.status, console)
    return lines.report(recorder.status)


async def attend(recorder: Attended, watch: Watch = window) -> None:
    """Record until a signal or the duration ends it, with somebody watching all the while."""

    def leave() -> None:
        recorder.flush()
        os._exit(LEFT_AT_ONCE)

    def stop() -> None:
        recorder.stop()
        on_signals(leave)

    on_signals(stop)
    watching = asyncio.create_task(watch(recorder))
    try:
        await recorder.run()
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def on_signals(react: Callable[[], None]) -> None:
    """What SIGINT and SIGTERM do from now on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, react)


def log_to_stderr() -> None:
    """For eyes on a terminal; one `key=value` line an event elsewhere."""
    colours = sys.stderr.isatty()
    pretty = structlog.dev.ConsoleRenderer(colors=colours)
    plain = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            pretty if colours else plain,
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        # Looked up at each line: while the live table is up, stderr is what writes above it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
