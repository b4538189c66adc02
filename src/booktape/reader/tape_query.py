"""Queries that read tapes: the records of some symbols, and the rows and gaps that follow from them.

A reader needs one symbol at a time. Skipping the lines of other symbols costs far less than building their books.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from booktape.core.sync import State
from booktape.core.tape_records import (
    Connected,
    SegmentEnd,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)
from booktape.errors import DamagedTape, LaterFormat
from booktape.processes.descriptors import refuse_used_up
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reconstruct import Output, Reconstruction
from booktape.store.tape_codec import decode_record
from booktape.store.tape_reader import errors_as_damage, read_lines, read_tape

FIRST_ROWS_ONLY: Final = 2**62
"""A value of `every` with which only the first row of each epoch is made."""

_STAMP: Final = re.compile(rb'"received_ns":(\d+)')
_HEAVY: Final = (b'{"k":"ws"', b'{"k":"rest"', b'{"k":"trades"', b'{"k":"checkpoint"')

Symbols: TypeAlias = frozenset[str] | None
"""None: all of them."""


class SymbolFilter:
    """Selects the lines of a tape that may be about these symbols, without decoding them.

    A line contains its symbol in quotes, or at the start of a stream's name, unless the line is escaped or in base64.
    """

    def __init__(self, symbols: Symbols) -> None:
        spelt = [(f'"{symbol}"', f'"{symbol.lower()}@') for symbol in symbols or ()]
        self._names = [name.encode() for both in spelt for name in both] or [b""]
        self._last = b""

    def __call__(self, line: bytes) -> bool:
        """Whether to decode this line."""
        self._last = line
        return (
            any(name in line for name in self._names)
            or not line.startswith(_HEAVY)
            or b"\\" in line
            or b'"base64"' in line
        )

    @property
    def reached_ns(self) -> int:
        """The stamp of the last line seen, of any symbol; 0 before the first line."""
        return decode_record(self._last).received_ns if self._last else 0


def read_records(
    archive: ArchiveFiles,
    tape: ArchiveFile,
    symbols: Symbols,
    lines: Callable[[bytes], bool] | None = None,
    every: int = 0,
) -> Iterator[TapeRecord]:
    """The records of a tape as if only these symbols had been recorded.

    With `lines`, only lines for which it returns True are decoded. `every` replaces the recorded number of events
    per row. A damaged sealed tape raises DamagedTape; an unsealed tape ends before its first incomplete line.
    """
    torn = "/unsealed/" in tape.path
    try:
        with archive.open_tape(tape) as file:
            found = read_tape(file, torn=torn, wanted=lines or SymbolFilter(symbols))
            for record in found:
                if isinstance(record, SegmentStart) and every:
                    yield from _for_symbols(replace(record, every=every), symbols)
                else:
                    yield from _for_symbols(record, symbols)
    except LaterFormat:
        raise
    except DamagedTape as error:
        raise DamagedTape(
            f"{tape.path} is not what was recorded. Rows in snapshots/ can be read all the same."
        ) from error
    except OSError as error:
        refuse_used_up(error)
        raise DamagedTape(f"{tape.path} cannot be read: {error}.") from error


def start_of(archive: ArchiveFiles, tape: ArchiveFile) -> SegmentStart | None:
    """The start record of an unsealed tape. None if it has not been written yet, or cannot be read."""
    with archive.skip_damaged(tape.path):
        start = next(read_records(archive, tape, None), None)
        return start if isinstance(start, SegmentStart) else None
    return None


def chosen_tapes(
    archive: ArchiveFiles, tapes: Sequence[ArchiveFile], from_us: int | None, to_us: int | None
) -> list[ArchiveFile]:
    """The sealed tapes that have records between two times, in the order of recording.

    A tape that no other tape continues is read to find out when it ended.
    """
    lineage = archive.lineage(tapes)
    wanted = lineage.reaching_into(from_us, to_us)
    files = {tape.segment: tape for tape in tapes}
    return [
        files[one]
        for one in lineage.order
        if one in wanted
        and (from_us is None or lineage.end_us(one) or _ends_after(archive, files[one], from_us))
    ]


def _ends_after(archive: ArchiveFiles, tape: ArchiveFile, time_us: int) -> bool:
    """Whether any line is from this time or later. True if the tape cannot be read."""
    try:
        with archive.open_tape(tape) as file:
            return any(
                int(stamp[1]) // 1_000 >= time_us
                for stamp in map(_STAMP.search, read_lines(file))
                if stamp
            )
    except (DamagedTape, OSError):
        return True


def _for_symbols(record: TapeRecord, symbols: Symbols) -> Iterator[TapeRecord]:
    """The record, reduced to these symbols; nothing if it is about other symbols."""
    if symbols is None:
        yield record
    elif isinstance(record, SegmentStart | Connected):
        yield replace(record, symbols=tuple(s for s in record.symbols if s in symbols))
    elif not hasattr(record, "symbol") or record.symbol in symbols:
        yield record


def unsealed_outputs(
    archive: ArchiveFiles,
    tape: ArchiveFile,
    symbol: str | None,
    before_ns: int | None = None,
    every: int = 0,
) -> Iterator[Output]:
    """The outputs that follow from an unsealed tape, and the gaps that are open at its end.

    With `before_ns`, reading stops when no later record can matter for earlier times. A tape that cannot be
    read is reported in `archive.damaged`.
    """
    books = Reconstruction()
    with archive.skip_damaged(tape.path), errors_as_damage(tape.path):
        for record in read_records(
            archive, tape, frozenset({symbol}) if symbol else None, every=every
        ):
            if before_ns is not None and symbol and is_past(books, symbol, record, before_ns):
                break
            yield from books.apply(record)
            if isinstance(record, SegmentEnd):
                # The open gaps came with the end record.
                return
    with archive.skip_damaged(tape.path), errors_as_damage(tape.path):
        yield from books.open_gaps()


def is_past(books: Reconstruction, symbol: str, record: TapeRecord, before_ns: int) -> bool:
    """Whether no later record matters for times before `before_ns`: the book is live and buffers no event.

    Known weakness: this assumes that records are on the tape in the order of their stamps, which is wrong after
    the clock was set back.
    """
    if not isinstance(record, StreamMessage) or record.received_ns < before_ns:
        return False
    sync, feed = books.syncs.get(symbol), books.arbiter.feeds.get(symbol)
    return sync is not None and sync.state is State.LIVE and not (feed and feed.buffered)
