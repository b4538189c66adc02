"""The real recordings, read as tapes and by the oracle.

They were made by others (see SOURCES.md beside them) and stay outside this repository.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from booktape.core.events import BookRow
from booktape.core.tape_records import (
    Connected,
    DepthAnswer,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)
from booktape.reconstruct import Output, Reconstruction
from support.oracle import Oracle

CAPTURES: Final = Path(__file__).parents[3] / "shared" / "captures"

needs_captures: Final = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the real captures are not there: ../shared/captures"
)

# File and the limit of its snapshot requests (SOURCES.md).
BTCUSDT: Final = ("btcusdt-2026-06-07-depth5", 5000)
TEN: Final = ("ten-symbols-2021-04-05-bookticker", 1000)
FOUR: Final = ("four-symbols-2021-08-limit5000", 5000)
FUTURES: Final = ("usdm-futures-2021-07-must-be-refused", 1000)


class Line(NamedTuple):
    """One line of a capture, its payload byte for byte."""

    received_ns: int
    symbol: str
    is_rest: bool
    payload: bytes

    @property
    def stream(self) -> str:
        """`depth@100ms`, `bookTicker`, …; empty for a raw payload or a REST answer."""
        head = self.payload[:80].split(b'"')
        return head[3].decode().partition("@")[2] if head[1] == b"stream" else ""


@functools.cache
def lines(name: str) -> tuple[Line, ...]:
    """All lines of a capture, in the order in which they arrived."""
    with gzip.open(CAPTURES / f"{name}.jsonl.gz") as file:
        return tuple(_line(text.rstrip()) for text in file)


def _line(text: bytes) -> Line:
    head, _, rest = text.partition(b',"m":')
    fields = json.loads(head + b"}")
    received_ns = int(fields["t"] * 1_000_000_000)
    return Line(received_ns, fields["symbol"], fields["kind"] == "rest", rest[:-1])


def frames(name: str, limit: int, every: int = 1) -> Iterator[TapeRecord]:
    """The capture as a tape: one connection that carries all its symbols from the start."""
    first = lines(name)[0].received_ns
    symbols = tuple(sorted({line.symbol for line in lines(name)}))
    yield SegmentStart(first, "test", "binance", every, limit, symbols)
    yield Connected(first, 0, symbols)
    for line in lines(name):
        if line.is_rest:
            yield DepthAnswer(line.received_ns, line.symbol, limit, line.payload)
        else:
            yield StreamMessage(line.received_ns, 0, line.payload)


def read(tape: Iterable[TapeRecord]) -> tuple[Reconstruction, Iterator[Output]]:
    """The machine, and its output while it reads the tape."""
    machine = Reconstruction()
    return machine, (output for frame in tape for output in machine.apply(frame))


def rows(tape: Iterable[TapeRecord]) -> Iterator[BookRow]:
    return (output for output in read(tape)[1] if isinstance(output, BookRow))


def followed(name: str, symbol: str) -> Iterator[Oracle]:
    """The oracle of one symbol, after its snapshot and after each event that it applies."""
    oracle = Oracle()
    waiting: list[bytes] = []
    for line in lines(name):
        if line.symbol != symbol:
            continue
        if line.is_rest:
            oracle.snapshot(line.payload)
            yield oracle
            for payload in waiting:
                if oracle.event(payload):
                    yield oracle
        elif line.stream.startswith("depth@"):
            waiting.append(line.payload)
            if oracle.event(line.payload):
                yield oracle


SPOT: Final = [
    (BTCUSDT, 1, 594),
    pytest.param(TEN, 10, 4_652, marks=pytest.mark.long),
    (FOUR, 4, 532),
]
