"""Several recorder processes that act as one recorder: each has its part of the symbols, and all write to one archive.

Each worker is a plain recorder. This process owns the directory, repairs what a kill left behind, starts the
workers, sums up their status, and passes signals on. If a worker ends before it was stopped, the others are stopped.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from ctypes import c_double
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Final, NamedTuple

import structlog

from booktape.errors import BooktapeError, NothingRecorded, WorkerFailed
from booktape.net.request_pause import NO_PAUSE
from booktape.processes import descriptors, tuning
from booktape.processes.process_pool import SPAWN
from booktape.processes.terminal import connected, log_to_stderr, lost_lines
from booktape.reader.book_view import BookView
from booktape.recorder.recorder import Recorder
from booktape.recorder.run import RecorderLike, run_until_signalled
from booktape.recorder.settings import Partition, Settings
from booktape.recorder.status import SHOWN, RecorderStatus, by_trouble
from booktape.store.archive import lock_archive

STATUS_EVERY_S: Final = 0.5
"""How often a worker reports its status."""

VIEW_S: Final = 2.0
"""How long a worker may take to show a book. A worker that is starting a segment, or is suspended, shows none."""

QUESTIONS_MAX: Final = 100
"""Books that may be requested but not yet shown. A pipe holds many more requests, so that sending one never blocks."""

_WORKER_DESCRIPTORS: Final = 6
"""Descriptors that each worker takes up in this process: its pipe, its process, and what starting it needs."""

_ABORT: Final = signal.SIGINT
"""The signal that ends a stopping worker at once. Not SIGTERM: a service manager may send that to every process, and
this process passes its own on."""

_BLOCKED: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""Signals that are blocked while a worker starts."""

log = structlog.get_logger()


class _Failure(NamedTuple):
    """Why a worker failed: a sentence for the user, and its exit code."""

    sentence: str
    exit_code: int


class _Question(NamedTuple):
    """Which book is requested, and how far around its mid."""

    symbol: str
    reach_bps: int


class _Shown(NamedTuple):
    """A worker's answer."""

    question: _Question
    book: BookView | None


@dataclass(slots=True)
class _Worker:
    """One process, its last report, and the answers that are still awaited."""

    process: BaseProcess
    pipe: Connection
    partition: Partition
    status: RecorderStatus | None = None
    failure: _Failure | None = None
    waiting: dict[_Question, asyncio.Future[BookView | None]] = field(default_factory=dict)

    async def view(self, question: _Question) -> BookView | None:
        """The book, or None if it is not known or not shown in time. Simultaneous requests for it share one answer."""
        if question not in self.waiting:
            if len(self.waiting) >= QUESTIONS_MAX:
                return None
            try:
                self.pipe.send(question)
            except OSError:
                return None  # it has ended
            # Its answer comes through the loop, so never before this line.
            self.waiting[question] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(VIEW_S):
                return await asyncio.shield(self.waiting[question])
        except TimeoutError:
            return None

    def _show(self, shown: _Shown) -> None:
        answer = self.waiting.pop(shown.question, None)
        if answer is not None and not answer.done():
            answer.set_result(shown.book)

    def read_reports(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read the worker's reports until it has ended. This blocks, so it runs in a thread.

        A pipe that is not read is soon full, and then the worker would wait instead of recording.
        """
        # OSError: it was killed in the middle of a report.
        with suppress(EOFError, OSError):
            while True:
                report = self.pipe.recv()
                if isinstance(report, _Failure):
                    self.failure = report
                elif isinstance(report, _Shown):
                    loop.call_soon_threadsafe(self._show, report)
                elif report is not None:
                    self.status = report
                # None: the worker has not begun, or is ending. The last status stays.
        self.process.join()
        if self.process.exitcode and self.failure is None:
            died = f"A worker process died (exit code {self.process.exitcode})."
            self.failure = _Failure(f"{died} The next start recovers what it left.", 1)


class Workers:
    """Records with several processes. It is run, stopped and shown like a `Recorder`."""

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
        """Have every worker hand its tape to the operating system and end at once."""
        for worker in self._workers:
            if worker.process.is_alive() and worker.process.pid:
                os.kill(worker.process.pid, _ABORT)

    async def run(self) -> None:
        """Record until all have ended. Raises WorkerFailed if one failed; the others have then sealed their files."""
        needed = descriptors.OWN + self._count * _WORKER_DESCRIPTORS
        descriptors.require(needed, f"{self._count} --workers")
        with lock_archive(self._settings.out) as archive:
            await asyncio.to_thread(archive.repair, lambda: self._stopping)
            if self._stopping:
                return
            self._workers = [
                _start(replace(self._settings, partition=each)) for each in partitions(self._count)
            ]
            with ThreadPoolExecutor(self._count) as threads:
                await asyncio.gather(*(self._supervise(each, threads) for each in self._workers))
        self._check_failures()

    def status(self, shown: int = SHOWN) -> RecorderStatus | None:  # noqa: ARG002 they look at their own
        """The sum of the workers' last reports; None before all have begun.

        A worker that is stopping reports no status, so its last one stays.
        """
        parts = [worker.status for worker in self._workers if worker.status]
        return _sum(parts) if parts and len(parts) == len(self._workers) else None

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        """A book, as shown by the worker that records the symbol; None if no worker does."""
        owner = next((each for each in self._workers if each.partition.owns(symbol)), None)
        return await owner.view(_Question(symbol, reach_bps)) if owner else None

    def _check_failures(self) -> None:
        """Raises WorkerFailed if a worker failed. One that recorded nothing counts only if all recorded nothing."""
        failures = [worker.failure for worker in self._workers if worker.failure]
        worst = [each for each in failures if each.exit_code != NothingRecorded.exit_code]
        in_vain = not any(worker.status and worker.status.rows for worker in self._workers)
        if worst or (failures and in_vain):
            raise WorkerFailed(*(worst or failures)[0])

    async def _supervise(self, worker: _Worker, threads: Executor) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(threads, worker.read_reports, loop)
        in_vain = worker.failure and worker.failure.exit_code == NothingRecorded.exit_code
        if worker.process.exitcode and not self._stopping and not in_vain:
            log.error("a worker ended", exit_code=worker.process.exitcode)
            self.stop()


def partitions(count: int) -> list[Partition]:
    """The partitions of `count` workers."""
    # Steady time belongs to the machine (on Linux and macOS), so it is the same in every process.
    run, pause_memory = secrets.token_hex(4), SPAWN.RawArray(c_double, NO_PAUSE)
    return [Partition(index, count, run, pause_memory) for index in range(count)]


def _sum(parts: list[RecorderStatus]) -> RecorderStatus:
    at_ns = max(part.at_ns for part in parts)
    return RecorderStatus(
        at_ns,
        min(part.started_ns for part in parts),
        tuple(by_trouble((book for part in parts for book in part.books), at_ns)),
        sum(part.records for part in parts),
        sum(part.waiting for part in parts),
        max(part.lag_ms for part in parts),
        sum(part.connections for part in parts),
        sum(part.requests for part in parts),
        sum(part.written_bytes for part in parts),
        min(part.segment for part in parts),
        sum(part.lost_lines for part in parts) + lost_lines(),
    )


def _start(settings: Settings) -> _Worker:
    pipe, its_end = SPAWN.Pipe()
    process = SPAWN.Process(target=_work, args=(settings, its_end))
    # A new process inherits the blocked signals. So a signal that comes while the worker is still starting waits until
    # the worker can stop properly, instead of killing it.
    resource_tracker.ensure_running()  # otherwise it would be started in between, and unblock signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    its_end.close()
    return _Worker(process, pipe, settings.partition)


def _work(settings: Settings, pipe: Connection) -> None:
    """The main function of a worker process."""
    os.environ.pop("NOTIFY_SOCKET", None)  # it is the parent's
    os.setsid()  # Ctrl-C and the terminal's SIGHUP go to the parent, which passes them on
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # this includes one that came earlier and is blocked
    with connected():
        log_to_stderr()
        tuning.tune_interpreter()
        try:
            report = partial(_report_status, pipe=pipe)
            # Its first signal is the parent's SIGTERM, so the parent's _ABORT is never the same request sent twice.
            asyncio.run(run_until_signalled(Recorder(settings), report, (_ABORT,), doubled_s=0))
        except BooktapeError as error:
            pipe.send(_Failure(str(error), error.exit_code))
            sys.exit(error.exit_code)


async def _report_status(recorder: RecorderLike, pipe: Connection) -> None:
    """Send the status, and the books it requests, to the main process until cancelled.

    Stops the recorder when that process is gone.
    """
    # By now `run_until_signalled` handles signals.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _BLOCKED)
    loop, asked = asyncio.get_running_loop(), asyncio.Queue[_Question]()

    def hear() -> None:
        try:
            asked.put_nowait(pipe.recv())
        except (EOFError, OSError):
            loop.remove_reader(pipe.fileno())  # the main process is gone: `send` finds out

    loop.add_reader(pipe.fileno(), hear)  # until the loop ends, with the recorder
    due_s = loop.time() + STATUS_EVERY_S
    while True:
        report: _Shown | RecorderStatus | None
        try:
            async with asyncio.timeout_at(max(due_s, loop.time())):
                question = await asked.get()
            report = _Shown(question, await recorder.view(*question))
        except TimeoutError:
            report = recorder.status()
            due_s = loop.time() + STATUS_EVERY_S
        try:
            # A None is sent too: otherwise a worker that waits for the exchange would never notice that the main
            # process is gone, and would outlive it. In a thread: if the main process is suspended or busy, only the
            # thread waits.
            await asyncio.to_thread(pipe.send, report)
        except OSError:
            log.warning("the recorder's main process is gone: sealing")
            recorder.stop()
            return
