"""The same work on several cores: in processes that end with this one.

By default, pool workers survive a killed parent, and each prints a traceback on Ctrl-C. So ours block Ctrl-C, and each
holds one end of a pipe: when this process closes the other end, or ends, they exit at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any, Final, TypeVar

from booktape import descriptors
from booktape.errors import WorkerFailed

T = TypeVar("T")

_PROCESS_DESCRIPTORS: Final = 4
"""Descriptors that each process takes in this one: the ends of its pipes."""

SPAWN: Final = multiprocessing.get_context("spawn")
"""New processes, not forked ones: a fork of a process with threads may hang."""


@contextmanager
def process_pool(
    count: int,
    work: Callable[..., T],
    tasks: Sequence[tuple[Any, ...]],
    begin: Callable[..., None],
    *args: object,
) -> Iterator[list[Future[T]]]:
    """The futures of `work(*task)` for all tasks, in their order. Each process first calls `begin(*args)`.

    An exception in the block ends all processes; without one the block waits until all tasks are done. Raises
    WorkerFailed when a process was killed, TooFewDescriptors before any has begun.
    """
    descriptors.require(descriptors.OWN + count * _PROCESS_DESCRIPTORS, f"{count} --jobs")
    theirs, ours = SPAWN.Pipe(duplex=False)
    with ours, theirs, ProcessPoolExecutor(count, SPAWN, _begin, (theirs, begin, args)) as pool:
        with _interrupt_blocked():
            futures = [pool.submit(work, *task) for task in tasks]
        try:
            yield futures
        except BrokenProcessPool as error:
            raise WorkerFailed(
                "A process was killed. Memory, perhaps: try fewer --jobs.", 1
            ) from error
        except BaseException:
            ours.close()
            raise


@contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Processes that are started in the block inherit that SIGINT is blocked; we receive it after the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(theirs: Connection, begin: Callable[..., None], args: tuple[object, ...]) -> None:
    Thread(target=_exit_with, args=(theirs,), daemon=True).start()
    begin(*args)


def _exit_with(theirs: Connection) -> None:
    """Exit when the other end of the pipe closes. Nothing is ever sent through it."""
    with suppress(EOFError, OSError):
        theirs.recv()
    os._exit(1)
