"""Several recorders as one: each a process with its own part of the symbols, all in one directory.

Each worker is a plain recorder. This process owns the directory, repairs what a kill left behind,
starts the workers, adds up what they say of themselves, and passes on signals. A worker that ends
before it was asked to ends the others.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import secrets
import signal
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from ctypes import c_double
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final, NamedTuple

import structlog

from booktape import descriptors, tuning
from booktape.errors import BooktapeError, NothingRecorded, WorkerFailed
from booktape.net.request_pause import NO_PAUSE
from booktape.recorder.recorder import Recorder
from booktape.recorder.run import RecorderLike, run_until_signalled
from booktape.recorder.settings import Partition, Settings
from booktape.recorder.status import SHOWN, RecorderStatus
from booktape.store.archive import own_archive
from booktape.terminal import connected, log_to_stderr, lost_lines

REPORT_S: Final = 0.5
"""How often a worker says how it stands."""

_A_WORKER: Final = 4
"""Descriptors that each worker takes of the process that started it: its pipe, its process."""

_LEAVE: Final = signal.SIGINT
"""What has a worker leave at once that is stopping. Not SIGTERM: a service manager may send that to
every process, and this one passes on its own."""

_HELD_BACK: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""Signals that wait while a worker starts."""

_SPAWN: Final = multiprocessing.get_context("spawn")  # not forked: this process has threads

log = structlog.get_logger()


class _Failure(NamedTuple):
    """A worker's last words: a sentence for the user, and the exit code that belongs to it."""

    sentence: str
    exit_code: int


@dataclass(slots=True)
class _Worker:
    """One process, and the last it said."""

    process: BaseProcess
    status_pipe: Connection
    status: RecorderStatus | None = None
    failure: _Failure | None = None

    def drain_status(self) -> None:
        """Take everything it says, at once, until it has ended; blocks, so in a thread.

        A pipe that nobody reads is soon full, and then the worker would wait instead of recording.
        """
        # OSError: it was killed amid a sentence.
        with suppress(EOFError, OSError):
            while True:
                said = self.status_pipe.recv()
                if isinstance(said, _Failure):
                    self.failure = said
                elif said is not None:  # it has not begun, or is ending: the last picture stays
                    self.status = said
        self.process.join()
        if self.process.exitcode and self.failure is None:
            what = f"A worker process died (exit code {self.process.exitcode}). What it left is "
            self.failure = _Failure(what + "recovered at the next start.", 1)


class Workers:
    """Records with several processes. Like a `Recorder`, to whoever runs, stops or watches it."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._settings = settings
        self._count = count
        self._workers: list[_Worker] = []
        self._stopping = False

    def stop(self) -> None:
        """Have every worker seal its files and end."""
        self._stopping = True
        for worker in self._workers:
            worker.process.terminate()

    def flush(self) -> None:
        """Have every worker leave at once, its tape on the disk."""
        for worker in self._workers:
            if worker.process.is_alive() and worker.process.pid:
                os.kill(worker.process.pid, _LEAVE)

    async def run(self) -> None:
        """Until all have ended. Raises WorkerFailed when one failed; the others were sealed then."""
        descriptors.require(descriptors.OWN + self._count * _A_WORKER, f"{self._count} --workers")
        with own_archive(self._settings.out) as archive:
            await asyncio.to_thread(archive.repair, lambda: self._stopping)
            if self._stopping:
                return
            self._workers = [
                _start(replace(self._settings, partition=each)) for each in partitions(self._count)
            ]
            with ThreadPoolExecutor(self._count) as ears:
                await asyncio.gather(*(self._supervise(each, ears) for each in self._workers))
        self._check_failures()

    def status(self) -> RecorderStatus | None:
        """All of them as one, as of their last reports; None before all have begun.

        Who was told to stop reports no more, so the last picture stays.
        """
        known = [worker.status for worker in self._workers if worker.status]
        return _sum(known) if known and len(known) == len(self._workers) else None

    def _check_failures(self) -> None:
        """Raises WorkerFailed. That some of them recorded nothing matters where the others did not either."""
        failures = [worker.failure for worker in self._workers if worker.failure]
        worst = [each for each in failures if each.exit_code != NothingRecorded.exit_code]
        in_vain = not any(worker.status and worker.status.rows for worker in self._workers)
        if worst or (failures and in_vain):
            raise WorkerFailed(*(worst or failures)[0])

    async def _supervise(self, worker: _Worker, ears: Executor) -> None:
        await asyncio.get_running_loop().run_in_executor(ears, worker.drain_status)
        in_vain = worker.failure and worker.failure.exit_code == NothingRecorded.exit_code
        if worker.process.exitcode and not self._stopping and not in_vain:
            log.error("a worker ended", exit_code=worker.process.exitcode)
            self.stop()


def partitions(count: int) -> list[Partition]:
    """What each of so many workers is given."""
    # Steady time is the machine's (on Linux and macOS), so it is the same in every process.
    run, silence = secrets.token_hex(4), _SPAWN.RawArray(c_double, NO_PAUSE)
    return [Partition(index, count, run, silence) for index in range(count)]


def _sum(parts: list[RecorderStatus]) -> RecorderStatus:
    books = sorted((b for part in parts for b in part.books), key=lambda book: book.symbol)
    return RecorderStatus(
        tuple(books[:SHOWN]),
        sum(part.recorded for part in parts),
        sum(part.known for part in parts),
        sum(part.rows for part in parts),
        sum(part.gaps for part in parts),
        sum(part.records for part in parts),
        sum(part.waiting for part in parts),
        max(part.lag_ms for part in parts),
        sum(part.snapshot_requests for part in parts),
        min(part.segment for part in parts),
        sum(part.lost_lines for part in parts) + lost_lines(),
    )


def _start(settings: Settings) -> _Worker:
    ear, mouth = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_work, args=(settings, mouth))
    # A new process inherits which signals are held back. So one that comes while it is still starting
    # waits until the worker can stop in order, instead of killing it.
    resource_tracker.ensure_running()  # else it would be started in between, and let signals through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    mouth.close()
    return _Worker(process, ear)


def _work(settings: Settings, mouth: Connection) -> None:
    """The whole life of a worker process."""
    os.setsid()  # a Ctrl-C, or a terminal that closes, is for the parent, which passes it on
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # also if it came before, and waits
    with connected():
        log_to_stderr()
        tuning.tune_interpreter()
        try:
            recorder = Recorder(settings)
            asyncio.run(run_until_signalled(recorder, lambda seen: _tell(seen, mouth), (_LEAVE,)))
        except BooktapeError as error:
            mouth.send(_Failure(str(error), error.exit_code))
            sys.exit(error.exit_code)


async def _tell(recorder: RecorderLike, mouth: Connection) -> None:
    """Say how it stands until cancelled, or until nobody listens any more."""
    # By now `attend` reacts to signals.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
    while True:
        await asyncio.sleep(REPORT_S)
        now = recorder.status()
        try:
            # Also before there is anything to say: else a worker that waits for the exchange would
            # never learn that the main process is gone, and outlive it.
            # In a thread: should the main process be stopped or busy, only that one waits.
            await asyncio.to_thread(mouth.send, now)
        except OSError:
            log.warning("the recorder's main process is gone: sealing")
            recorder.stop()
            return
