"""The workers of a Dask cluster as an executor: `--dask tcp://scheduler:8786`.

distributed is an extra: `pip install 'booktape[dask]'`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from booktape.errors import SchedulerUnreachable, UsageError
from booktape.processes import terminal
from booktape.processes.extras import import_extra

ANSWER_WITHIN_S: Final = 10
"""How long the scheduler may take to answer."""

_SAME: Final = ("booktape", "pyarrow")
"""The packages that decide the bytes of a file: each worker must have our versions."""


@contextmanager
def dask_executor(address: str) -> Iterator[Executor]:
    """An executor for the cluster whose scheduler has this address, for as long as the block runs.

    The scheduler gives the tasks of a worker that died to another worker, three times by Dask's default configuration.
    Raises UsageError if distributed is not installed or workers have other versions, and SchedulerUnreachable after
    ANSWER_WITHIN_S at the latest.
    """
    client = _client(address)
    with client:
        _check_versions(client)
        if not client.scheduler_info()["workers"]:
            terminal.write_to_stderr(f"{address} has no worker yet. Waiting for one.")
        # Not pure, because Dask would reuse an earlier result, and files may have changed since.
        yield client.get_executor(pure=False)


def _client(address: str) -> Any:  # noqa: ANN401 a class of the extra
    distributed = import_extra("distributed", "distributed", "dask")
    try:
        # Dask's own timeout covers only the connection: it would wait forever for a server that then says nothing.
        asyncio.run(asyncio.wait_for(_greet(address), ANSWER_WITHIN_S))
        return distributed.Client(address, timeout=ANSWER_WITHIN_S, set_as_default=False)
    except TimeoutError as error:
        why = f"there was no answer within {ANSWER_WITHIN_S} s"
        raise SchedulerUnreachable(address, why) from error
    except Exception as error:  # the answer of another kind of server can fail in any way
        raise SchedulerUnreachable(address, str(error).rstrip(".")) from error


async def _greet(address: str) -> None:
    greeted = await import_module("distributed.comm").connect(address, timeout=ANSWER_WITHIN_S)
    await greeted.close()


def _check_versions(client: Any) -> None:  # noqa: ANN401
    """Raises UsageError if a worker has other versions. Workers that join later are not asked."""
    ours = {name: version(name) for name in _SAME}

    # A nested function is sent as code, so a worker without booktape can run it too.
    def ask(names: tuple[str, ...]) -> dict[str, str]:
        from importlib.metadata import distributions  # noqa: PLC0415 - it runs elsewhere

        return {d.name: d.version for d in distributions() if d.name in names}

    for worker, theirs in client.run(ask, _SAME).items():
        for name, own in ours.items():
            if theirs.get(name) != own:
                raise UsageError(
                    f"The worker {worker} has {name} {theirs.get(name, '(not installed)')}, and this machine "
                    f"has {own}: its files could differ from ours. Install the same version there."
                )
