"""Tapes read back: at a start, by recovery, by the reader and by the built-in exchange.

Whoever wants to know how a recording is written needs none of this: store/tape_writer.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import IO, Final

import msgspec
from msgspec import Struct

from booktape.core.tape_records import SegmentEnd, SegmentStart, TapeRecord
from booktape.errors import DamagedTape
from booktape.store.layout import LINE_BYTES_MAX, Segment
from booktape.store.lineage import Beginning
from booktape.store.opening import open_file
from booktape.store.tape_codec import decode_record

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_NOT_FOLLOWED: Final = (
    LookupError,
    ValueError,
    ArithmeticError,
    TypeError,
    AttributeError,
    RecursionError,
)


def read_tape(
    path: Path | IO[bytes], *, torn: bool = False, wanted: Callable[[bytes], bool] | None = None
) -> Iterator[TapeRecord]:
    """Every record of a tape, in order; of its lines only those `wanted`, when that is given.

    `torn` is for a tape whose recorder was killed: reading ends, without an error, before the
    first line that is not whole. Otherwise such a line, or a missing end, raises DamagedTape.
    """
    ended = torn
    for number, line in enumerate(filter(wanted, read_lines(path, torn=torn)), 1):
        try:
            record = decode_record(line)
        except DamagedTape as error:
            if torn:
                return
            raise DamagedTape(f"{path}, line {number}: {error}") from error
        ended = ended or isinstance(record, SegmentEnd)
        yield record
    if not ended:
        raise DamagedTape(f"{path} breaks off: it does not say how the recording ended")


def first_line(records: Iterator[TapeRecord], name: object) -> SegmentStart:
    """How a tape begins. Raises DamagedTape, with the tape's `name`, when it does not begin as one."""
    first = next(records, None)
    if not isinstance(first, SegmentStart):
        raise DamagedTape(f"{name} does not begin as a tape does.")
    return first


@contextmanager
def following(tape: object) -> Iterator[None]:
    """A tape that the function cannot follow holds what no recorder writes: raises DamagedTape.

    Each line may be one, and the whole of them be nothing: a state that there is not, a gap without its
    beginning, a number beyond what a column holds. Known weakness: a mistake of ours would be called damage
    of the tape, too; so the error stands in the sentence.
    """
    try:
        yield
    except _NOT_FOLLOWED as error:
        raise DamagedTape(f"{tape} holds what no recorder writes ({error!r})") from error


def read_format(path: Path) -> int:
    """Of which format a tape is: 1, which says least, where its first line cannot be read."""
    first = next(read_tape(path, torn=True), None)
    return first.format if isinstance(first, SegmentStart) else 1


def read_beginning(segment: Segment, tape: Path | IO[bytes]) -> Beginning:
    """What a tape's first line says of where it stands. Raises DamagedTape, OSError."""
    return beginning(segment, first_line(read_tape(tape), segment.name))


def beginning(segment: Segment, start: SegmentStart) -> Beginning:
    """What the first line of a segment's tape says of where it stands."""
    start_us = start.received_ns // 1_000
    return Beginning(segment, start_us, frozenset(start.symbols), start.continues)


def read_taken_over(tape: Path | IO[bytes]) -> frozenset[str]:
    """The symbols of which a tape begins with a checkpoint. Raises DamagedTape, OSError."""
    lines = islice(read_lines(tape), 1, None)
    return frozenset(map(_symbol_of, takewhile(_is_checkpoint, lines)))


def _symbol_of(line: bytes) -> str:
    try:
        return _symbol.decode(line).symbol
    except msgspec.DecodeError as error:
        raise DamagedTape(f"not a checkpoint: {line[:80]!r}") from error


class _Symbol(Struct):
    """All that is wanted of a checkpoint, which may hold thousands of levels."""

    symbol: str


_symbol = msgspec.json.Decoder(_Symbol)


def read_ends(path: Path) -> Iterator[TapeRecord]:
    """The checkpoints at the start of a tape, its end, and those behind it.

    Raises DamagedTape where it is damaged, or does not say how it ended.
    """
    return read_tape(path, wanted=_is_at_an_end)


def _is_at_an_end(line: bytes) -> bool:
    """Whether a line is worth decoding: nearly all others hold what the exchange sent."""
    return line.startswith((b'{"k":"checkpoint",', b'{"k":"end",'))


def _is_checkpoint(line: bytes) -> bool:
    return line.startswith(b'{"k":"checkpoint",')


def read_lines(path: Path | IO[bytes], *, torn: bool = False) -> Iterator[bytes]:
    """The lines of a tape, undecoded. Raises DamagedTape, unless `torn`, where they break off."""
    try:
        with ExitStack() as stack:
            source = stack.enter_context(open_file(path)) if isinstance(path, Path) else path
            yield from _whole_lines(stack.enter_context(zstd.open(source, "rb")))
    except (EOFError, zstd.ZstdError) as error:
        if not torn:
            raise DamagedTape(f"{path} breaks off: {error}") from error


def _whole_lines(file: zstd.ZstdFile) -> Iterator[bytes]:
    while line := file.readline(LINE_BYTES_MAX):
        if not line.endswith(b"\n"):
            if len(line) == LINE_BYTES_MAX:
                raise EOFError(f"a line has more than {LINE_BYTES_MAX >> 20} MiB")
            raise EOFError("the last line has no end")
        yield line
