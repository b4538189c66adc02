"""A recorder inside the test's own loop, so a test can wait for what it has recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from booktape.recorder.recorder import Recorder
from booktape.recorder.settings import Settings
from booktape.sim.server.server import SimServer
from booktape.store.session import RecordingSession
from booktape.wire.endpoints import Venue
from support.virtual_time import WallClock

POLL_S = 0.01
"""How often a test checks whether something has happened; time must pass between two checks."""


@asynccontextmanager
async def recording(
    server: SimServer,
    symbols: tuple[str, ...],
    out: Path,
    clock: WallClock | None = None,
    **settings: Any,
) -> AsyncIterator[Recorder]:
    """A running recorder, in virtual time; at the end it is stopped and its files are sealed."""
    venue = Venue("test exchange", server.rest_url, server.ws_url)
    recorder = Recorder(Settings(venue, symbols, out=out, **settings), clock or WallClock())
    work = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        recorder.stop()
        async with asyncio.timeout(60):
            await work


def session_of(recorder: Recorder) -> RecordingSession:
    """The session of a running recorder."""
    assert recorder._live is not None
    return recorder._live.recording.session


async def until_known(recorder: Recorder, symbols: int) -> None:
    """Wait until all books are live."""
    async with asyncio.timeout(30):
        while True:
            status = recorder.status()
            if status and status.known == symbols:
                return
            await asyncio.sleep(POLL_S)


async def until_updates(recorder: Recorder, symbol: str, count: int) -> None:
    """Wait until a symbol's current epoch has this number of updates."""
    async with asyncio.timeout(600):
        while True:
            status = recorder.status()
            books = status.books if status else ()
            if any(book.symbol == symbol and book.updates >= count for book in books):
                return
            await asyncio.sleep(POLL_S)
