"""A tape of a few lines, one for each difficult case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from booktape.core.tape_records import (
    DepthAnswer,
    SegmentEnd,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)
from booktape.store.tape_writer import TapeWriter

LINES: list[TapeRecord] = [
    SegmentStart(1, "test", "sim", 1, 5, ("BTCUSDT",)),
    *(StreamMessage(n, 0, b'{"n":%d,"data":"%b"}' % (n, b"ab" * n)) for n in range(4)),
    DepthAnswer(7, "币安USDT", 5, b"<html>\n\xff</html>"),
    StreamMessage(8, 0, b"{not json}"),
    SegmentEnd(9, "stopped"),
]


def write(path: Path, lines: Sequence[TapeRecord] = LINES) -> bytes:
    """A closed tape of these lines, and its bytes. Every third line is flushed."""
    writer = TapeWriter(path)
    for number, record in enumerate(lines):
        writer.write(record)
        if number % 3 == 0:
            writer.flush()
    writer.seal()
    return path.read_bytes()
