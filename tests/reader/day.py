"""A synthetic recording, written by the store itself: two symbols, one event a second each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Final

from booktape.core.events import DepthEvent
from booktape.core.gap_reasons import STOPPED
from booktape.core.tape_records import SegmentStart, TapeRecord
from booktape.store.session import RecordingSession
from support.archives import open_archive
from support.oracle import SECOND, connected, event, lost, rest, snapshot, start, stream
from support.rotation import finish, follow, rotate

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
BEGIN_S: Final = 1_781_000_000 // 86_400 * 86_400  # a midnight in June 2026
LEVELS: Final = 20


def tick(symbol: str, second: int) -> DepthEvent:
    """The changes of one second: one bid and one ask, each set to a size that identifies the second."""
    level = second % LEVELS
    size = str((second % 1_000 + 1) / 1_000)
    bid, ask = {str(100 - level): size}, {str(101 + level): size}
    number = second
    time_us = (BEGIN_S + second) * 1_000_000 - 5_000
    return event(number, number, bid, ask, symbol=symbol, event_time_us=time_us)


def opening_book(symbol: str, second: int) -> TapeRecord:
    """A snapshot that knows everything up to this second."""
    bids = {str(100 - level): "1" for level in range(LEVELS)}
    asks = {str(101 + level): "1" for level in range(LEVELS)}
    answer = snapshot(second, bids, asks, symbol=symbol, limit=LEVELS)
    return rest(answer, BEGIN_S + second)


def cut(second: int, symbols: tuple[str, ...]) -> Iterator[TapeRecord]:
    """The connection is lost, and another one opens ten seconds later."""
    yield lost(BEGIN_S + second, 1)
    yield connected(BEGIN_S + second + 9, 1, symbols)
    for symbol in symbols:
        yield opening_book(symbol, second + 10)


def day(
    seconds: int, cuts: tuple[int, ...] = (), symbols: tuple[str, ...] = SYMBOLS
) -> Iterator[tuple[int, TapeRecord]]:
    """Seconds and records; after each second of `cuts` ten seconds are missing."""
    yield 0, connected(BEGIN_S, 1, symbols)
    for symbol in symbols:
        yield 0, opening_book(symbol, 0)
    for second in range(1, seconds):
        if second in cuts:
            for record in cut(second, symbols):
                yield second, record
        if not any(0 <= second - at <= 10 for at in cuts):
            for symbol in symbols:
                yield second, stream(tick(symbol, second), BEGIN_S + second, 1)


def opening(*symbols: str) -> SegmentStart:
    """A row is due after every event."""
    return replace(start(*symbols, every=1), received_ns=BEGIN_S * SECOND)


def write(
    root: Path, seconds: int, *, segment_s: int, cuts: tuple[int, ...] = (), seal: bool = True
) -> None:
    """Record some seconds, with a row after every event; the last segment may stay unsealed."""
    with open_archive(root) as archive:
        recording = archive.begin(opening(*SYMBOLS), "synthetic")
        sealing = drive(recording, day(seconds, cuts), segment_s)
        if seal:
            sealing.append(finish(recording, STOPPED))
        else:
            recording.writer.flush()
        for sealed in sealing:
            sealed.result()


def write_set_back(root: Path, recordings: Sequence[tuple[int, int]], *, seal: bool = True) -> None:
    """Recordings of some seconds each, one after the other: our clock showed `begin` at its start.

    Ids continue: those of the second recording begin at 1,000, those of the third at 2,000. A row after every event.
    """
    with open_archive(root) as archive:
        for number, (begin, seconds) in enumerate(recordings):
            first = 1_000 * number
            opened = replace(opening(*SYMBOLS), received_ns=(BEGIN_S + begin) * SECOND)
            recording = archive.begin(opened, f"run{number}")
            records: list[TapeRecord] = [connected(BEGIN_S, 1, SYMBOLS)]
            records += [opening_book(symbol, first) for symbol in SYMBOLS]
            for second in range(first + 1, first + seconds):
                at = BEGIN_S + second
                records += [stream(tick(symbol, second), at, 1) for symbol in SYMBOLS]
            for record in records:
                second = max(0, record.received_ns // SECOND - BEGIN_S - first)
                follow(recording, replace(record, received_ns=(BEGIN_S + begin + second) * SECOND))
            if seal or number < len(recordings) - 1:
                finish(recording, STOPPED).result()
            else:
                recording.writer.flush()


def write_by_workers(root: Path, seconds: int, *, segment_s: int) -> None:
    """The same seconds by a worker for each symbol: two tapes for each segment of time.

    The first one's segments last a second longer.
    """
    with open_archive(root) as archive:
        recordings = {
            symbol: archive.begin(opening(symbol), f"synthetic{worker}")
            for worker, symbol in zip(("w0", "w1"), SYMBOLS, strict=True)
        }
        for longer, (symbol, recording) in zip((1, 0), recordings.items(), strict=True):
            sealing = drive(recording, day(seconds, symbols=(symbol,)), segment_s + longer)
            for sealed in [*sealing, finish(recording, STOPPED)]:
                sealed.result()


def drive(
    recording: RecordingSession, records: Iterable[tuple[int, TapeRecord]], segment_s: int
) -> list[Future[None]]:
    """Handles all of them; returns the segments that ended meanwhile."""
    sealing = []
    began = 0
    for second, record in records:
        if second - began >= segment_s:
            began = second
            sealing.append(rotate(recording, (BEGIN_S + second) * SECOND))
        follow(recording, record)
    return sealing
