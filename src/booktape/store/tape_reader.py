"""Reads tapes: at a start, in recovery, for the reader and for the simulated exchange.

store/tape_writer.py writes them. Three kinds of damage are distinguished. A sealed tape must be whole: each line,
each checksum, and its end record; anything else raises DamagedTape. A `torn` tape, whose recorder was killed,
just ends before its first incomplete line. And a tape whose lines can all be decoded may still hold records
that no recorder writes: `errors_as_damage` turns the errors that they cause into DamagedTape.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import IO, Final

import msgspec
from msgspec import Struct

from booktape.core.tape_records import SegmentEnd, SegmentStart, TapeRecord
from booktape.errors import DamagedTape, LaterFormat
from booktape.store.layout import LINE_BYTES_MAX, Segment
from booktape.store.lineage import Beginning
from booktape.store.opening import open_file
from booktape.store.tape_codec import decode_record

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHECKPOINT, _END = b'{"k":"checkpoint",', b'{"k":"end",'
"""How the lines of these records begin."""


class _Symbol(Struct):
    """The one field needed from a checkpoint, which may hold thousands of levels."""

    symbol: str


_symbol = msgspec.json.Decoder(_Symbol)

_CAUSED_BY_DAMAGE: Final = (
    LookupError,
    ValueError,
    ArithmeticError,
    TypeError,
    AttributeError,
    RecursionError,
)


def read_tape(
    path: Path | IO[bytes],
    *,
    torn: bool = False,
    wanted: Callable[[bytes], bool] | None = None,
    on_damage: Callable[[str], object] = lambda _: None,
) -> Iterator[TapeRecord]:
    """Every record of a tape, in order. With `wanted`, only lines for which it is true are decoded.

    `torn` is for a tape whose recorder was killed: reading ends without an error before the first
    incomplete line. Otherwise such a line, or a missing end record, raises DamagedTape. `on_damage` is called if a
    torn tape ends in a way that no kill causes: there may be more records after that place.
    """
    ended = torn
    lines = read_lines(path, torn=torn, on_damage=on_damage)
    for number, line in enumerate(filter(wanted, lines), 1):
        try:
            record = decode_record(line)
        except LaterFormat as error:
            raise LaterFormat(f"{path}: {error}.") from error
        except DamagedTape as error:
            if torn:
                # A kill leaves a part of a line; this one is whole.
                on_damage(f"line {number}: {error}")
                return
            raise DamagedTape(f"{path}, line {number}: {error}") from error
        ended = ended or isinstance(record, SegmentEnd)
        yield record
    if not ended:
        raise DamagedTape(f"{path} is truncated: its end record is missing")


def read_to_end(records: Iterator[TapeRecord]) -> None:
    """Read the rest of a tape, whose last checksum is at the very end. Raises DamagedTape."""
    deque(records, maxlen=0)


def first_line(records: Iterator[TapeRecord], name: object) -> SegmentStart:
    """The start record of a tape. Raises DamagedTape, with the tape's `name`, if there is none."""
    first = next(records, None)
    if not isinstance(first, SegmentStart):
        raise DamagedTape(f"{name} does not begin with a start record.")
    return first


@contextmanager
def errors_as_damage(tape: object) -> Iterator[None]:
    """Turn an error while records are applied into a DamagedTape: no recorder writes such records.

    Each line may be valid although their sequence is not: an unknown state, a gap without a beginning, a
    number too large for its column. Known weakness: a bug in booktape would also be reported as a damaged tape,
    so the message contains the error.
    """
    try:
        yield
    except _CAUSED_BY_DAMAGE as error:
        raise DamagedTape(f"{tape} holds records that no recorder writes ({error!r})") from error


def read_beginning(segment: Segment, tape: Path | IO[bytes]) -> Beginning:
    """How a segment begins, from its tape. Raises DamagedTape, OSError."""
    return beginning(segment, first_line(read_tape(tape), segment.name))


def beginning(segment: Segment, start: SegmentStart) -> Beginning:
    """How a segment begins, from the start record of its tape."""
    start_us, symbols = start.received_ns // 1_000, frozenset(start.symbols)
    return Beginning(segment, start_us, symbols, start.continues, start.format)


def read_carried_over(tape: Path | IO[bytes]) -> frozenset[str]:
    """The symbols for which a tape begins with a checkpoint. Raises DamagedTape, OSError."""
    lines = islice(read_lines(tape), 1, None)
    checkpoints = takewhile(lambda line: line.startswith(_CHECKPOINT), lines)
    try:
        return frozenset(_symbol.decode(line).symbol for line in checkpoints)
    except msgspec.DecodeError as error:
        raise DamagedTape(f"not a checkpoint: {error}") from error


def read_ends(path: Path) -> Iterator[TapeRecord]:
    """The checkpoints that a tape begins with, its end record, and the checkpoints after that.

    Raises DamagedTape, including when the end record is missing.
    """
    return read_tape(path, wanted=lambda line: line.startswith((_CHECKPOINT, _END)))


def read_lines(
    path: Path | IO[bytes],
    *,
    torn: bool = False,
    on_damage: Callable[[str], object] = lambda _: None,
) -> Iterator[bytes]:
    """The lines of a tape, undecoded. Raises DamagedTape if it is truncated, unless `torn`."""
    try:
        with ExitStack() as stack:
            source = stack.enter_context(open_file(path)) if isinstance(path, Path) else path
            yield from _whole_lines(stack.enter_context(zstd.open(source, "rb")))
    except (EOFError, zstd.ZstdError) as error:
        if not torn:
            raise DamagedTape(f"{path} is truncated or damaged: {error}") from error
        # A kill cuts the file off, which shows as an EOFError.
        if not isinstance(error, EOFError):
            on_damage(str(error))


def _whole_lines(file: zstd.ZstdFile) -> Iterator[bytes]:
    while line := file.readline(LINE_BYTES_MAX):
        if not line.endswith(b"\n"):
            if len(line) == LINE_BYTES_MAX:
                raise zstd.ZstdError(f"a line has more than {LINE_BYTES_MAX >> 20} MiB")
            raise EOFError("the last line has no end")
        yield line
