"""A week of three symbols, one event an hour, with an outage, a lost book and a late end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import TapeRecord
from reader.day import BEGIN_S
from support.archives import open_archive
from support.oracle import SECOND, connected, event, lost, rest, snapshot, start, stream
from support.rotation import finish

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "XMRBTC")
HOUR_S: Final = 3_600
_FIRST = 9
_OUTAGE: Final = range(2 * 24 + 6, 2 * 24 + 11)
_LOST: Final = range(4 * 24 + 8, 5 * 24 + 20)
"""During these hours the third symbol waits for a snapshot."""


def _books(hour: int, symbols: tuple[str, ...]) -> Iterator[TapeRecord]:
    for symbol in symbols:
        answer = snapshot(hour * 10, {"100": "1"}, {"101": "1"}, symbol=symbol)
        yield rest(answer, BEGIN_S + hour * HOUR_S)


def _records(last: int) -> Iterator[TapeRecord]:
    for hour in range(_FIRST, last):
        at = BEGIN_S + hour * HOUR_S
        if hour == _OUTAGE.start:
            yield lost(at)
        if hour in {_FIRST, _OUTAGE.stop}:
            yield connected(at, symbols=SYMBOLS)
            yield from _books(hour, SYMBOLS)
        if hour == _LOST.stop:
            yield from _books(hour, SYMBOLS[2:])
        if hour in _OUTAGE:
            continue
        for symbol in SYMBOLS:
            # Two ids are missing, and the next snapshot takes long to come.
            first = hour * 10 + (3 if symbol == SYMBOLS[2] and hour in _LOST else 1)
            change = event(first, hour * 10 + 10, {"100": "2"}, symbol=symbol)
            yield stream(change, at)


def write(root: Path, days: int = 6) -> None:
    """Record it in one segment; `days` days and 15 hours, counted from the first midnight."""
    opening = replace(start(*SYMBOLS), received_ns=(BEGIN_S + _FIRST * HOUR_S) * SECOND)
    with open_archive(root) as archive:
        recording = archive.begin(opening, "synthetic")
        for record in _records(days * 24 + 15):
            recording.handle(record)
        finish(recording, STOPPED).result()
