"""`booktape`, noting how long each pass of its event loop takes.

    python tests/bench/watched.py PASSES.json record BTCUSDT --exchange sim …

A pass is everything that runs between two polls of the sockets: nothing else is stamped, answered or flushed
meanwhile. Nothing of the product is changed; the loop is asyncio's own, with a selector that knows
when it is called. At the end the file holds all passes, how late a timer of 10 ms fired, the pauses of the garbage
collector, and what the loop was seen doing in long passes.
"""

from __future__ import annotations

import asyncio
import atexit
import faulthandler
import gc
import json
import os
import selectors
import sys
import threading
import time
from array import array
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from booktape import cli

LONG_S: Final = 0.02
TIMER_S: Final = 0.01
POLL_S: Final = 0.005
QUEUE: Final = "/proc/self/task/{}/schedstat"
"""Of a thread: nanoseconds run, nanoseconds waited for a processor, turns. Linux only."""


class Watch(selectors.DefaultSelector):
    """The selector, and what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: dict[str, array[float]] = {
            k: array("d") for k in ("at", "s", "cpu_s", "queued_s")
        }
        self.late: dict[str, array[float]] = {"at": array("d"), "s": array("d")}
        self.pauses: list[tuple[float, float, int]] = []
        self.seen: list[tuple[float, float, str]] = []
        self._loop_thread = threading.get_ident()
        self._queue = os.open(QUEUE.format(threading.get_native_id()), os.O_RDONLY)
        self._begin()
        self._running = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """A pass ends, and the next begins."""
        self._running = False
        self.passes["at"].append(self._began)
        self.passes["s"].append(time.time() - self._began)
        self.passes["cpu_s"].append(time.thread_time() - self._began_cpu_s)
        self.passes["queued_s"].append(self._queued_s() - self._began_queued_s)
        found = super().select(timeout)
        self._begin()
        self._running = True
        return found

    def _begin(self) -> None:
        self._began_queued_s = self._queued_s()
        self._began_cpu_s = time.thread_time()
        self._began = time.time()

    def _queued_s(self) -> float:
        """How long the loop's thread could have run so far, while others had the processors."""
        return int(os.pread(self._queue, 100, 0).split()[1]) / 1e9

    def beat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """A timer, by which everything that waits for the loop can be judged."""
        now = loop.time()
        self.late["at"].append(time.time())
        self.late["s"].append(now - due)
        due = max(due + TIMER_S, now)
        loop.call_at(due, self.beat, loop, due)

    def collected(self, phase: str, info: dict[str, int]) -> None:
        """Called by the garbage collector, before and after."""
        if threading.get_ident() != self._loop_thread:
            return
        if phase == "start":
            self._pause = time.time()
        else:
            self.pauses.append((self._pause, time.time() - self._pause, info["generation"]))

    def look(self) -> None:
        """What a long pass is doing; in a thread of its own, for as long as the process lives.

        By faulthandler, since Python's own frame objects would keep alive what the loop's functions
        let go of: a book's array cannot grow while a view of it lives.
        """
        with TemporaryFile("w+") as file:
            while True:
                time.sleep(POLL_S)
                began = self._began
                if self._running and time.time() - began > LONG_S:
                    start = file.seek(0, os.SEEK_END)
                    faulthandler.dump_traceback(file)
                    file.seek(start)
                    self.seen.append((began, time.time() - began, file.read()))

    def save(self, path: Path) -> None:
        """What is to be judged."""
        tables = {"passes": self.passes, "late": self.late}
        columns = {n: {k: list(v) for k, v in table.items()} for n, table in tables.items()}
        path.write_text(json.dumps(columns | {"pauses": self.pauses, "seen": self.seen}))


def watched_loop(path: Path) -> asyncio.AbstractEventLoop:
    """asyncio's usual loop, watched."""
    watch = Watch()
    loop = asyncio.SelectorEventLoop(watch)
    loop.call_soon(watch.beat, loop, loop.time())
    gc.callbacks.append(watch.collected)
    threading.Thread(target=watch.look, daemon=True).start()
    atexit.register(watch.save, path)
    return loop


def main(path: Path) -> None:
    """The command line, its loop watched."""

    def run(work: Coroutine[Any, Any, object]) -> object:
        with asyncio.Runner(loop_factory=lambda: watched_loop(path)) as runner:
            return runner.run(work)

    asyncio.run = run  # type: ignore[assignment]
    cli.main()


if __name__ == "__main__":
    out = Path(sys.argv.pop(1))
    main(out)
