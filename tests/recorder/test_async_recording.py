"""An async recording: one task at a time, and the loop never waits for all books at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import pytest

from booktape.core.events import BookRow, BookSynced
from booktape.core.tape_records import Checkpoint, ClockStep, Disconnected, TapeRecord
from booktape.reconstruct import Output
from booktape.recorder.async_recording import AsyncRecording
from booktape.store import parquet_file, segment_writer
from booktape.store.catalog import lineage_of
from booktape.store.layout import Layout
from booktape.store.tape_reader import read_tape
from store.contents import records_on_tape, stored, tapes
from store.small_recording import BTC, ETH, RECORDS, YUAN, expected
from support.archives import open_archive
from support.oracle import SECOND, connected, start

pytestmark = pytest.mark.real_time

T = TypeVar("T")
QUIET: Final = tuple(f"Q{number}USDT" for number in range(20))
OPENING: Final = start(BTC, ETH, YUAN, *QUIET, every=2)
SEGMENT_S: Final = 32.0
"""The recording rotates once, at its 32nd second."""


class StandingClock:
    """A clock that stands still: the frames carry the time."""

    def now_ns(self) -> int:
        return SECOND

    def steady_s(self) -> float:
        return 0.0

    async def pause(self, seconds: float) -> None:
        raise AssertionError(f"a pause of {seconds} s")


@pytest.fixture
def _threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work for a thread is done at once, without giving the event loop a turn."""

    async def here(work: Callable[[], T]) -> T:
        return work()

    monkeypatch.setattr(asyncio, "to_thread", here)


def ignore(_: Output) -> None:
    """Discards outputs that a test does not check."""


def nothing(_: TapeRecord) -> list[Disconnected]:
    """No connection has to end."""
    return []


async def record(root: Path, cancelled_after: int | None) -> int:
    """Hands all frames over at once, in a task; returns how many turns other tasks got until it was done."""
    with open_archive(root) as archive:
        async_recording = AsyncRecording(
            archive.begin(OPENING, "first"), StandingClock(), SEGMENT_S
        )
        frames: list[TapeRecord] = list(RECORDS)
        work = asyncio.ensure_future(async_recording.handle(frames, ignore))
        turns = 0
        while not work.done() and turns != cancelled_after:
            turns += 1
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait({work})
        await async_recording.seal(frames, ignore, nothing)
    return turns


@pytest.mark.usefixtures("_threads_at_once")
async def test_other_tasks_get_a_turn_between_two_books_of_a_rotation(tmp_path: Path) -> None:
    """Sockets are among them, so stamps stay right however many books there are."""
    assert (await record(tmp_path, None)) > len(OPENING.symbols)


@pytest.mark.usefixtures("_threads_at_once")
@pytest.mark.parametrize("turns", [2, 9, 16, 23])
async def test_a_stop_during_a_rotation_loses_nothing(tmp_path: Path, turns: int) -> None:
    """At any turn of the event loop: the rotation is finished first, then the remaining frames are handled."""
    await record(tmp_path, turns)
    assert records_on_tape(tmp_path) == list(RECORDS)
    assert stored(tmp_path) == expected(RECORDS, opening=OPENING)
    _, second = map(read_tape, tapes(tmp_path))
    begins = list(islice(second, 1, 1 + len(OPENING.symbols)))
    assert {type(frame) for frame in begins} == {Checkpoint}


@pytest.fixture
def _every_row_is_a_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is its own row group, and the disk counts as behind as soon as one waits."""
    monkeypatch.setattr(parquet_file, "GROUP_ROWS", 1)
    monkeypatch.setattr(segment_writer, "BACKLOG_BYTES", 0)


@pytest.mark.usefixtures("_every_row_is_a_backlog")
async def test_a_stop_while_the_disk_is_behind_loses_nothing(tmp_path: Path) -> None:
    """Rows that wait for the worker are written, however long that takes, and every output is handed on."""
    free = threading.Event()
    seen: list[Output] = []

    with open_archive(tmp_path) as archive:
        archive._worker.submit(free.wait)
        async_recording = AsyncRecording(
            archive.begin(OPENING, "first"), StandingClock(), SEGMENT_S
        )
        frames = list(RECORDS)
        before, rest = frames[:10], frames[10:]
        work = asyncio.ensure_future(async_recording.handle(before, seen.append))
        while not async_recording.session.writer.backlog or async_recording._lock.locked():
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait({work})
        free.set()
        await async_recording.seal(before + rest, seen.append, nothing)
    assert stored(tmp_path) == expected(RECORDS, opening=OPENING)
    rows = sum(map(len, stored(tmp_path).rows.values()))
    assert sum(isinstance(output, BookRow) for output in seen) == rows > 0


@pytest.mark.usefixtures("_every_row_is_a_backlog")
async def test_remaining_records_are_handled_at_the_pace_of_the_disk_at_the_end(
    tmp_path: Path,
) -> None:
    """A whole queue may remain; its rows do not pile up in memory while the worker is behind."""
    free = threading.Event()

    with open_archive(tmp_path) as archive:
        archive._worker.submit(free.wait)
        async_recording = AsyncRecording(archive.begin(OPENING, "first"), StandingClock(), 3_600)
        sealing = asyncio.ensure_future(async_recording.seal([*RECORDS], ignore, nothing))
        try:
            async with asyncio.timeout(20):
                while not async_recording.session.writer.backlog:
                    await asyncio.sleep(0)
            for _ in RECORDS:
                await asyncio.sleep(0)
            writer = async_recording.session.writer
            assert len(writer._queue) + len(writer._full) == 1
        finally:
            free.set()
        await sealing
    assert records_on_tape(tmp_path) == list(RECORDS)


@pytest.mark.parametrize(("back_s", "segments"), [(30, 1), (90, 2), (400 * 86_400, 2)])
async def test_setting_the_clock_back_begins_a_new_segment(
    tmp_path: Path, back_s: int, segments: int
) -> None:
    """So that later records have their own date at once; a frame that waited briefly begins no segment."""
    begun = 500 * 86_400

    class Ahead(StandingClock):
        def now_ns(self) -> int:
            return begun * SECOND

    with open_archive(tmp_path) as archive:
        opening = replace(start(BTC), received_ns=begun * SECOND)
        async_recording = AsyncRecording(archive.begin(opening, "first"), Ahead(), 3_600)
        steps = [ClockStep((begun - back_s + second) * SECOND, 0) for second in range(3)]
        await async_recording.handle([connected(begun, 1, (BTC,)), *steps], ignore)
        await async_recording.seal([], ignore, nothing)
    order = lineage_of(Layout(tmp_path)).order
    assert [one.start_us for one in order] == [begun * 10**6, (begun - back_s) * 10**6][:segments]


async def test_outputs_of_the_remaining_records_are_handed_on(tmp_path: Path) -> None:
    """They count like all others: a book may become known only there."""

    async def handed_on() -> list[type]:
        seen: list[type] = []
        with open_archive(tmp_path) as archive:
            async_recording = AsyncRecording(
                archive.begin(OPENING, "first"), StandingClock(), SEGMENT_S
            )
            await async_recording.seal(
                [*RECORDS], lambda output: seen.append(type(output)), nothing
            )
        return seen

    assert {BookSynced, BookRow} <= set(await handed_on())
