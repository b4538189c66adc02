"""Workers and the main process: neither waits for the other."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import closing
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import pytest

from booktape.net.request_pause import NO_PAUSE
from booktape.processes.process_pool import SPAWN
from booktape.reader.book_view import BookView
from booktape.recorder import workers
from booktape.recorder.settings import Partition, Settings
from booktape.recorder.status import SHOWN, BookStatus, RecorderStatus
from booktape.recorder.workers import (
    QUESTIONS_MAX,
    Workers,
    _Question,
    _report_status,
    _Worker,
    partitions,
)
from booktape.wire.endpoints import Venue

VIEW: Final = BookView(1, 1, 1, 1, [], [], 0, 0, None, None, 0.0, 0.0, [], [])
BOOK: Final = BookStatus("BTCUSDT", "live", 1, 10, 1, 0)
LONG: Final = RecorderStatus(1, 1, (BOOK,) * 20_000, 1, 0, 0.0, 1, 1, 1, "first")
"""Many times the capacity of a pipe."""

PATIENCE_S: Final = 120.0


class LargeStatus:
    """A recorder whose status is many times what a pipe holds."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.stopped = False

    async def run(self) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.stopped = True

    def status(self, shown: int = SHOWN) -> RecorderStatus:
        assert shown == SHOWN
        self.waiting.set()
        return LONG

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        return {("BTCUSDT", 25): VIEW}.get((symbol, reach_bps))


@pytest.mark.real_time
async def test_a_worker_continues_while_its_reports_are_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However large they are; when the other end of the pipe is closed, it seals."""
    monkeypatch.setattr(workers, "STATUS_EVERY_S", 0.0)
    receiver, sender = Pipe()
    # A write to a full pipe waits for ever, unless the other end is closed.
    giving_up = threading.Timer(PATIENCE_S, receiver.close)
    giving_up.start()

    recorder = LargeStatus()
    reporting = asyncio.create_task(_report_status(recorder, sender))
    await recorder.waiting.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert giving_up.is_alive()
    receiver.close()
    await reporting
    assert recorder.stopped
    giving_up.cancel()


@pytest.mark.real_time
async def test_a_worker_without_a_status_notices_that_the_main_process_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may wait for an exchange that never answers; it must not outlive the main process."""
    monkeypatch.setattr(workers, "STATUS_EVERY_S", 0.0)
    monkeypatch.setattr(LargeStatus, "status", lambda _: None)
    receiver, sender = Pipe()
    receiver.close()

    recorder = LargeStatus()
    async with asyncio.timeout(PATIENCE_S):
        await _report_status(recorder, sender)
    assert recorder.stopped


def test_reports_are_read_as_they_arrive() -> None:
    """The last one stays when the worker has ended."""
    receiver, sender = Pipe()
    worker = _worker(receiver)
    draining = threading.Thread(target=_drain, args=(worker,), daemon=True)
    draining.start()

    def send() -> None:
        for records in range(20):
            sender.send(replace(LONG, records=records))
        sender.send(None)
        sender.close()

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    sending.join(PATIENCE_S)
    draining.join(PATIENCE_S)
    assert not sending.is_alive()
    assert worker.status
    assert worker.status.records == 19


def test_a_worker_may_die_in_the_middle_of_a_report() -> None:
    """The previous report then stays."""
    receiver, sender = Pipe()
    worker = _worker(receiver)
    sender.send(replace(LONG, books=(BOOK,), records=7))
    os.write(sender.fileno(), (100).to_bytes(4, "big") + b"cut")
    sender.close()
    _drain(worker)
    assert worker.status
    assert worker.status.records == 7


def test_the_statuses_of_workers_become_one() -> None:
    """There is none before all have reported; then it has sums, all books by trouble, and the worst lag."""
    books = [replace(BOOK, symbol=f"S{n:02}USDT") for n in range(10)]
    lost = replace(BOOK, symbol="T", state="cold")
    parts = [
        RecorderStatus(9, 2, tuple(books[::2]), 5, 3, 0.5, 2, 4, 100, "b"),
        RecorderStatus(8, 1, (lost, *books[1::2]), 6, 4, 9.5, 1, 5, 200, "a"),
    ]
    recorders = Workers(Settings(Venue("none", "", ""), (), every=1, out=Path()), 2)
    receiver, _ = Pipe()
    recorders._workers = [_worker(receiver) for _ in parts]
    for worker, part in zip(recorders._workers, parts, strict=True):
        assert recorders.status() is None
        worker.status = part
    summed = RecorderStatus(9, 1, (lost, *books), 11, 7, 9.5, 3, 9, 300, "a")
    assert recorders.status() == summed


@pytest.mark.real_time
async def test_a_worker_shows_the_requested_book() -> None:
    """Two callers that ask at once share one answer; for an unknown book the answer is None."""
    receiver, sender = Pipe()
    worker = _worker(receiver)
    reporting = asyncio.create_task(_report_status(LargeStatus(), sender))
    draining = asyncio.create_task(asyncio.to_thread(_drain, worker, asyncio.get_running_loop()))
    wanted = [_Question(symbol, 25) for symbol in ("BTCUSDT", "BTCUSDT", "NOSUCH")]
    shown = await asyncio.gather(*map(worker.view, wanted))
    assert shown == [VIEW, VIEW, None]
    assert not worker.waiting
    reporting.cancel()
    await asyncio.wait({reporting})
    sender.close()
    await draining


@pytest.mark.real_time
async def test_a_worker_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor is it asked repeatedly: each question is sent once, and QUESTIONS_MAX at most are sent."""
    monkeypatch.setattr(workers, "VIEW_S", 0.01)
    asking, questions = Pipe()
    worker = _worker(asking)
    for number in range(3 * QUESTIONS_MAX):
        assert await worker.view(_Question(f"S{number % (2 * QUESTIONS_MAX)}", 25)) is None
    assert len(worker.waiting) == QUESTIONS_MAX
    sent = 0
    while questions.poll():
        questions.recv()
        sent += 1
    assert sent == QUESTIONS_MAX


def test_all_workers_pause_when_the_exchange_asks_one_of_them_to() -> None:
    """They share one memory of the pause, whichever process writes to it."""
    first, second = (each.pause_memory for each in partitions(2))
    assert first is not None
    assert second is not None
    assert tuple(second) == NO_PAUSE
    process = SPAWN.Process(target=first.__setitem__, args=(0, 7.5))
    process.start()
    process.join(PATIENCE_S)
    assert second[0] == 7.5


def _worker(pipe: Connection) -> _Worker:
    """A worker without a process."""
    return _Worker(BaseProcess.__new__(BaseProcess), pipe, Partition())


def _drain(worker: _Worker, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """There is no process to join."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseProcess, "join", lambda _: None)
        patch.setattr(BaseProcess, "exitcode", 0)
        with closing(asyncio.new_event_loop()) as own:
            worker.read_reports(loop or own)
