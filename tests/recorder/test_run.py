"""Signals to a recorder: the first one stops it, a second one ends the process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from booktape.reader.book_view import BookView
from booktape.recorder.run import ABORTED, RecorderLike, run_until_signalled
from booktape.recorder.status import SHOWN, RecorderStatus


class SlowToStop:
    """A recorder that records the calls it gets, and ends when a test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ends = asyncio.Event()

    async def run(self) -> None:
        await self.ends.wait()

    def stop(self) -> None:
        self.asked.append("stop")

    def flush(self) -> None:
        self.asked.append("flush")

    def status(self, shown: int = SHOWN) -> RecorderStatus | None:
        del shown
        return None

    async def view(self, symbol: str, reach_bps: int) -> BookView | None:
        raise NotImplementedError


@pytest.fixture
def _hangups_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


async def show_nothing(_: RecorderLike) -> None:
    """No status view."""


@pytest.mark.real_time
@pytest.mark.usefixtures("_hangups_as_before")
async def test_a_second_signal_hands_over_the_tape_and_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In this order: records that the process has not handed over by its end are lost."""
    recorder = SlowToStop()
    monkeypatch.setattr(os, "_exit", lambda code: recorder.asked.append(f"exit {code}"))
    running = asyncio.create_task(run_until_signalled(recorder, show_nothing))
    await asyncio.sleep(0)
    for number, asked in ((signal.SIGTERM, 1), (signal.SIGINT, 3)):
        async with asyncio.timeout(60):
            while len(recorder.asked) < asked:  # SIGINT counts once `DOUBLED_S` has passed
                os.kill(os.getpid(), number)
                await asyncio.sleep(0.01)
    recorder.ends.set()
    await running
    assert recorder.asked[:3] == ["stop", "flush", f"exit {ABORTED}"]


@pytest.mark.real_time
@pytest.mark.usefixtures("_hangups_as_before")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_that_comes_twice_at_once_counts_once(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """`timeout` signals its command, then the group; a service manager may add SIGTERM to SIGHUP."""
    recorder = SlowToStop()
    monkeypatch.setattr(os, "_exit", lambda code: recorder.asked.append(f"exit {code}"))
    running = asyncio.create_task(run_until_signalled(recorder, show_nothing, doubled_s=3_600))
    await asyncio.sleep(0)
    os.kill(os.getpid(), number)
    async with asyncio.timeout(60):
        while not recorder.asked:
            await asyncio.sleep(0.001)
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    for _ in range(3):  # turns of the loop: it reads the signal, and calls what handles it
        await asyncio.sleep(0.001)
    recorder.ends.set()
    await running
    assert recorder.asked == ["stop"]
