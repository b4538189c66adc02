"""Worker processes on this machine that end with this one.

By default, pool workers survive a killed parent, and each prints a traceback on Ctrl-C. So ours block Ctrl-C, and each
holds one end of a pipe: when this process closes the other end, or ends, they exit at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from threading import Thread
from typing import Final, ParamSpec, TypeVar

from booktape.processes import descriptors, tuning

P = ParamSpec("P")
T = TypeVar("T")

_PROCESS_DESCRIPTORS: Final = 4
"""Descriptors that each worker process takes up in this one: the ends of its pipes."""

SPAWN: Final = multiprocessing.get_context("spawn")
"""New processes, not forked ones: a fork of a process with threads may hang."""


@contextmanager
def process_pool(count: int) -> Iterator[Executor]:
    """An executor with `count` processes, which are started when they are needed.

    An exception in the block ends all processes at once; without one, the block waits until all tasks are done. A
    killed process makes every unfinished future raise BrokenProcessPool. Raises TooFewDescriptors before
    any process has started.
    """
    descriptors.require(descriptors.OWN + count * _PROCESS_DESCRIPTORS, f"{count} --jobs")
    theirs, ours = SPAWN.Pipe(duplex=False)
    with ours, theirs, _Pool(count, SPAWN, _begin, (theirs,)) as pool:
        try:
            yield pool
        except BaseException:
            ours.close()
            raise


class _Pool(ProcessPoolExecutor):
    """A process is started when a task is submitted. It inherits a blocked SIGINT, which we receive afterwards."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(theirs: Connection) -> None:
    Thread(target=_exit_with, args=(theirs,), daemon=True).start()
    tuning.tune_interpreter()


def _exit_with(theirs: Connection) -> None:
    """Exit when the other end of the pipe closes. Nothing is ever sent through it."""
    with suppress(EOFError, OSError):
        theirs.recv()
    os._exit(1)
