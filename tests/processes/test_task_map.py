"""One function over many tasks: the same results wherever it runs, and a task that kills its process is named."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from booktape.errors import DamagedTape, WorkerFailed, WriteFailed
from booktape.processes.process_pool import SPAWN
from booktape.processes.task_map import WHOLE, Shard, map_tasks


def square(number: int) -> int:
    return number * number


def fail_at(wrong: int, number: int) -> int:
    if number == wrong:
        raise WriteFailed(Path("/there"), "the disk is full", may_pass=True)
    return number


def die_once(mark: Path, number: int) -> int:
    """The first process that reaches 7 is killed, as by a system that is out of memory."""
    if number == 7 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_always(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def results(work: Any, workers: Executor | int, count: int = 20) -> dict[str, int]:
    found: dict[str, int] = {}

    def done(name: str, result: int) -> None:
        assert name not in found, "each is done once"
        found[name] = result

    map_tasks(work, {f"task {number}": (number,) for number in range(count)}, workers, done)
    return found


@pytest.mark.parametrize(
    "workers", [1, 2, partial(ThreadPoolExecutor, 3), partial(ProcessPoolExecutor, 1, SPAWN)]
)
def test_results_are_the_same_wherever_tasks_run(workers: Any) -> None:
    """In this process, in our own pool, or in an executor of the caller."""
    with nullcontext(workers) if isinstance(workers, int) else workers() as given:
        assert results(square, given) == {f"task {n}": n * n for n in range(20)}
        assert results(square, given, 1) == {"task 0": 0}
        assert results(square, given, 0) == {}


def test_a_killed_process_loses_no_task(tmp_path: Path) -> None:
    """A new pool runs the remaining tasks, and each result comes once."""
    found = results(partial(die_once, tmp_path / "mark"), 2)
    assert found == {f"task {n}": n for n in range(20)}
    assert (tmp_path / "mark").exists()


def test_a_task_that_kills_every_process_is_named() -> None:
    """After two killed processes there are no more attempts."""
    with pytest.raises(
        WorkerFailed, match=r"^task 7: a process that worked on it was killed twice"
    ):
        results(die_always, 2)


def test_a_killed_executor_of_the_caller_gives_one_of_our_errors() -> None:
    """We cannot create another one like it."""
    with (
        ProcessPoolExecutor(1, SPAWN) as pool,
        pytest.raises(WorkerFailed, match="workers were killed"),
    ):
        results(die_always, pool)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_a_task_ends_all_of_them(jobs: int) -> None:
    """The error itself is raised, complete, even from another process."""
    with pytest.raises(WriteFailed, match="Cannot write /there: the disk is full") as raised:
        results(partial(fail_at, 3), jobs)
    assert (raised.value.may_pass, raised.value.why) == (True, "the disk is full")
    assert jobs == 1 or raised.value.__notes__ == ["It happened in task 3."]


def test_an_error_of_the_caller_ends_all_tasks() -> None:
    """The error passes through, and no process is left."""

    def refuse(_: str, __: int) -> None:
        raise DamagedTape("no")

    tasks = {str(number): (number,) for number in range(50)}
    with pytest.raises(DamagedTape, match="no"):
        map_tasks(square, tasks, 2, refuse)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_contain_every_task_once(count: int) -> None:
    """Their sizes differ by one at most; a task added later moves no other."""
    tasks = list(range(23))
    shards = [Shard(number, count).part(tasks) for number in range(1, count + 1)]
    assert sorted(task for shard in shards for task in shard) == tasks
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    for number, shard in enumerate(shards, 1):
        assert Shard(number, count).part([*tasks, 23])[: len(shard)] == shard
    assert WHOLE.part(tasks) == tasks
