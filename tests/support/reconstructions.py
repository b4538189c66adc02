"""A state machine that is fed short sequences of records, and its output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from booktape.core.checks import Check
from booktape.core.events import BookRow, DepthEvent, DepthSnapshot
from booktape.core.tape_records import Checkpoint, TapeRecord
from booktape.reconstruct import Output, Reconstruction
from support.oracle import SECOND, connected, event, rest, snapshot, start

B, E = "BTCUSDT", "ETHBTC"
BOOK = snapshot(10, {"100": "1"}, {"101": "1"})


def feed_all(*frames: TapeRecord, to: Reconstruction | None = None) -> list[Output]:
    machine = to or Reconstruction()
    return [output for frame in frames for output in machine.apply(frame)]


def known(every: int = 1, book: DepthSnapshot = BOOK, **opening: Any) -> Reconstruction:
    """BTCUSDT LIVE at id 10 since second 2, on connection 0."""
    machine = Reconstruction()
    feed_all(start(every=every, **opening), connected(1), rest(book, 2), to=machine)
    return machine


def rows(outputs: Iterable[Output]) -> list[BookRow]:
    return [output for output in outputs if isinstance(output, BookRow)]


def checks(outputs: Iterable[Output]) -> list[Check]:
    return [output for output in outputs if isinstance(output, Check)]


def ticks(first: int, last: int) -> list[DepthEvent]:
    """One event for each id; the best bid's size is the id."""
    return [event(n, n, {"100": str(n)}) for n in range(first, last + 1)]


def continued(machine: Reconstruction, at: int, **opening: Any) -> Reconstruction:
    """Another machine that knows only what the next segment of the tape begins with."""
    fresh = Reconstruction()
    standing = [connected(at, number, held) for number, held in machine.arbiter.connections.items()]
    begun = start(*machine.symbols, **opening)
    assert feed_all(begun, *through_text(machine, at), *standing, to=fresh) == []
    return fresh


def through_text(machine: Reconstruction, at: int) -> list[Checkpoint]:
    text = msgspec.json.encode(list(machine.checkpoints(at * SECOND)))
    return msgspec.json.decode(text, type=list[Checkpoint])
