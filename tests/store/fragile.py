"""A disk that dies, or fills up, at the operation a test chooses.

Every change that the store makes to the disk passes here and is counted: making and removing
folders, opening for writing, writing, syncing, renaming, unlinking, and each step of a Parquet
file. A dead disk stays dead for every thread, as after a `kill -9`: whatever Python still unwinds
reaches it no more. A worker in the same thread makes the count the same on every run.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

import pyarrow.parquet as pq
import pytest

from booktape.store import archive

P = ParamSpec("P")
R = TypeVar("R")


class Crash(BaseException):
    """The process is dead: nothing may catch this."""


def _no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The operating system itself lets no file grow beyond this: EFBIG, for Arrow as for us."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class SameThread(Executor):
    """Does at once what it is given."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        done: Future[R] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - as a real executor does
            done.set_exception(error)
        return done


class FragileFile(FileIO):
    """A file on such a disk. What a dying write still brings there is half of it."""

    disk: Disk

    def write(self, data: Any, /) -> int:
        half = memoryview(data)[: len(data) // 2]
        self.disk.step("write", lambda: super(FragileFile, self).write(half))
        return super().write(data)


class Disk:
    """Counts operations; `dies_at` and `is_full_at` choose the first that fails."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.watch: Callable[[str], None] = lambda _: None
        self.failed = False
        self._fails_at: int | None = None
        self._error: Callable[[], BaseException] = Crash
        self._spared: tuple[str, ...] = ()
        self._once = False
        self._files: list[FileIO] = []
        self._really_open = Path.open
        patch.setattr(archive, "ThreadPoolExecutor", SameThread)
        for name in ("mkdir", "rmdir", "rename", "unlink"):
            patch.setattr(os, name, self._counted(name, getattr(os, name)))
        # Counted, not done: no test here cuts the power, and it is slow.
        patch.setattr(os, "fsync", self._counted("fsync", lambda _: None))
        # Not a method of ours: bound by the lambda.
        patch.setattr(Path, "open", lambda path, mode="r", **how: self._open(path, mode, **how))
        for name in ("__init__", "write_batch", "write_table", "close"):
            method = getattr(pq.ParquetWriter, name)
            patch.setattr(pq.ParquetWriter, name, self._counted(f"parquet {name}", method))

    @contextmanager
    def dies_at(self, chosen: int) -> Iterator[None]:
        """Nothing changes from the `chosen` operation on; the Crash ends here. See `failed`."""
        with self._failing(chosen, Crash), suppress(Crash):
            yield

    @contextmanager
    def is_full_at(self, chosen: int) -> Iterator[None]:
        """From the `chosen` operation on there is no space; removing still works. See `failed`."""
        with self._failing(chosen, _no_space, spared=("unlink", "rmdir")):
            yield

    @contextmanager
    def is_full_once_at(self, chosen: int) -> Iterator[None]:
        """Only the `chosen` operation, of whatever kind, finds no space."""
        with self._failing(chosen, _no_space, once=True):
            yield

    @contextmanager
    def _failing(
        self,
        chosen: int,
        error: Callable[[], BaseException],
        *,
        spared: tuple[str, ...] = (),
        once: bool = False,
    ) -> Iterator[None]:
        self.log, self.failed = [], False
        self._fails_at, self._error, self._spared, self._once = chosen, error, spared, once
        try:
            yield
        finally:
            self._fails_at = None
            # The operating system closes what a dead process had open.
            for file in self._files:
                file.close()
            self._files.clear()

    def step(self, name: str, last_act: Callable[[], object] = lambda: None) -> None:
        """One operation: the chosen one fails (after its `last_act`), and all later ones do."""
        self.log.append(name)
        self.watch(name)
        if self._fails_at is None or len(self.log) <= self._fails_at or name in self._spared:
            return
        if self._once and self.failed:
            return
        if not self.failed:
            self.failed = True
            last_act()
        raise self._error()

    def _counted(self, name: str, operation: Callable[P, R]) -> Callable[P, R]:
        def counted(*args: P.args, **kwargs: P.kwargs) -> R:
            self.step(name)
            return operation(*args, **kwargs)

        return counted

    def _open(self, path: Path, mode: str, **how: Any) -> IO[Any] | FileIO:
        if "x" not in mode:
            return self._really_open(path, mode, **how)
        self.step("open")
        file = FragileFile(path, mode.replace("b", ""))
        file.disk = self
        self._files.append(file)
        return file
