"""What all clients of `net` need."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from booktape.net.clock import Clock
from booktape.net.record_queue import RecordQueue
from booktape.net.request_pause import RequestPause
from booktape.net.ticks import Ticks
from booktape.wire.endpoints import DEPTH_ONLY, Venue


@dataclass(frozen=True, slots=True)
class NetContext:
    """The exchange's addresses, the HTTP session, the clock for stamps, and the queue for records.

    Before a record is put into the queue, a tick that is due must be put there (`ticks`).
    `pause` holds back requests and handshakes while the exchange asks for that.
    `suffixes` name the streams of each symbol that are recorded.
    """

    venue: Venue
    session: aiohttp.ClientSession
    clock: Clock
    queue: RecordQueue
    pause: RequestPause
    ticks: Ticks
    suffixes: tuple[str, ...] = DEPTH_ONLY


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, for this long at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def error_text(error: BaseException) -> str:
    """An error's text, or its class: some network errors have no text."""
    return str(error) or type(error).__name__
