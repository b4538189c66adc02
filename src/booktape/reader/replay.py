"""Every book there ever was, from the tape: at one moment, or one event after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

from booktape.core.events import BookRow
from booktape.core.events import Gap as CoreGap
from booktape.core.frames import Checkpoint, Disconnected, RestFrame, SegmentEnd, StreamFrame
from booktape.core.sync import State, SymbolSync
from booktape.errors import BookNotKnown, DamagedTape, NotRecorded
from booktape.reader.book import Book, Gap, Step
from booktape.reader.gaps import gap_list
from booktape.reader.place import File, Place
from booktape.reader.progress import tracked
from booktape.reader.rows import Query
from booktape.reader.tape import (
    NO_ROWS,
    EventByEvent,
    Filter,
    Standing,
    continues,
    frames,
    is_past,
    standing,
)
from booktape.reader.times import moment_at
from booktape.reconstruct import Reconstruction
from booktape.store.found import reaching_into


def tapes_of(place: Place, *, unsealed: bool) -> list[File]:
    """All tapes, oldest first."""
    # Listed first: what is sealed meanwhile is then read as sealed, not missed.
    tail = place.unsealed() if unsealed else []
    sealed = place.tapes()
    done = {tape.segment for tape in sealed}
    # A worker may seal a later tape than one that another has not sealed yet.
    tail = [tape for tape in tail if tape.segment not in done]
    return sorted(sealed + tail, key=lambda tape: tape.segment)


def _since(tapes: Sequence[File], time_us: int | None) -> Sequence[File]:
    """Those that reach beyond this moment: in which it lies (one of each worker), and later ones."""
    wanted = reaching_into([tape.segment for tape in tapes], time_us, None)
    return [tape for tape in tapes if tape.segment in wanted]


def _until(tapes: Sequence[File], end_us: int | None) -> Sequence[File]:
    """Those that begin before, and one more of each worker: frames may have waited for it to be opened."""
    if end_us is None:
        return tapes
    begun = [tape for tape in tapes if tape.segment.start_us < end_us]
    following: dict[str, File] = {}
    for tape in tapes[len(begun) :]:
        following.setdefault(tape.segment.tag, tape)
    return begun + list(following.values())


def book_at(place: Place, symbol: str, time_us: int, depth: int | None, *, unsealed: bool) -> Book:
    """The book as the recorder knew it at this moment: after every frame received until then.

    Raises BookNotKnown in a gap, and before and after everything recorded.
    """
    moment = moment_at(time_us)
    for gap in gap_list(place, symbol, unsealed=unsealed, before_us=time_us + 1):
        if gap.covers(moment):
            raise BookNotKnown(_in_a_gap(gap, time_us))
    tapes = _since(tapes_of(place, unsealed=unsealed), time_us)
    if not tapes or tapes[0].segment.start_us > time_us:
        raise BookNotKnown(f"{symbol} at {moment}: nothing of that time is on tape.")
    try:
        sync, reached_ns, _ = _known_at(place, tapes, symbol, time_us)
    except DamagedTape as error:
        raise BookNotKnown(f"{symbol} at {moment}: {error}") from error
    if sync is None or not sync.epoch:
        raise BookNotKnown(f"{symbol} at {moment}: the book was not known yet.")
    if sync.state is not State.LIVE or reached_ns // 1_000 < time_us:
        last = moment_at(max(sync.known_ns, reached_ns) // 1_000)
        raise BookNotKnown(f"{symbol} at {moment}: the recording does not say; it ends at {last}.")
    return Book.of(sync.row(sync.known_ns), depth)


def _in_a_gap(gap: Gap, time_us: int) -> str:
    until = gap.end_time or "now"
    return (
        f"{gap.symbol} at {moment_at(time_us)}: the book was not known from {gap.start_time} "
        f"until {until} ({gap.reason})."
    )


class _Run(NamedTuple):
    """The machine after some frames, how far their tape reaches, and whether they came to an end.

    `past`: a later frame of the symbol was met, so that no earlier one follows.
    """

    sync: SymbolSync | None
    reached_ns: int
    past: bool


def _known_at(place: Place, tapes: Sequence[File], symbol: str, time_us: int) -> _Run:
    """The machine after every frame until this moment: on the tape of the worker that has the symbol."""
    for tape in tapes:
        if tape.segment.start_us > time_us:
            break
        run = _run(place, tape, symbol, time_us, None)
        if run and run.sync:
            return run if run.past else _after_it(place, tapes, tape, run.sync, time_us) or run
    return _Run(None, 0, past=True)


def _after_it(
    place: Place, tapes: Sequence[File], tape: File, sync: SymbolSync, time_us: int
) -> _Run | None:
    """The worker's next tape may begin with frames that had waited while it was opened."""
    later = (t for t in tapes if t.segment.tag == tape.segment.tag and t.segment > tape.segment)
    following = next(later, None)
    stood = Standing(sync.epoch, sync.update_id, sync.known_ns)
    return _run(place, following, sync.symbol, time_us, stood) if following else None


def _run(
    place: Place, tape: File, symbol: str, time_us: int, stood: Standing | None
) -> _Run | None:
    """The same over one tape; None when it does not go on from where the one before `stood`.

    It starts at the tape's checkpoint. Starting at the nearest row would spare some decoding, but
    what an audit taught the book since, and how far each connection was, stands in no row.
    """
    only = frozenset({symbol})
    books, lines = Reconstruction(), Filter(only)
    for frame in frames(place, tape, only, lines, NO_ROWS):
        if not continues(stood, frame):
            return None
        if isinstance(frame, StreamFrame | RestFrame) and frame.received_ns // 1_000 > time_us:
            return _Run(books.syncs.get(symbol), frame.received_ns, past=True)
        # Until a connection's last sign of life, and until the recording's end, the book was known.
        if isinstance(frame, Disconnected) and frame.alive_ns // 1_000 >= time_us:
            continue
        if isinstance(frame, SegmentEnd) and frame.received_ns // 1_000 >= time_us:
            break
        for _ in books.feed(frame):
            pass
    return _Run(books.syncs.get(symbol), lines.reached_ns, past=False)


def replay(place: Place, query: Query, *, unsealed: bool) -> Iterator[Step | Gap]:
    """Every event of a symbol with the book after it, and every gap, in order.

    What a damaged or missing tape would have told is a gap with the reason `undeclared`. Raises
    NotRecorded without a tape of the symbol.
    """
    tapes = _until(_since(tapes_of(place, unsealed=unsealed), query.start_us), query.end_us)
    stood, gap = None, None
    for tape in tracked(tapes, f"replaying {query.symbol}"):
        events = EventByEvent(query.symbol)
        past = False
        with place.reading(tape.path):
            past = yield from _steps(place, tape, query, events, stood)
        stood = standing(events.books, query.symbol) or stood
        sync = events.books.syncs.get(query.symbol)
        gap = sync.gap if sync else gap
        if past:
            break
    if stood is None:
        raise NotRecorded(f"{place.root} has no tape of {query.symbol} in that time.")
    if gap and query.overlaps(Gap.of(gap)):
        yield Gap.of(gap)


def _steps(
    place: Place, tape: File, query: Query, events: EventByEvent, stood: Standing | None
) -> Generator[Step | Gap, None, bool]:
    """Returns whether the end of the query's time was passed."""
    for frame in frames(place, tape, frozenset({query.symbol}), every=1):
        if stood and isinstance(frame, Checkpoint) and not continues(stood, frame):
            untold = _untold(place, tape, stood, frame)
            # Before the first epoch nothing was known that could be lost.
            if stood.epoch and query.overlaps(untold):
                yield untold
        if query.end_us is not None and is_past(
            events.books, query.symbol, frame, query.end_us * 1_000
        ):
            return True
        for output, event in events.feed(frame):
            if isinstance(output, BookRow) and query.holds(output.received_ns // 1_000):
                yield Step(event, Book.of(output, query.depth))
            # A gap that is still open is said again when it is closed.
            elif isinstance(output, CoreGap) and output.end_ns is not None:
                yield from (gap for gap in [Gap.of(output)] if query.overlaps(gap))
    return False


def _untold(place: Place, tape: File, stood: Standing, begins: Checkpoint) -> Gap:
    """What lies between the last state that was told and a tape that does not go on from there."""
    if not place.damaged:
        place.report_damage(tape.path, "the tape before it is missing")
    return Gap(
        begins.symbol,
        stood.epoch,
        moment_at(stood.known_ns // 1_000),
        moment_at(begins.known_ns // 1_000),
        stood.update_id,
        begins.update_id,
        begins.update_id - stood.update_id - 1,
        "undeclared",
    )
