"""Words for short market stories: a machine, frames told to it, and what it says."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from booktape.core.events import BookRow, DepthEvent
from booktape.core.frames import Checkpoint, Frame
from booktape.reconstruct import Output, Reconstruction
from oracle import SECOND, connected, event, rest, snapshot, start

B, E = "BTCUSDT", "ETHBTC"
BOOK = snapshot(10, {"100": "1"}, {"101": "1"})


def tell(*frames: Frame, to: Reconstruction | None = None) -> list[Output]:
    machine = to or Reconstruction()
    return [output for frame in frames for output in machine.feed(frame)]


def known(every: int = 1) -> Reconstruction:
    """BTCUSDT LIVE at id 10 since second 2, on connection 0."""
    machine = Reconstruction()
    tell(start(every=every), connected(1), rest(BOOK, 2), to=machine)
    return machine


def rows(outputs: Iterable[Output]) -> list[BookRow]:
    return [output for output in outputs if isinstance(output, BookRow)]


def ticks(first: int, last: int) -> list[DepthEvent]:
    """One event an id; the best bid's size is the id."""
    return [event(n, n, {"100": str(n)}) for n in range(first, last + 1)]


def through_text(machine: Reconstruction, at: int) -> list[Checkpoint]:
    text = msgspec.json.encode(machine.checkpoints(at * SECOND))
    return msgspec.json.decode(text, type=list[Checkpoint])
