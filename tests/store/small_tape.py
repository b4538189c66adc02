"""A tape of a few lines, one of each difficulty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from booktape.core.frames import Frame, RestFrame, SegmentEnd, SegmentStart, StreamFrame
from booktape.store.tape import TapeWriter

LINES: list[Frame] = [
    SegmentStart(1, "test", "sim", 1, 5, ("BTCUSDT",)),
    *(StreamFrame(n, 0, b'{"n":%d,"data":"%b"}' % (n, b"ab" * n)) for n in range(4)),
    RestFrame(7, "币安USDT", 5, b"<html>\n\xff</html>"),
    StreamFrame(8, 0, b"{not json}"),
    SegmentEnd(9, "stopped"),
]


def write(path: Path, lines: Sequence[Frame] = LINES) -> bytes:
    """A closed tape of these lines, and its bytes. Every third line is flushed."""
    writer = TapeWriter(path)
    for number, frame in enumerate(lines):
        writer.write(frame)
        if number % 3 == 0:
            writer.flush()
    writer.seal()
    return path.read_bytes()
