"""Recordings that can be played: booktape's own tapes, and plain captures of other programs.

A capture is a file `*.jsonl.gz` with one message a line:

    {"t": 1780861676.491, "kind": "ws", "symbol": "BTCUSDT", "m": {"stream":…, "data":{…}}}

`t` is when it was received, in seconds since 1970; `kind` is "ws" or "rest", and the payload stands
byte for byte under `m`. It becomes frames like a tape's, on one connection.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import Annotated, Final, NamedTuple
from zlib import error as ZlibError  # noqa: N812 - zlib names its exception like a function

import msgspec
from msgspec import Meta, Raw, Struct

from booktape.core.frames import Connected, Frame, RestFrame, SegmentEnd, SegmentStart, StreamFrame
from booktape.errors import DamagedTape, MalformedFrame, UsageError
from booktape.store.found import sealed_tapes
from booktape.store.layout import TAPE, Layout
from booktape.store.reading import first_line, read_tape
from booktape.wire.binance import decode_depth
from booktape.wire.limits import DEPTH_MAX

_CAPTURE: Final = ".jsonl.gz"
_LIMITS: Final = frozenset({5, 10, 20, 50, 100, 500, 1_000, DEPTH_MAX})


class _Line(Struct):
    t: Annotated[float, Meta(ge=0, le=10**10)]  # from 1970 to 2286
    kind: str
    symbol: str
    m: Raw


class Played(NamedTuple):
    """A frame, and where it comes from: from which of several recorders, and which of its workers."""

    run: int
    worker: int
    frame: Frame


class Recording:
    """A capture, a tape, or all tapes of an archive, as frames in order.

    Raises UsageError when there is none at `path`, and while reading DamagedTape when it is broken.
    """

    def __init__(self, path: Path) -> None:
        self._runs = _runs(path)
        tapes = (tape for workers in self._runs for tapes in workers for tape in tapes)
        found = (symbol for tape in tapes for symbol in _symbols(tape))
        self.symbols = tuple(dict.fromkeys(found))

    def frames(self) -> Iterator[Played]:
        """All frames of all tapes. What several workers recorded at a time comes in one order."""
        for run, workers in enumerate(self._runs):
            told = [_told(run, worker, tapes) for worker, tapes in enumerate(workers)]
            yield from merge(*told, key=lambda played: played.frame.received_ns)


def _runs(path: Path) -> list[list[list[Path]]]:
    """The tapes of each worker of each recorder, oldest first."""
    if path.is_dir():
        layout = Layout(path)
        runs: list[list[list[Path]]] = []
        for _, segments in groupby(sealed_tapes(layout), key=lambda segment: segment.run):
            workers: dict[str, list[Path]] = {}
            for segment in segments:
                workers.setdefault(segment.tag, []).append(layout.tape(segment))
            runs.append(list(workers.values()))
        if not runs:
            raise UsageError(f"{path} holds no tape. Name an archive, a tape or a capture.")
        return runs
    if not path.is_file():
        raise UsageError(f"{path} does not exist.")
    if not path.name.endswith((_CAPTURE, TAPE)):
        raise UsageError(f"{path} is neither a tape (*{TAPE}) nor a capture (*{_CAPTURE}).")
    return [[[path]]]


def _told(run: int, worker: int, tapes: Iterable[Path]) -> Iterator[Played]:
    """What one worker recorded. What it says after the end is for whoever starts next."""
    for tape in tapes:
        ended = False
        for frame in _capture(tape) if tape.name.endswith(_CAPTURE) else read_tape(tape):
            if not ended:
                yield Played(run, worker, frame)
            ended = ended or isinstance(frame, SegmentEnd)


def _symbols(path: Path) -> Iterator[str]:
    if path.name.endswith(_CAPTURE):
        return (line.symbol for line in _lines(path))
    return iter(first_line(read_tape(path), path).symbols)


def _capture(path: Path) -> Iterator[Frame]:
    symbols = tuple(dict.fromkeys(_symbols(path)))
    start_ns: int | None = None
    for line in _lines(path):
        received_ns = int(line.t * 1e9)
        if start_ns is None:
            start_ns = received_ns
            yield SegmentStart(start_ns, "", "capture", 1, DEPTH_MAX, symbols)
            yield Connected(start_ns, 0, symbols)
        payload = bytes(line.m)
        if line.kind == "ws":
            yield StreamFrame(received_ns, 0, payload)
        else:
            yield RestFrame(received_ns, line.symbol, _limit(payload, line.symbol), payload)


def _lines(path: Path) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(_Line)
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                yield decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, EOFError, OSError, ZlibError) as error:
        raise DamagedTape(f"{path} is not a capture: {error}") from error


def _limit(payload: bytes, symbol: str) -> int:
    """The limit that was asked for, which a capture does not tell.

    A longest side of one of the usual limits was most likely cut by it; any other is complete.
    """
    try:
        snapshot = decode_depth(payload, symbol, DEPTH_MAX)
    except MalformedFrame:
        # It stays in the recording; the reconstruction will say that it cannot be read.
        return DEPTH_MAX
    longest = max(len(snapshot.bids), len(snapshot.asks))
    return longest if longest in _LIMITS else DEPTH_MAX
