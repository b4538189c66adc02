"""What every door needs."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp

from booktape.net.clock import Clock
from booktape.net.inbox import Inbox
from booktape.net.silence import Silence
from booktape.net.ticks import Ticks
from booktape.wire.venues import DEPTH_ONLY, Venue


@dataclass(frozen=True, slots=True)
class Link:
    """The exchange's addresses, the way there, a clock for stamps, and where frames go.

    `ticks` must be asked before a frame is put into the inbox, whether one is due.
    `silence` is what the exchange may have asked for, of requests and handshakes alike.
    `suffixes` name the streams that are listened to, of each symbol.
    """

    venue: Venue
    session: aiohttp.ClientSession
    clock: Clock
    inbox: Inbox
    silence: Silence
    ticks: Ticks
    suffixes: tuple[str, ...] = DEPTH_ONLY


def reason(error: BaseException) -> str:
    """What went wrong, for a sentence: some errors of the network have no text of their own."""
    return str(error) or type(error).__name__
