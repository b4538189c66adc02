"""What only the tape tells: the records of some symbols, and what follows from them.

Readers want one symbol at a time: the books of the others would cost far more than reading past them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import IO, Final, NamedTuple, TypeAlias, cast

from booktape.core.events import BookRow, DepthEvent
from booktape.core.sync import State
from booktape.core.tape_records import (
    Checkpoint,
    Connected,
    SegmentEnd,
    SegmentStart,
    StreamMessage,
    TapeRecord,
)
from booktape.descriptors import refuse_used_up
from booktape.errors import DamagedTape, MalformedFrame
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reconstruct import Output, Reconstruction
from booktape.store.tape_codec import decode_record
from booktape.store.tape_reader import following, read_lines, read_tape
from booktape.wire.binance import decode_event

NO_ROWS: Final = 2**62
"""A row after so many events: only those with which an epoch begins."""


class LastState(NamedTuple):
    """The last known state of a book: its epoch, its update id, and when it was known."""

    epoch: int
    update_id: int
    known_ns: int


_STAMP: Final = re.compile(rb'"received_ns":(\d+)')
_HEAVY: Final = (b'{"k":"ws"', b'{"k":"rest"', b'{"k":"checkpoint"')


Symbols: TypeAlias = frozenset[str] | None
"""None: all of them."""


class SymbolFilter:
    """Passes the lines of a tape that may concern some symbols, undecoded.

    A line says its symbol literally, in quotes, or as a stream's name begins; unless it is escaped or
    in base64.
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
        """The stamp of the last line seen, of whichever symbol; 0 before the first."""
        return decode_record(self._last).received_ns if self._last else 0


def read_records(
    place: ArchiveFiles,
    tape: ArchiveFile,
    symbols: Symbols,
    lines: SymbolFilter | None = None,
    every: int = 0,
) -> Iterator[TapeRecord]:
    """The records of a tape as if only these symbols had been recorded.

    `every`: with a row after so many events, not as often as it was recorded. A sealed tape that is
    damaged raises DamagedTape; an unsealed one ends where it breaks off.
    """
    torn = "/unsealed/" in tape.path
    try:
        with place.open_tape(tape) as file:
            # A file of pyarrow behaves like one of Python's, but is none by its type.
            found = read_tape(
                cast("IO[bytes]", file), torn=torn, wanted=lines or SymbolFilter(symbols)
            )
            for record in found:
                if isinstance(record, SegmentStart) and every:
                    yield from _only(replace(record, every=every), symbols)
                else:
                    yield from _only(record, symbols)
    except DamagedTape as error:
        raise DamagedTape(
            f"{tape.path} is not what was recorded. Rows in snapshots/ can be read all the same."
        ) from error
    except OSError as error:
        refuse_used_up(error)
        raise DamagedTape(f"{tape.path} cannot be read: {error}.") from error


def chosen_tapes(
    place: ArchiveFiles, tapes: Sequence[ArchiveFile], from_us: int | None, to_us: int | None
) -> list[ArchiveFile]:
    """Of these sealed tapes those that reach into a stretch of time, in the order of recording.

    A tape of which no other one tells when it ended is read to its end, to see how far it reaches.
    """
    lineage = place.lineage(tapes)
    wanted = lineage.reaching_into(from_us, to_us)
    files = {tape.segment: tape for tape in tapes}
    return [
        files[one]
        for one in lineage.order
        if one in wanted
        and (from_us is None or lineage.end_us(one) or _ends_after(place, files[one], from_us))
    ]


def _ends_after(place: ArchiveFiles, tape: ArchiveFile, time_us: int) -> bool:
    """Whether any line is from then or later, whatever the clock did; yes, where it cannot be read."""
    try:
        with place.open_tape(tape) as file:
            return any(
                int(stamp[1]) // 1_000 >= time_us
                for stamp in map(_STAMP.search, read_lines(cast("IO[bytes]", file)))
                if stamp
            )
    except (DamagedTape, OSError):
        return True


def _only(record: TapeRecord, symbols: Symbols) -> Iterator[TapeRecord]:
    """The record, or what of it concerns the symbols."""
    if symbols is None:
        yield record
    elif isinstance(record, SegmentStart | Connected):
        yield replace(record, symbols=tuple(s for s in record.symbols if s in symbols))
    elif not hasattr(record, "symbol") or record.symbol in symbols:
        yield record


def outputs(
    place: ArchiveFiles,
    tape: ArchiveFile,
    symbol: str | None,
    before_ns: int | None = None,
    every: int = 0,
) -> Iterator[Output]:
    """What an unsealed tape will be sealed as, with the gaps that are open where it breaks off.

    Ends early at a moment after which nothing can come that belongs before `before_ns`. A tape that
    cannot be read is named in `place.damaged`.
    """
    books = Reconstruction()
    with place.reading(tape.path), following(tape.path):
        for record in read_records(
            place, tape, frozenset({symbol}) if symbol else None, every=every
        ):
            if before_ns is not None and symbol and is_past(books, symbol, record, before_ns):
                break
            yield from books.feed(record)
            if isinstance(record, SegmentEnd):
                # The end has said which open gaps are stored.
                return
    with place.reading(tape.path), following(tape.path):
        yield from books.open_gaps()


def is_past(books: Reconstruction, symbol: str, record: TapeRecord, before_ns: int) -> bool:
    """Whether all that follows is later: the book is known and no earlier event is held back.

    Known weakness: it trusts that records stand on the tape in the order of their stamps, which a
    clock that is set back breaks.
    """
    if not isinstance(record, StreamMessage) or record.received_ns < before_ns:
        return False
    sync, feed = books.syncs.get(symbol), books.arbiter.feeds.get(symbol)
    return sync is not None and sync.state is State.LIVE and not (feed and feed.buffered)


class EventByEvent:
    """The same function over the records of one tape, read with `every=1`."""

    def __init__(self, symbol: str) -> None:
        self.books = Reconstruction()
        self._symbol = symbol

    def feed(self, record: TapeRecord) -> Iterator[tuple[Output, DepthEvent | None]]:
        """Every output, and with each row the event that it comes from: None, if a snapshot.

        Known weakness: an event is decoded twice, here and in the function.
        """
        waiting = self._waiting()
        if isinstance(record, StreamMessage):
            waiting.append(_event(record))
        for output in self.books.feed(record):
            event = None
            if isinstance(output, BookRow) and output.updates:
                event = next(e for e in reversed(waiting) if e and e.last_id == output.update_id)
            yield output, event

    def _waiting(self) -> list[DepthEvent | None]:
        """What had arrived before and may be applied with the next record."""
        sync, feed = self.books.syncs.get(self._symbol), self.books.arbiter.feeds.get(self._symbol)
        held = [*(sync.held if sync else ()), *(feed.buffered if feed else ())]
        return [each.event for each in held]


def _event(record: StreamMessage) -> DepthEvent | None:
    try:
        event = decode_event(record.payload)
    except MalformedFrame:
        # The function says so too; what was garbage then is garbage now.
        return None
    return event if isinstance(event, DepthEvent) else None


def last_state_of(books: Reconstruction, symbol: str) -> LastState | None:
    """Where a symbol stands; None when nothing of it was on tape."""
    sync = books.syncs.get(symbol)
    return LastState(sync.epoch, sync.update_id, sync.known_ns) if sync else None


def continues(stood: LastState | None, record: TapeRecord) -> bool:
    """Whether a tape with this record can go on where the one before it `stood`.

    A book that is not live begins in a gap, which says by itself from where to where.
    """
    if stood is None or not isinstance(record, Checkpoint) or record.state != State.LIVE.value:
        return True
    return (stood.epoch, stood.update_id) == (record.epoch, record.update_id)
