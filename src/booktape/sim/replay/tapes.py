"""Recordings that can be played: booktape's own tapes, and plain captures by other programs.

A capture is a file `*.jsonl.gz` with one message a line:

    {"t": 1780861676.491, "kind": "ws", "symbol": "BTCUSDT", "m": {"stream":…, "data":{…}}}

`t` is the time of receipt in seconds since 1970, `kind` is "ws" or "rest", and `m` holds the payload
byte for byte. A capture becomes records like a tape's, on one connection.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from pathlib import Path
from typing import Annotated, Final, NamedTuple
from zlib import error as ZlibError  # noqa: N812 - zlib names its exception like a function

import msgspec
from msgspec import Meta, Raw, Struct
from pyarrow.fs import LocalFileSystem

from booktape.core.tape_records import (
    Connected,
    DepthAnswer,
    SegmentEnd,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)
from booktape.errors import (
    DamagedArchive,
    DamagedFile,
    DamagedTape,
    MalformedFrame,
    UsageError,
)
from booktape.processes.descriptors import refuse_used_up
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.removed import lost_tapes
from booktape.store.catalog import lineage_of
from booktape.store.layout import LINE_BYTES_MAX, TAPE, Layout
from booktape.store.opening import open_file
from booktape.store.tape_reader import first_line, read_tape
from booktape.wire.binance import decode_depth
from booktape.wire.limits import DEPTH_MAX

_CAPTURE: Final = ".jsonl.gz"
_NO_CAPTURE: Final = (
    *(msgspec.DecodeError, UnicodeDecodeError, RecursionError),
    *(EOFError, OSError, ZlibError),
)
_NS_MAX: Final = 253_370_764_800 * 10**9  # the end of the year 9998
_LIMITS: Final = frozenset({5, 10, 20, 50, 100, 500, 1_000, DEPTH_MAX})


class _Line(Struct):
    t: Annotated[float, Meta(ge=0, le=10**10)]  # from 1970 to 2286
    kind: str
    symbol: str
    m: Raw


class Played(NamedTuple):
    """A record, the number of its tape, and the numbers of the tapes that its tape continues."""

    tape: int
    continues: tuple[int, ...]
    record: TapeRecord


class PlayedRecording:
    """A capture, a tape, or all tapes of an archive, as records in order.

    Raises UsageError if there is none at `path`, DamagedArchive if none has a readable beginning or a
    capture is not whole. A tape that is damaged later ends there, and `on_damage` is called once for it, as for one that is
    lost.
    Tapes of an archive that other tapes continue before `from_us` are left out.
    """

    def __init__(
        self, path: Path, on_damage: Callable[[DamagedFile], object], from_us: int | None = None
    ) -> None:
        self._on_damage = on_damage
        self._tapes, self._before = _tapes(path, from_us)
        self._damaged: set[int] = set()
        symbols: dict[str, None] = {}
        for number, tape in enumerate(self._tapes):
            try:
                symbols |= dict.fromkeys(first_line(_records(tape), tape).symbols)
            except DamagedTape as error:
                if len(self._damaged) + 1 == len(self._tapes):
                    raise DamagedArchive(str(error)) from error
                self.report(number, error)
        self.symbols = tuple(symbols)
        if path.is_dir():
            for lost in _lost(path, from_us):
                on_damage(lost)

    def records(self) -> Iterator[Played]:
        """All records of all tapes by time, except that a tape begins only after those that it continues.

        Records that several workers or recorders made at the same time come in one order.
        """
        order = TopologicalSorter(dict(enumerate(self._before)))
        order.prepare()
        # A tape's number orders two records of the same time, so that iterators are never compared.
        heap: list[tuple[int, int, TapeRecord, Iterator[TapeRecord]]] = []
        while order.is_active():
            advanced = [(number, _records(self._tapes[number])) for number in order.get_ready()]
            if not advanced:
                _, number, record, rest = heappop(heap)
                yield Played(number, self._before[number], record)
                advanced = [(number, rest)]
            for number, rest in advanced:
                if following := self._next(number, rest):
                    heappush(heap, (following.received_ns, number, following, rest))
                else:
                    order.done(number)

    def _next(self, number: int, rest: Iterator[TapeRecord]) -> TapeRecord | None:
        """The next record of a tape; None at its end, which is also where damage begins."""
        try:
            return next(rest, None)
        except DamagedTape as error:
            self.report(number, error)
            return None

    def report(self, number: int, error: DamagedTape) -> None:
        """Report that a tape is damaged, once."""
        if number not in self._damaged:
            self._damaged.add(number)
            path = str(self._tapes[number])
            why = str(error).replace(f"{path} ", "it ").replace(f"{path}, ", "").strip(".")
            self._on_damage(DamagedFile(path, why))


def _lost(archive: Path, from_us: int | None) -> list[DamagedFile]:
    """The tapes that are lost, of an archive that is played from a moment on.

    Anything else that has the name of a tape is reported when it is opened.
    """
    files = ArchiveFiles(str(archive), LocalFileSystem())
    tape = files.layout.tape
    why = "it is gone, and no receipt says that it was removed on purpose"
    return [
        DamagedFile(str(tape(segment)), why)
        for segment in lost_tapes(files, from_us)
        if not os.path.lexists(tape(segment))
    ]


def _tapes(path: Path, from_us: int | None) -> tuple[list[Path], list[tuple[int, ...]]]:
    """Every tape, and for each the numbers of the tapes that it continues."""
    if path.is_dir():
        layout = Layout(path)
        lineage = lineage_of(layout)
        if not lineage.order:
            raise UsageError(f"{path} holds no tape. Name an archive, a tape or a capture.")
        played = lineage.reaching_into(from_us, None)
        order = [segment for segment in lineage.order if segment in played]
        numbers = {segment: number for number, segment in enumerate(order)}
        # Forged tapes may continue each other in a circle, so no tape waits for one that is later in the order.
        before = [
            tuple(numbers[b] for b in lineage.before[one] if numbers.get(b, number) < number)
            for number, one in enumerate(order)
        ]
        return [layout.tape(segment) for segment in order], before
    if not path.exists():
        raise UsageError(f"{path} does not exist.")
    if not path.is_file() or not path.name.endswith((_CAPTURE, TAPE)):
        raise UsageError(f"{path} is neither a tape (*{TAPE}) nor a capture (*{_CAPTURE}).")
    return [path], [()]


def _records(tape: Path) -> Iterator[TapeRecord]:
    """The records up to the end record, with the start record first. Later ones are for the recorder that starts next.

    Raises DamagedTape, also if the file cannot be opened.
    """
    if tape.name.endswith(_CAPTURE):
        yield from _capture(tape)
        return
    ended = False
    try:
        for record in read_tape(tape):
            if not 0 <= record.received_ns < _NS_MAX:
                raise DamagedTape(f"{tape} has a time that no clock shows")
            if not ended:
                yield record
            ended = ended or isinstance(record, SegmentEnd)
    except OSError as error:
        refuse_used_up(error)
        raise DamagedTape(f"{tape} cannot be read: {error.strerror}.") from error


def _capture(path: Path) -> Iterator[TapeRecord]:
    symbols, start_ns = dict[str, None](), 0
    for line in _lines(path):
        symbols[line.symbol] = None
        start_ns = start_ns or int(line.t * 1e9)
    yield SegmentStart(start_ns, "", "capture", 1, DEPTH_MAX, tuple(symbols))
    yield Connected(start_ns, 0, tuple(symbols))
    for line in _lines(path):
        received_ns, payload = int(line.t * 1e9), bytes(line.m)
        if line.kind == "ws":
            yield StreamMessage(received_ns, 0, payload)
        else:
            yield DepthAnswer(received_ns, line.symbol, _limit(payload, line.symbol), payload)


def _lines(path: Path) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(_Line)
    try:
        with open_file(path) as opened, gzip.open(opened, "rb") as file:
            while line := file.readline(LINE_BYTES_MAX):
                if len(line) == LINE_BYTES_MAX:
                    raise DamagedTape(
                        f"{path} is not a capture: a line has more than {LINE_BYTES_MAX >> 20} MiB"
                    )
                yield decoder.decode(line)
    except _NO_CAPTURE as error:
        refuse_used_up(error)
        raise DamagedTape(f"{path} is not a capture: {error}") from error


def _limit(payload: bytes, symbol: str) -> int:
    """The limit of the request, which a capture does not hold.

    If the longer side has exactly as many levels as a usual limit, that limit most likely cut it; otherwise the answer
    is complete.
    """
    try:
        snapshot = decode_depth(payload, symbol, DEPTH_MAX)
    except MalformedFrame:
        # It stays in the recording; the reconstruction will report it.
        return DEPTH_MAX
    longest = max(len(snapshot.bids), len(snapshot.asks))
    return longest if longest in _LIMITS else DEPTH_MAX
