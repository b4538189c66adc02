"""Books from the tape: at one moment, or one after each event.

**Which tape.** The lineage says which tapes a tape continues. Clocks do not: one may have been wrong, and several
recorders may have recorded the symbol. A tape must begin where the previous one ended; a checkpoint with another epoch
or id means that something between them is missing.

**At one moment**, every tape that may have that time is tried, the last recorded first, until one knows the
book then. **In order**, anything missing or damaged between two tapes is yielded as an `undeclared` gap.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from booktape.core.events import BookRow, DepthEvent, GapInterval
from booktape.core.sync import State, SymbolSync
from booktape.core.tape_records import (
    Checkpoint,
    DepthAnswer,
    Disconnected,
    SegmentEnd,
    StreamMessage,
    TapeRecord,
)
from booktape.errors import BookNotKnown, DamagedTape, MalformedFrame, NotRecorded
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.gaps import fitted_gaps, stamped_gaps
from booktape.reader.progress import tracked
from booktape.reader.records import Book, Gap, Step
from booktape.reader.removed import removal_at, report_removed
from booktape.reader.rows import RowQuery
from booktape.reader.tape_query import (
    FIRST_ROWS_ONLY,
    SymbolFilter,
    is_past,
    read_records,
    start_of,
)
from booktape.reader.times import moment_at
from booktape.reconstruct import Reconstruction
from booktape.store.tape_reader import errors_as_damage
from booktape.wire.binance import decode_event


class _LastState(NamedTuple):
    """The last known state of a book: its epoch, its update id, and when it was known."""

    epoch: int
    update_id: int
    known_ns: int

    @classmethod
    def of(cls, sync: SymbolSync) -> _LastState:
        return cls(sync.epoch, sync.update_id, sync.known_ns)

    def leads_to(self, begins: Checkpoint) -> bool:
        """Whether a tape with this first checkpoint may continue the tape that ended in this state.

        A book that is not live at the checkpoint is inside a gap, which has its own start and end.
        """
        same = (self.epoch, self.update_id) == (begins.epoch, begins.update_id)
        return same or begins.state != State.LIVE.value


class _Tapes:
    """All tapes of an archive, in the order in which they were recorded."""

    def __init__(self, archive: ArchiveFiles) -> None:
        self.archive = archive
        # One worker may seal a tape before another worker has sealed an earlier one.
        sealed, tail = archive.with_tail(archive.tapes)
        self.lineage = archive.lineage([*sealed, *tail])
        self._files = {tape.segment: tape for tape in (*sealed, *tail)}

    def reaching(self, time_us: int) -> list[ArchiveFile]:
        """The tapes that may have records of this time, the last recorded first."""
        found = self.lineage.reaching_into(time_us, time_us + 1)
        return [self._files[one] for one in reversed(self.lineage.order) if one in found]

    def between(self, start_us: int | None, end_us: int | None) -> list[ArchiveFile]:
        """The tapes between two times, and those that continue them, which may begin with records of that time."""
        found = self.lineage.reaching_into(start_us, end_us)
        found |= {after for one in found for after in self.lineage.after[one]}
        return [self._files[one] for one in self.lineage.order if one in found]

    def after(self, tape: ArchiveFile) -> list[ArchiveFile]:
        """The tapes that continue this one."""
        return [self._files[one] for one in self.lineage.after[tape.segment]]

    def last(self) -> list[ArchiveFile]:
        """The tapes that no other tape continues, the last recorded first."""
        ends = [one for one in reversed(self.lineage.order) if not self.lineage.after[one]]
        return [self._files[one] for one in ends]

    def continues(self, tape: ArchiveFile, read: Sequence[ArchiveFile]) -> bool:
        """Whether a tape continues one of `read`, and so must begin where that one ended. A wrong clock may put others between."""
        before = self.lineage.before[tape.segment]
        return bool(self.lineage.missing[tape.segment]) or any(t.segment in before for t in read)

    def missing_before(self, tape: ArchiveFile) -> str:
        """The missing segments that a tape continues, as part of a sentence."""
        return " and ".join(self.lineage.missing[tape.segment]) or "the tape before it"


def book_at(archive: ArchiveFiles, symbol: str, time_us: int, depth: int | None) -> Book:
    """The book as the recorder knew it at this time: after every record received at or before it.

    Raises BookNotKnown in a gap, and before and after everything recorded.
    """
    moment = moment_at(time_us)
    tapes = _Tapes(archive)
    stamped = stamped_gaps(archive, symbol, before_us=time_us + 1)
    lost = frozenset(gap.epoch for gap in stamped if _is_lost(gap, moment))
    state, damage = _known_at(tapes, symbol, time_us, lost)
    if state and state.knows_at(time_us, lost):
        return Book.of(state.sync.row(state.sync.known_ns), depth)
    gaps = fitted_gaps(archive, symbol, stamped)
    if gap := next((gap for gap in gaps if gap.covers(moment)), None):
        why = (
            f"the book was not known from {gap.start_time} until {gap.end_time or 'now'} "
            f"({gap.reason})"
        )
        raise BookNotKnown(f"{symbol} at {moment}: {why}.")
    if damage:
        raise BookNotKnown(f"{symbol} at {moment}: {damage}") from damage
    if state is None and not tapes.reaching(time_us):
        why = "no tape has this time"
    elif state is None or not state.sync.epoch:
        why = "the book was not known yet"
    else:
        last = moment_at(max(state.sync.known_ns, state.reached_ns) // 1_000)
        why = f"the recording ends at {last}"
    raise BookNotKnown(f"{symbol} at {moment}: {why}.{removal_at(archive, time_us)}")


def _is_lost(gap: Gap, moment: datetime) -> bool:
    """Whether the book of the gap's epoch was lost at this time, by the clock that stamped the epoch's rows.

    A gap that ends where it begins was closed after the clock had been set back, so its end is unknown by that clock.
    """
    closed_later = gap.end_time is not None and gap.end_time <= gap.start_time
    return gap.covers(moment) or (closed_later and gap.start_time < moment)


class _StateAt(NamedTuple):
    """A symbol's state after some records of a tape, and the time that the tape reaches.

    `past` is True if a later record of the symbol was read, so no earlier record follows.
    """

    sync: SymbolSync
    reached_ns: int
    past: bool

    def knows_at(self, time_us: int, lost: frozenset[int]) -> bool:
        """Whether the book was known at this time. `lost` has the epochs whose book was lost then, by a gap."""
        live = self.sync.state is State.LIVE and self.sync.epoch not in lost
        return live and self.reached_ns // 1_000 >= time_us


def _known_at(
    tapes: _Tapes, symbol: str, time_us: int, lost: frozenset[int]
) -> tuple[_StateAt | None, DamagedTape | None]:
    """A symbol's state after every record up to this time, from a tape on which the book was known then.

    Several tapes may have this time: those of several workers or recorders, or recorded before and after the clock was
    set back. The last one that knows the book is used. If none does, the result is the state on the last one that has
    the symbol, and the error of a tape that is damaged.
    """
    last: _StateAt | None = None
    damage: DamagedTape | None = None
    for tape in tapes.reaching(time_us):
        try:
            state = _state_at(tapes, tape, symbol, time_us)
            if state is None:
                continue
            after = None
            if not state.past:
                # The next tape may begin with records that waited while it was opened.
                ended_in = _LastState.of(state.sync)
                found = (
                    _state_at(tapes, one, symbol, time_us, ended_in) for one in tapes.after(tape)
                )
                after = next((one for one in found if one), None)
        except DamagedTape as error:
            damage = error
            continue
        for one in filter(None, (after, state)):
            if one.knows_at(time_us, lost):
                return one, None
        last = last or after or state
    return last, damage


def _state_at(
    tapes: _Tapes, tape: ArchiveFile, symbol: str, time_us: int, ended_in: _LastState | None = None
) -> _StateAt | None:
    """The state according to one tape. None if it has no record of the symbol, or does not continue the state `ended_in`.

    Reading begins at the tape's checkpoint. To begin at the nearest row would save some decoding, but no row has
    the levels that an audit added since, or how far each connection had come.
    """
    only = frozenset({symbol})
    books, lines = Reconstruction(), SymbolFilter(only)
    past_ns = 0
    for record in read_records(tapes.archive, tape, only, lines, FIRST_ROWS_ONLY):
        if ended_in and isinstance(record, Checkpoint) and not ended_in.leads_to(record):
            return None
        if (
            isinstance(record, StreamMessage | DepthAnswer)
            and record.received_ns // 1_000 > time_us
        ):
            past_ns = record.received_ns
            break
        # The book was known up to the connection's last sign of life, and up to the recording's end.
        if isinstance(record, Disconnected) and record.alive_ns // 1_000 >= time_us:
            continue
        if isinstance(record, SegmentEnd) and record.received_ns // 1_000 >= time_us:
            break
        with errors_as_damage(tape.path):
            books.apply(record)
    sync = books.syncs.get(symbol)
    return _StateAt(sync, past_ns or lines.reached_ns, past=bool(past_ns)) if sync else None


def gap_at_end(archive: ArchiveFiles, query: RowQuery) -> Gap | None:
    """The gap in which the last tape of a symbol ends. `stopped` is in no file until the next recording closes it.

    None if the book is known there, if the tape cannot be read or begins after the query's time, and if the last tapes
    do not list the symbol at their start.
    """
    for tape in _Tapes(archive).last():
        start = start_of(archive, tape)
        if start is None or query.symbol not in start.symbols:
            continue
        if query.end_us is not None and query.end_us <= start.received_ns // 1_000:
            return None
        books, symbols = Reconstruction(), frozenset({query.symbol})
        try:
            with errors_as_damage(tape.path):
                for record in read_records(archive, tape, symbols, every=FIRST_ROWS_ONLY):
                    books.apply(record)
        except DamagedTape:
            return None
        sync = books.syncs.get(query.symbol)
        return Gap.of(sync.gap) if sync and sync.gap else None
    return None


def replay(archive: ArchiveFiles, query: RowQuery) -> Iterator[Step | Gap]:
    """Every event of a symbol with the book after it, and every gap, in order.

    The time of a damaged or missing tape is a gap with the reason `undeclared`. Tapes that were removed on purpose are
    reported by a TapesRemoved warning. Raises NotRecorded if no tape has the symbol.
    """
    report_removed(archive, query.start_us, query.end_us)
    tapes = _Tapes(archive)
    ended_in: _LastState | None = None
    gap: GapInterval | None = None
    recorded = False
    chosen = tapes.between(query.start_us, query.end_us)
    for tape in tracked(chosen, f"replaying {query.symbol}"):
        books = Reconstruction()
        past = False
        with archive.skip_damaged(tape.path), errors_as_damage(tape.path):
            before = ended_in if tapes.continues(tape, chosen) else None
            past = yield from _steps(tapes, tape, query, books, before)
        sync = books.syncs.get(query.symbol)
        recorded = recorded or sync is not None
        if past:
            # Reading stopped before the tape's end. If a clock was wrong, the next tape may have earlier times.
            ended_in = None
        # A damaged tape may name its symbols but end before their checkpoints.
        elif sync and (sync.epoch or not ended_in):
            ended_in = _LastState.of(sync)
        gap = sync.gap if sync else gap
    if not recorded:
        raise NotRecorded(f"{archive.name} has no tape of {query.symbol} in that time.")
    if gap and query.overlaps(Gap.of(gap)):
        yield Gap.of(gap)


def _steps(
    tapes: _Tapes,
    tape: ArchiveFile,
    query: RowQuery,
    books: Reconstruction,
    ended_in: _LastState | None,
) -> Generator[Step | Gap, None, bool]:
    """The steps and gaps of one tape, in a new reconstruction. Returns whether the query's end was passed.

    Known weakness: an event is decoded twice, here and in the reconstruction.
    """
    for record in read_records(tapes.archive, tape, frozenset({query.symbol}), every=1):
        if ended_in and isinstance(record, Checkpoint) and not ended_in.leads_to(record):
            if not tapes.archive.damaged:
                why = f"it does not continue where {tapes.missing_before(tape)} ended: a tape is missing"
                tapes.archive.report_damage(tape.path, why)
            times = moment_at(ended_in.known_ns // 1_000), moment_at(record.known_ns // 1_000)
            ids = ended_in.update_id, record.update_id
            missing = Gap.undeclared(query.symbol, ended_in.epoch, times, ids)
            # Before the first epoch nothing was known that could be lost.
            if ended_in.epoch and query.overlaps(missing):
                yield missing
        if query.end_us is not None and is_past(books, query.symbol, record, query.end_us * 1_000):
            return True
        events = _events(books, query.symbol, record)
        for output in books.apply(record):
            if isinstance(output, BookRow) and query.contains(output.received_ns // 1_000):
                # With `every=1` each row but an epoch's first one has an event.
                event = events[output.update_id] if output.updates else None
                yield Step(event, Book.of(output, query.depth))
            # An open gap appears again when it is closed.
            elif isinstance(output, GapInterval) and output.end_ns is not None:
                yield from (gap for gap in [Gap.of(output)] if query.overlaps(gap))
    return False


def _events(books: Reconstruction, symbol: str, record: TapeRecord) -> dict[int, DepthEvent]:
    """The events that may be applied with a record, by their last id: those that waited, and the record's own."""
    sync, feed = books.syncs.get(symbol), books.arbiter.feeds.get(symbol)
    held = [*(sync.held if sync else ()), *(feed.buffered if feed else ())]
    found = {each.event.last_id: each.event for each in held}
    if isinstance(record, StreamMessage):
        with suppress(MalformedFrame):  # the reconstruction ignores it too
            event = decode_event(record.payload)
            if isinstance(event, DepthEvent):
                found[event.last_id] = event
    return found
