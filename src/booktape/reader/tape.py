"""What only the tape tells: the frames of some symbols, and what follows from them.

Readers want one symbol at a time: the books of the others would cost far more than reading past them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import IO, Final, NamedTuple, TypeAlias, cast

from booktape.core.events import BookRow, DepthEvent
from booktape.core.frames import (
    Checkpoint,
    Connected,
    Frame,
    SegmentEnd,
    SegmentStart,
    StreamFrame,
)
from booktape.core.sync import State
from booktape.descriptors import refuse_used_up
from booktape.errors import DamagedTape, MalformedFrame
from booktape.reader.place import File, Place
from booktape.reconstruct import Output, Reconstruction
from booktape.store.line import decode
from booktape.store.reading import following, read_lines, read_tape
from booktape.wire.binance import decode_event

NO_ROWS: Final = 2**62
"""A row after so many events: only those with which an epoch begins."""


class Standing(NamedTuple):
    """The last known state of a book: its epoch, its update id, and when it was known."""

    epoch: int
    update_id: int
    known_ns: int


_STAMP: Final = re.compile(rb'"received_ns":(\d+)')
_HEAVY: Final = (b'{"k":"ws"', b'{"k":"rest"', b'{"k":"checkpoint"')


Symbols: TypeAlias = frozenset[str] | None
"""None: all of them."""


class Filter:
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
        return decode(self._last).received_ns if self._last else 0


def frames(
    place: Place, tape: File, symbols: Symbols, lines: Filter | None = None, every: int = 0
) -> Iterator[Frame]:
    """The frames of a tape as if only these symbols had been recorded.

    `every`: with a row after so many events, not as often as it was recorded. A sealed tape that is
    damaged raises DamagedTape; an unsealed one ends where it breaks off.
    """
    torn = "/unsealed/" in tape.path
    try:
        with place.open_tape(tape) as file:
            # A file of pyarrow behaves like one of Python's, but is none by its type.
            found = read_tape(cast("IO[bytes]", file), torn=torn, wanted=lines or Filter(symbols))
            for frame in found:
                if isinstance(frame, SegmentStart) and every:
                    yield from _only(replace(frame, every=every), symbols)
                else:
                    yield from _only(frame, symbols)
    except DamagedTape as error:
        raise DamagedTape(
            f"{tape.path} is not what was recorded. Rows in snapshots/ can be read all the same."
        ) from error
    except OSError as error:
        refuse_used_up(error)
        raise DamagedTape(f"{tape.path} cannot be read: {error}.") from error


def chosen_tapes(
    place: Place, tapes: Sequence[File], from_us: int | None, to_us: int | None
) -> list[File]:
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


def _ends_after(place: Place, tape: File, time_us: int) -> bool:
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


def _only(frame: Frame, symbols: Symbols) -> Iterator[Frame]:
    """The frame, or what of it concerns the symbols."""
    if symbols is None:
        yield frame
    elif isinstance(frame, SegmentStart | Connected):
        yield replace(frame, symbols=tuple(s for s in frame.symbols if s in symbols))
    elif not hasattr(frame, "symbol") or frame.symbol in symbols:
        yield frame


def outputs(
    place: Place, tape: File, symbol: str | None, before_ns: int | None = None, every: int = 0
) -> Iterator[Output]:
    """What an unsealed tape will be sealed as, with the gaps that are open where it breaks off.

    Ends early at a moment after which nothing can come that belongs before `before_ns`. A tape that
    cannot be read is named in `place.damaged`.
    """
    books = Reconstruction()
    with place.reading(tape.path), following(tape.path):
        for frame in frames(place, tape, frozenset({symbol}) if symbol else None, every=every):
            if before_ns is not None and symbol and is_past(books, symbol, frame, before_ns):
                break
            yield from books.feed(frame)
            if isinstance(frame, SegmentEnd):
                # The end has said which open gaps are stored.
                return
    with place.reading(tape.path), following(tape.path):
        yield from books.open_gaps()


def is_past(books: Reconstruction, symbol: str, frame: Frame, before_ns: int) -> bool:
    """Whether all that follows is later: the book is known and no earlier event is held back.

    Known weakness: it trusts that frames stand on the tape in the order of their stamps, which a
    clock that is set back breaks.
    """
    if not isinstance(frame, StreamFrame) or frame.received_ns < before_ns:
        return False
    sync, lane = books.syncs.get(symbol), books.merge.lanes.get(symbol)
    return sync is not None and sync.state is State.LIVE and not (lane and lane.ahead)


class EventByEvent:
    """The same function over the frames of one tape, read with `every=1`."""

    def __init__(self, symbol: str) -> None:
        self.books = Reconstruction()
        self._symbol = symbol

    def feed(self, frame: Frame) -> Iterator[tuple[Output, DepthEvent | None]]:
        """Every output, and with each row the event that it comes from: None, if a snapshot.

        Known weakness: an event is decoded twice, here and in the function.
        """
        waiting = self._waiting()
        if isinstance(frame, StreamFrame):
            waiting.append(_event(frame))
        for output in self.books.feed(frame):
            event = None
            if isinstance(output, BookRow) and output.updates:
                event = next(e for e in reversed(waiting) if e and e.last_id == output.update_id)
            yield output, event

    def _waiting(self) -> list[DepthEvent | None]:
        """What had arrived before and may be applied with the next frame."""
        sync, lane = self.books.syncs.get(self._symbol), self.books.merge.lanes.get(self._symbol)
        held = [*(sync.held if sync else ()), *(lane.ahead if lane else ())]
        return [each.event for each in held]


def _event(frame: StreamFrame) -> DepthEvent | None:
    try:
        event = decode_event(frame.payload)
    except MalformedFrame:
        # The function says so too; what was garbage then is garbage now.
        return None
    return event if isinstance(event, DepthEvent) else None


def standing(books: Reconstruction, symbol: str) -> Standing | None:
    """Where a symbol stands; None when nothing of it was on tape."""
    sync = books.syncs.get(symbol)
    return Standing(sync.epoch, sync.update_id, sync.known_ns) if sync else None


def continues(stood: Standing | None, frame: Frame) -> bool:
    """Whether a tape with this frame can go on where the one before it `stood`.

    A book that is not live begins in a gap, which says by itself from where to where.
    """
    if stood is None or not isinstance(frame, Checkpoint) or frame.state != State.LIVE.value:
        return True
    return (stood.epoch, stood.update_id) == (frame.epoch, frame.update_id)
