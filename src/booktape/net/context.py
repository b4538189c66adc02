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

    If a tick is due, it must be put into the queue before any other record (`ticks`).
    `pause` holds back requests and handshakes while the exchange asks for that.
    `suffixes` name the streams that are recorded for each symbol.
    """

    venue: Venue
    session: aiohttp.ClientSession
    clock: Clock
    queue: RecordQueue
    pause: RequestPause
    ticks: Ticks
    suffixes: tuple[str, ...] = DEPTH_ONLY


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but at most this long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def error_text(error: BaseException) -> str:
    """An error's text, or the name of its class: some network errors have no text."""
    return str(error) or type(error).__name__
