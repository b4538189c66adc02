"""What every http needs."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from booktape.net.clock import Clock
from booktape.net.record_queue import RecordQueue
from booktape.net.request_pause import RequestPause
from booktape.net.ticks import Ticks
from booktape.wire.endpoints import DEPTH_ONLY, Venue


@dataclass(frozen=True, slots=True)
class NetContext:
    """The exchange's addresses, the way there, a clock for stamps, and where frames go.

    `ticks` must be asked before a frame is put into the queue, whether one is due.
    `pause` is what the exchange may have asked for, of requests and handshakes alike.
    `suffixes` name the streams that are listened to, of each symbol.
    """

    venue: Venue
    session: aiohttp.ClientSession
    clock: Clock
    queue: RecordQueue
    pause: RequestPause
    ticks: Ticks
    suffixes: tuple[str, ...] = DEPTH_ONLY


def error_text(error: BaseException) -> str:
    """What went wrong, for a sentence: some errors of the network have no text of their own."""
    return str(error) or type(error).__name__
