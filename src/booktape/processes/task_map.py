"""One function over many independent tasks: in this process, in several, or with any executor.

A task is usually one segment of a recording. It depends on no other task, writes only whole files, and writes the
same bytes wherever and however often it runs. So a worker may be killed at any moment, and its task is repeated.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar

from booktape.errors import WorkerFailed
from booktape.processes.process_pool import process_pool

T = TypeVar("T")

Workers: TypeAlias = Executor | int
"""Who does the work: a `concurrent.futures` executor, or a number of processes on this machine (1: this process)."""

Tasks: TypeAlias = Mapping[str, tuple[Any, ...]]
"""The arguments of each task, by the name that errors use for it."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of the tasks: every `count`-th one, starting with the `number`-th. `number` counts from 1.

    Tasks added at the end do not change the shard of any other task.
    """

    number: int = 1
    count: int = 1

    def part(self, tasks: Sequence[T]) -> list[T]:
        """The tasks of this shard."""
        return list(tasks[self.number - 1 :: self.count])


WHOLE: Final = Shard()
"""All tasks."""

_POOLS_MAX: Final = 3
"""How often processes may be killed before we give up: twice may be an accident, a third time is not."""


def map_tasks(
    work: Callable[..., T], tasks: Tasks, workers: Workers, done: Callable[[str, T], None]
) -> None:
    """Call `work(*task)` for each task, and `done(name, result)` in this process as soon as the task is finished.

    Results come in any order. The first error of a task is raised, and tasks that have not started are cancelled.
    Raises WorkerFailed, naming a task, if a killed worker cannot be replaced.
    """
    if not isinstance(workers, int):
        _map_with(workers, work, tasks, done)
    elif workers == 1 or len(tasks) < 2:  # noqa: PLR2004 - a single task needs no further process
        for name, task in tasks.items():
            done(name, work(*task))
    else:
        _map_in_processes(work, tasks, workers, done)


def cores() -> int:
    """How many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _map_in_processes(
    work: Callable[..., T], tasks: Tasks, jobs: int, done: Callable[[str, T], None]
) -> None:
    """Map in our own pool. When a process is killed, the whole pool is lost, and a new one does the rest.

    The tasks that may have been running are then done first, one at a time, so the task that kills its process,
    perhaps by using too much memory, is known by name.
    """
    left = dict(tasks)

    def finished(name: str, result: T) -> None:
        del left[name]
        done(name, result)

    for _ in range(_POOLS_MAX):
        try:
            with process_pool(jobs) as pool:
                _submit_all(pool, work, left, finished, {})
        except BrokenProcessPool:
            # Tasks start in order. Besides those running, the results of a few more may have been on their way.
            unfinished = dict(islice(left.items(), 2 * jobs))
            _map_one_by_one(work, unfinished, finished)
        else:
            return
    if left:
        raise WorkerFailed(
            f"Processes were killed {_POOLS_MAX} times, and {len(left)} of {len(tasks)} tasks are left. Perhaps they "
            "ran out of memory: try fewer --jobs.",
            1,
        )


def _map_one_by_one(work: Callable[..., T], tasks: Tasks, done: Callable[[str, T], None]) -> None:
    with process_pool(1) as pool:
        for name, task in tasks.items():
            try:
                result = pool.submit(work, *task).result()
            except BrokenProcessPool as error:
                raise WorkerFailed(
                    f"{name}: a process that worked on it was killed twice, the second time with nothing running "
                    "beside it. Perhaps it ran out of memory.",
                    1,
                ) from error
            done(name, result)


def _map_with(
    executor: Executor, work: Callable[..., T], tasks: Tasks, done: Callable[[str, T], None]
) -> None:
    """Map with the caller's executor, which alone decides how often a task is tried."""
    names: dict[Future[T], str] = {}
    try:
        _submit_all(executor, work, tasks, done, names)
    except BrokenExecutor as error:
        # Futures are not cancelled here: a pool that is shutting itself down does not expect that.
        raise WorkerFailed(f"The workers were killed. {error}", 1) from error
    except BaseException:
        for future in names:
            future.cancel()
        raise


def _submit_all(
    executor: Executor,
    work: Callable[..., T],
    tasks: Tasks,
    done: Callable[[str, T], None],
    names: dict[Future[T], str],
) -> None:
    """Submit all tasks and use their results. On return or error, `names` has the futures whose result was not used."""
    for name, task in tasks.items():
        names[executor.submit(work, *task)] = name
    for future in as_completed(names):
        # Removed, so that no result outlives its use.
        name = names.pop(future)
        try:
            result = future.result()
        except _given_up() as error:
            why = str(error) or "It was cancelled."
            raise WorkerFailed(f"{name}: its workers were lost. {why}", 1) from error
        except Exception as error:
            error.add_note(f"It happened in {name}.")
            raise
        done(name, result)


def _given_up() -> tuple[type[Exception], ...]:
    """The errors that a future raises when its executor gives it up, including Dask's own if Dask is in use."""
    distributed = sys.modules.get("distributed")
    return (CancelledError, *((distributed.KilledWorker,) if distributed else ()))
