"""Who does the work of `rebuild`, `verify` and `export`: this process, several, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from booktape.commands.options import address
from booktape.errors import UsageError
from booktape.processes.dask_cluster import dask_executor
from booktape.processes.task_map import Workers


@contextmanager
def chosen_workers(jobs: int, dask: str | None) -> Iterator[Workers]:
    """The workers of `--jobs` or `--dask`. Raises UsageError if both are given, SchedulerUnreachable."""
    if dask is None:
        yield jobs
        return
    if jobs != 1:
        raise UsageError("Choose --jobs, for this machine, or --dask, for a cluster, not both.")
    with dask_executor(address("--dask", dask, "tcp", "tls")) as executor:
        yield executor
