"""Workers and the process that listens to them: neither waits for the other."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import pytest

from booktape.net.request_pause import NO_PAUSE
from booktape.recorder import workers
from booktape.recorder.settings import Settings
from booktape.recorder.status import SHOWN, BookStatus, RecorderStatus
from booktape.recorder.workers import _SPAWN, Workers, _tell, _Worker, partitions
from booktape.wire.endpoints import Venue

BOOK: Final = BookStatus("BTCUSDT", "live", 1, 10, 100, 0.01, 1, 0)
LONG: Final = RecorderStatus((BOOK,) * 20_000, 1, 1, 1, 0, 1, 0, 0.0, 1, "first")
"""Many times what a pipe holds."""

PATIENCE_S: Final = 20.0


class Told:
    """A recorder that is asked how it stands, and has much to say."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.stopped = False

    async def run(self) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.stopped = True

    def status(self) -> RecorderStatus:
        self.asked.set()
        return LONG


def test_a_worker_goes_on_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much it has to say; and when nobody is left to listen, it seals."""
    monkeypatch.setattr(workers, "REPORT_S", 0.0)
    ear, mouth = Pipe(duplex=False)
    # Whoever waits for a full pipe waits for ever, unless somebody closes it.
    giving_up = threading.Timer(PATIENCE_S, ear.close)
    giving_up.start()

    async def story() -> None:
        recorder = Told()
        telling = asyncio.create_task(_tell(recorder, mouth))
        await recorder.asked.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert giving_up.is_alive()
        ear.close()
        await telling
        assert recorder.stopped

    asyncio.run(story())
    giving_up.cancel()


def test_a_worker_that_has_nothing_to_say_notices_that_nobody_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may wait for an exchange that never answers; it must not outlive the main process."""
    monkeypatch.setattr(workers, "REPORT_S", 0.0)
    monkeypatch.setattr(Told, "status", lambda _: None)
    ear, mouth = Pipe(duplex=False)
    ear.close()

    async def story() -> None:
        recorder = Told()
        async with asyncio.timeout(PATIENCE_S):
            await _tell(recorder, mouth)
        assert recorder.stopped

    asyncio.run(story())


def test_a_worker_is_heard_though_nobody_asks() -> None:
    """All it says is taken at once, and the last of it stands when it has ended."""
    ear, mouth = Pipe(duplex=False)
    ended = BaseProcess.__new__(BaseProcess)
    worker = _Worker(ended, ear)
    hearing = threading.Thread(target=_hear, args=(worker,), daemon=True)
    hearing.start()

    def speak() -> None:
        for frames in range(20):
            mouth.send(replace(LONG, records=frames))
        mouth.send(None)
        mouth.close()

    speaking = threading.Thread(target=speak, daemon=True)
    speaking.start()
    speaking.join(PATIENCE_S)
    hearing.join(PATIENCE_S)
    assert not speaking.is_alive()
    assert worker.status
    assert worker.status.records == 19


def test_a_worker_may_die_amid_a_sentence() -> None:
    """Then what it said before stands."""
    ear, mouth = Pipe(duplex=False)
    worker = _Worker(BaseProcess.__new__(BaseProcess), ear)
    mouth.send(replace(LONG, books=(BOOK,), records=7))
    os.write(mouth.fileno(), (100).to_bytes(4, "big") + b"cut")
    mouth.close()
    _hear(worker)
    assert worker.status
    assert worker.status.records == 7


def test_workers_stand_as_one() -> None:
    """Nothing before all have spoken; then sums, the first books by name, and the worst lag."""
    names = [f"S{n:02}USDT" for n in range(SHOWN + 10)]
    books = [replace(BOOK, symbol=name) for name in names]
    parts = [
        RecorderStatus(tuple(books[::2]), 700, 699, 10, 1, 5, 3, 0.5, 4, "b"),
        RecorderStatus(tuple(books[1::2]), 600, 550, 20, 2, 6, 4, 9.5, 5, "a"),
    ]
    recorders = Workers(Settings(Venue("none", "", ""), (), every=1, out=Path()), 2)
    ear, _ = Pipe(duplex=False)
    recorders._workers = [_Worker(BaseProcess.__new__(BaseProcess), ear) for _ in parts]
    for worker, part in zip(recorders._workers, parts, strict=True):
        assert recorders.status() is None
        worker.status = part
    shown = tuple(books[:SHOWN])
    assert recorders.status() == RecorderStatus(shown, 1_300, 1_249, 30, 3, 11, 7, 9.5, 9, "a")


def test_what_one_worker_is_told_all_of_them_know() -> None:
    """Until when the exchange wants silence: one memory, in whatever process it is written."""
    first, second = (each.pause_memory for each in partitions(2))
    assert first is not None
    assert second is not None
    assert tuple(second) == NO_PAUSE
    process = _SPAWN.Process(target=first.__setitem__, args=(0, 7.5))
    process.start()
    process.join(PATIENCE_S)
    assert second[0] == 7.5


def _hear(worker: _Worker) -> None:
    """Without a process behind it, so there is none to join."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseProcess, "join", lambda _: None)
        patch.setattr(BaseProcess, "exitcode", 0)
        worker.drain_status()
