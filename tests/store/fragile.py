"""A disk that dies, or refuses, at the operation a test chooses.

Every change that the store makes to the disk is one of the calls to the operating system that are
counted here: making and removing folders, opening and closing, writing, syncing, renaming, unlinking.
A dead disk stays dead for every thread, as after a `kill -9`: nothing that Python still unwinds reaches it. A worker in
the same thread makes the count the same on every run.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from math import inf
from typing import Any, Final, ParamSpec, TypeVar

import pytest

from booktape.rerecord import rebuild
from booktape.store import archive, patience

P = ParamSpec("P")
R = TypeVar("R")

STEPS: Final = ("open", "pwrite", "close", "fsync", "rename", "mkdir", "rmdir", "unlink")


class Crash(BaseException):
    """The process is dead: nothing may catch this."""


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The operating system lets no file grow beyond this size: EFBIG, for Arrow as for us."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class SameThread(Executor):
    """An executor that runs each task at once."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        done: Future[R] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - as a real executor does
            done.set_exception(error)
        return done


class Disk:
    """Counts operations; `dies_at`, `is_full_at` and `refuses_at` choose the first that fails.

    For a `patient` store it counts every open and close; else what changes something.
    """

    def __init__(self, patch: pytest.MonkeyPatch, *, patient: bool = False) -> None:
        self._patient = patient
        self.log: list[str] = []
        self.watch: Callable[[str], None] = lambda _: None
        self.failed = 0
        self._fails_at: float = inf
        self._times: float = inf
        self._error: Callable[[], BaseException] = Crash
        self._spared: tuple[str, ...] = ()
        self._open: set[int] = set()
        self._really = {name: getattr(os, name) for name in STEPS}
        patch.setattr(archive, "ThreadPoolExecutor", SameThread)
        patch.setattr(rebuild, "ThreadPoolExecutor", SameThread)
        for name in ("rename", "mkdir", "rmdir", "unlink"):
            patch.setattr(os, name, self._counted(name, self._really[name]))
        # Counted, not done: no test here cuts the power, and syncing is slow.
        patch.setattr(os, "fsync", self._counted("fsync", lambda _: None))
        patch.setattr(os, "open", self._opened)
        patch.setattr(os, "pwrite", self._written)
        patch.setattr(os, "close", self._closed)
        # A patient store tries again soon, twenty times.
        patch.setattr(patience, "PAUSE_S", 0.001)
        patch.setattr(patience, "GRACE_S", 0.02 if patient else 0.0)

    @contextmanager
    def dies_at(self, chosen: int) -> Iterator[None]:
        """Nothing changes from the `chosen` operation on; the Crash ends here. See `failed`."""
        with self._failing(chosen, Crash, inf, ()), suppress(Crash):
            yield

    @contextmanager
    def is_full_at(self, chosen: int) -> Iterator[None]:
        """From the `chosen` operation on there is no space; removing still works. See `failed`."""
        with self._failing(chosen, _refusal(errno.ENOSPC), inf, ("unlink", "rmdir", "close")):
            yield

    @contextmanager
    def refuses_at(self, chosen: int, number: int, times: int = 1) -> Iterator[None]:
        """`times` operations from the `chosen` one on, of whatever kind, fail with this error."""
        with self._failing(chosen, _refusal(number), times, ()):
            yield

    @contextmanager
    def _failing(
        self,
        chosen: int,
        error: Callable[[], BaseException],
        times: float,
        spared: tuple[str, ...],
    ) -> Iterator[None]:
        self.log, self.failed = [], 0
        self._fails_at, self._error, self._times, self._spared = chosen, error, times, spared
        try:
            yield
        finally:
            self._fails_at = inf
            # The operating system closes files that a dead process had open.
            for descriptor in self._open:
                self._really["close"](descriptor)
            self._open.clear()

    def step(self, name: str, last_act: Callable[[], object] = lambda: None) -> None:
        """One operation: the chosen one fails (after its `last_act`), and so do the next ones."""
        self.log.append(name)
        self.watch(name)
        if len(self.log) <= self._fails_at or name in self._spared or self.failed >= self._times:
            return
        self.failed += 1
        if self.failed == 1 or self._error is not Crash:
            last_act()
        raise self._error()

    def _counted(self, name: str, operation: Callable[P, R]) -> Callable[P, R]:
        def counted(*args: P.args, **kwargs: P.kwargs) -> R:
            self.step(name)
            return operation(*args, **kwargs)

        return counted

    def _opened(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        # A lock that is there takes no space.
        is_lock = ".lock" in str(path) and os.path.exists(path)  # noqa: PTH110
        writes = not is_lock and flags & (os.O_WRONLY | os.O_RDWR)
        # Plain O_RDONLY opens something to sync it. Lack of space is no reason not to read.
        if writes or (self._patient and flags == os.O_RDONLY):
            self.step("open")
        descriptor: int = self._really["open"](path, flags, *args, **kwargs)
        if writes:
            self._open.add(descriptor)
        return descriptor

    def _written(self, descriptor: int, data: memoryview, at: int) -> int:
        """A write that dies or fails still writes half of its bytes."""
        half = data[: len(data) // 2]
        self.step("pwrite", lambda: self._really["pwrite"](descriptor, half, at))
        written: int = self._really["pwrite"](descriptor, data, at)
        return written

    def _closed(self, descriptor: int) -> None:
        """A close that fails still closes the file: its error concerns an earlier write."""

        def close() -> None:
            self._open.discard(descriptor)
            self._really["close"](descriptor)

        # To die at a close is to die before the next operation.
        if descriptor in self._open and self._patient:
            self.step("close", close)
        close()


def _refusal(number: int) -> Callable[[], OSError]:
    return lambda: OSError(number, os.strerror(number))
