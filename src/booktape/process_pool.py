"""The same work on several cores: in processes that end when we do.

Without more, a pool's processes outlive one that is killed, and at Ctrl-C each shows where it was.
So ours do not hear Ctrl-C, and each holds one end of a pipe: when ours closes, because we want no
more or are no more, they leave at once, whatever they are at.
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

_A_PROCESS: Final = 4
"""Descriptors that each process takes of ours: the ends of its pipes."""

SPAWN: Final = multiprocessing.get_context("spawn")
"""Processes that begin afresh: a copy of one with threads may hang."""


@contextmanager
def process_pool(
    count: int,
    work: Callable[..., T],
    tasks: Sequence[tuple[Any, ...]],
    begin: Callable[..., None],
    *args: object,
) -> Iterator[list[Future[T]]]:
    """What will come of each task, in their order. Each process first calls `begin` with `args`.

    Leaving with an exception ends all of them; without one it waits until all tasks are done. Raises
    WorkerFailed when one of them was killed, TooFewDescriptors before any has begun.
    """
    descriptors.require(descriptors.OWN + count * _A_PROCESS, f"{count} --jobs")
    theirs, ours = SPAWN.Pipe(duplex=False)
    with ours, theirs, ProcessPoolExecutor(count, SPAWN, _begin, (theirs, begin, args)) as pool:
        with _unheard_by_children():
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
def _unheard_by_children() -> Iterator[None]:
    """Whoever is started meanwhile never hears Ctrl-C; we do, a moment later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(theirs: Connection, begin: Callable[..., None], args: tuple[object, ...]) -> None:
    Thread(target=_leave_with, args=(theirs,), daemon=True).start()
    begin(*args)


def _leave_with(theirs: Connection) -> None:
    # OSError: a pipe may also end amid a word; nobody says one.
    with suppress(EOFError, OSError):
        theirs.recv()
    os._exit(1)
