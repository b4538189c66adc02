"""A recorder at work, and a person beside it: signals, and the window."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final, Protocol, TypeAlias

from booktape import terminal
from booktape.recorder import status_log
from booktape.recorder import status_table as live_table
from booktape.recorder.status import RecorderStatus

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

LEFT_AT_ONCE: Final = 130
"""Exit code after a second signal."""


class RecorderLike(Protocol):
    """A recorder, or several as one."""

    async def run(self) -> None:
        """Record until stopped."""

    def stop(self) -> None:
        """Seal everything and return from `run`."""

    def flush(self) -> None:
        """Bring what there is to the disk, before the process ends at once."""

    def status(self) -> RecorderStatus | None:
        """How it stands; None before it has begun, and while it ends."""


Watch: TypeAlias = Callable[[RecorderLike], Coroutine[Any, Any, None]]


def status_view(recorder: RecorderLike) -> Coroutine[Any, Any, None]:
    """A table on a terminal, a line a minute elsewhere."""
    console = terminal.console(stderr=True)
    if console.is_terminal:
        return live_table.show(recorder.status, console)
    return status_log.report(recorder.status)


async def run_until_signalled(
    recorder: RecorderLike,
    watch: Watch = status_view,
    leaves_at_once: Collection[signal.Signals] = STOP_SIGNALS,
) -> None:
    """Record until a signal or the duration ends it, with somebody watching all the while.

    A second signal ends the process at once, if it is one of `leaves_at_once`.
    """

    def leave() -> None:
        recorder.flush()
        os._exit(LEFT_AT_ONCE)

    def stop() -> None:
        recorder.stop()
        on_stop_signals(lambda: None)
        on_stop_signals(leave, leaves_at_once)
        ignore_hangup()

    on_stop_signals(stop)
    on_hangup(stop)
    watching = asyncio.create_task(watch(recorder))
    try:
        await recorder.run()
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def on_stop_signals(
    react: Callable[[], None], numbers: Collection[signal.Signals] = STOP_SIGNALS
) -> None:
    """What SIGINT and SIGTERM do from now on."""
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, react)


def on_hangup(react: Callable[[], None]) -> None:
    """What the first SIGHUP does: the terminal was closed. Where nohup ignores it, it stays ignored."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    loop = asyncio.get_running_loop()

    def hear(*_: object) -> None:
        ignore_hangup()
        if not loop.is_closed():
            loop.call_soon_threadsafe(react)

    # Not by the loop: when it closes it lets the next one end the process.
    signal.signal(signal.SIGHUP, hear)


def ignore_hangup() -> None:
    """SIGHUP is never the second signal, which would leave at once.

    A terminal that closes sends it twice, by way of the system and of the shell; a service manager
    may send it right after SIGTERM.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
