"""Running a recorder from a command: signals, and the status view."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final, Protocol, TypeAlias

from booktape.processes import terminal
from booktape.reader.book_view import BookView
from booktape.recorder import status_log
from booktape.recorder import status_table as live_table
from booktape.recorder.service import notify_service_manager
from booktape.recorder.status import SHOWN, RecorderStatus

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

ABORTED: Final = 130
"""Exit code after a second signal."""

DOUBLED_S: Final = 0.5
"""A signal that follows the first one sooner is the same request, sent twice: `timeout` of GNU coreutils signals its
command and then its whole process group."""


class RecorderLike(Protocol):
    """A recorder, or several that act as one."""

    async def run(self) -> None:
        """Record until stopped."""

    def stop(self) -> None:
        """Seal everything and return from `run`."""

    def flush(self) -> None:
        """Hand the tape to the operating system right before the process ends."""

    def status(self, shown: int = SHOWN) -> RecorderStatus | None:
        """The state of the recording; None before it has begun, and while it ends.

        It reads the levels of `shown` books, which costs the loop up to a millisecond each.
        """

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        """A known book, `reach_bps` around its mid; None if it is not known or not recorded."""


StatusView: TypeAlias = Callable[[RecorderLike], Coroutine[Any, Any, None]]


def status_view(recorder: RecorderLike) -> Coroutine[Any, Any, None]:
    """A table on a terminal, a line per minute elsewhere."""
    console = terminal.console(stderr=True)
    if console.is_terminal:
        return live_table.show(recorder.status, console)
    return status_log.report(recorder.status)


async def run_until_signalled(
    recorder: RecorderLike,
    view: StatusView = status_view,
    abort_signals: Collection[signal.Signals] = STOP_SIGNALS,
    doubled_s: float = DOUBLED_S,
) -> None:
    """Record until a signal or the duration ends the recording, and show the status in the meantime.

    A second signal, more than `doubled_s` after the first, ends the process at once if it is one of `abort_signals`.
    """
    loop = asyncio.get_running_loop()

    def abort() -> None:
        recorder.flush()
        os._exit(ABORTED)

    def stop() -> None:
        recorder.stop()
        on_stop_signals(lambda: None)
        loop.call_later(doubled_s, on_stop_signals, abort, abort_signals)
        ignore_hangup()

    on_stop_signals(stop)
    on_hangup(stop)
    beside = {
        asyncio.create_task(view(recorder)),
        asyncio.create_task(notify_service_manager(recorder.status)),
    }
    try:
        await recorder.run()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)


def on_stop_signals(
    react: Callable[[], None], numbers: Collection[signal.Signals] = STOP_SIGNALS
) -> None:
    """Set what SIGINT and SIGTERM do from now on."""
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, react)


def on_hangup(react: Callable[[], None]) -> None:
    """Set what the first SIGHUP does: the terminal was closed. Under nohup it stays ignored."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    loop = asyncio.get_running_loop()

    def handle(*_: object) -> None:
        ignore_hangup()
        if not loop.is_closed():
            loop.call_soon_threadsafe(react)

    # Not through the loop: a loop that closes restores the default, and then the next SIGHUP ends the process.
    signal.signal(signal.SIGHUP, handle)


def ignore_hangup() -> None:
    """Ignore SIGHUP after the first signal, so that it never counts as the second one, which aborts.

    A closing terminal sends it twice, through the system and through the shell; a service manager may send it
    right after SIGTERM.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
