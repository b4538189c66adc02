"""Recordings that can be played: booktape's own tapes, and plain captures of other programs.

A capture is a file `*.jsonl.gz` with one message a line:

    {"t": 1780861676.491, "kind": "ws", "symbol": "BTCUSDT", "m": {"stream":…, "data":{…}}}

`t` is when it was received, in seconds since 1970; `kind` is "ws" or "rest", and the payload stands
byte for byte under `m`. It becomes frames like a tape's, on one connection.
"""

from __future__ import annotations

import gzip
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from pathlib import Path
from typing import Annotated, Final, NamedTuple
from zlib import error as ZlibError  # noqa: N812 - zlib names its exception like a function

import msgspec
from msgspec import Meta, Raw, Struct

from booktape.core.tape_records import (
    Connected,
    DepthAnswer,
    SegmentEnd,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)
from booktape.errors import DamagedFile, DamagedTape, MalformedFrame, UsageError
from booktape.store.catalog import lineage_of
from booktape.store.layout import TAPE, Layout
from booktape.store.tape_reader import first_line, read_tape
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
    """A frame, and on which of several tapes it stands. `replaces` are those that its tape goes on from."""

    tape: int
    replaces: tuple[int, ...]
    frame: TapeRecord


class PlayedRecording:
    """A capture, a tape, or all tapes of an archive, as frames in order.

    Raises UsageError when there is none at `path`, DamagedTape where none says what was recorded, or a
    capture is not whole. A tape that is damaged later ends there; `on_damage` hears of it, once.
    """

    def __init__(self, path: Path, on_damage: Callable[[DamagedFile], object]) -> None:
        self._on_damage = on_damage
        self._tapes, self._before = _tapes(path)
        self._damaged: set[int] = set()
        found: list[str] = []
        for number, tape in enumerate(self._tapes):
            try:
                found += _symbols(tape)
            except DamagedTape as error:
                if len(self._damaged) + 1 == len(self._tapes):
                    raise
                self._name(number, error)
        self.symbols = tuple(dict.fromkeys(found))

    def frames(self) -> Iterator[Played]:
        """All frames of all tapes, by time; but none of a tape before those that it goes on from are over.

        What several workers, or several recorders, recorded at a time comes in one order.
        """
        waits = [len(before) for before in self._before]
        after: list[list[int]] = [[] for _ in self._tapes]
        for number, before in enumerate(self._before):
            for one in before:
                after[one].append(number)
        # A tape's number parts two frames of the same time, so that iterators are never compared.
        heap: list[tuple[int, int, TapeRecord, Iterator[TapeRecord]]] = []
        ready = deque(number for number, before in enumerate(waits) if not before)
        while ready or heap:
            if ready:
                number = ready.popleft()
                rest = _told(self._tapes[number])
            else:
                _, number, frame, rest = heappop(heap)
                yield Played(number, self._before[number], frame)
            if self._play(number, rest, heap):
                continue
            for following in after[number]:
                waits[following] -= 1
                if not waits[following]:
                    ready.append(following)

    def _play(
        self,
        number: int,
        rest: Iterator[TapeRecord],
        heap: list[tuple[int, int, TapeRecord, Iterator[TapeRecord]]],
    ) -> bool:
        """Whether there is one more frame; then it waits for its time. Damage is the end of a tape."""
        try:
            frame = next(rest, None)
        except DamagedTape as error:
            self._name(number, error)
            return False
        if frame is not None:
            heappush(heap, (frame.received_ns, number, frame, rest))
        return frame is not None

    def _name(self, number: int, error: DamagedTape) -> None:
        if number not in self._damaged:
            self._damaged.add(number)
            path = str(self._tapes[number])
            why = str(error).replace(f"{path} ", "it ").replace(f"{path}, ", "").strip(".")
            self._on_damage(DamagedFile(path, why))


def _tapes(path: Path) -> tuple[list[Path], list[tuple[int, ...]]]:
    """Every tape, and for each the numbers of those that it goes on from."""
    if path.is_dir():
        layout = Layout(path)
        lineage = lineage_of(layout)
        if not lineage.order:
            raise UsageError(f"{path} holds no tape. Name an archive, a tape or a capture.")
        numbers = {segment: number for number, segment in enumerate(lineage.order)}
        before = [tuple(numbers[b] for b in lineage.before[one]) for one in lineage.order]
        return [layout.tape(segment) for segment in lineage.order], before
    if not path.is_file():
        raise UsageError(f"{path} does not exist.")
    if not path.name.endswith((_CAPTURE, TAPE)):
        raise UsageError(f"{path} is neither a tape (*{TAPE}) nor a capture (*{_CAPTURE}).")
    return [path], [()]


def _told(tape: Path) -> Iterator[TapeRecord]:
    """What a tape holds. What it says after the end is for whoever starts next."""
    ended = False
    for frame in _capture(tape) if tape.name.endswith(_CAPTURE) else read_tape(tape):
        if not ended:
            yield frame
        ended = ended or isinstance(frame, SegmentEnd)


def _symbols(path: Path) -> Iterator[str]:
    if path.name.endswith(_CAPTURE):
        return (line.symbol for line in _lines(path))
    return iter(first_line(read_tape(path), path).symbols)


def _capture(path: Path) -> Iterator[TapeRecord]:
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
            yield StreamMessage(received_ns, 0, payload)
        else:
            yield DepthAnswer(received_ns, line.symbol, _limit(payload, line.symbol), payload)


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
