"""Books from the tape: at one moment, or one after each event.

**Which tape.** Tapes follow each other as lineage says, and not as clocks say: a clock may have been wrong, and
several recorders may have recorded the symbol. A tape must begin where the one before it ended; a
checkpoint with another epoch or id means that something between them is missing.

**At one moment** every tape that may have that time is tried, the last recorded first, until one knows the
book then. **In order** what is missing or damaged between two tapes is yielded as an `undeclared` gap.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

from booktape.core.events import BookRow
from booktape.core.events import GapInterval as CoreGap
from booktape.core.sync import State, SymbolSync
from booktape.core.tape_records import (
    Checkpoint,
    DepthAnswer,
    Disconnected,
    SegmentEnd,
    StreamMessage,
)
from booktape.errors import BookNotKnown, DamagedTape, NotRecorded
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.gaps import gap_list
from booktape.reader.progress import tracked
from booktape.reader.records import Book, Gap, Step
from booktape.reader.removed import removal_at, report_removed
from booktape.reader.rows import RowQuery
from booktape.reader.tape_query import (
    NO_ROWS,
    EventByEvent,
    LastState,
    SymbolFilter,
    continues,
    is_past,
    last_state_of,
    read_records,
)
from booktape.reader.times import moment_at
from booktape.reconstruct import Reconstruction
from booktape.store.tape_reader import errors_as_damage


class _Tapes:
    """All tapes of an archive, in the order in which they were recorded."""

    def __init__(self, archive: ArchiveFiles, *, unsealed: bool) -> None:
        self.archive = archive
        # Unsealed tapes are listed first, so that one that is sealed meanwhile is not missed.
        tail = archive.unsealed() if unsealed else []
        sealed = archive.tapes()
        done = {tape.segment for tape in sealed}
        # One worker may seal a tape while another worker has not sealed an earlier one yet.
        files = sealed + [tape for tape in tail if tape.segment not in done]
        self.lineage = archive.lineage(files)
        self._files = {tape.segment: tape for tape in files}

    def begun_by(self, time_us: int) -> list[ArchiveFile]:
        """The tapes that may have records of this time, the last recorded first."""
        found = self.lineage.reaching_into(time_us, time_us + 1)
        return [self._files[one] for one in reversed(self.lineage.order) if one in found]

    def between(self, start_us: int | None, end_us: int | None) -> list[ArchiveFile]:
        """The tapes between two times, and those that continue them: these may begin with records of that time."""
        found = self.lineage.reaching_into(start_us, end_us)
        found |= {after for one in found for after in self.lineage.after[one]}
        return [self._files[one] for one in self.lineage.order if one in found]

    def after(self, tape: ArchiveFile) -> list[ArchiveFile]:
        """The tapes that continue this one."""
        return [self._files[one] for one in self.lineage.after[tape.segment]]

    def follows(self, tape: ArchiveFile, read: Sequence[ArchiveFile]) -> bool:
        """Whether a tape must begin where one of these ended. If a clock was wrong, others may be between them."""
        before = self.lineage.before[tape.segment]
        return bool(self.lineage.missing[tape.segment]) or any(t.segment in before for t in read)

    def missing_before(self, tape: ArchiveFile) -> str:
        """The missing segments that a tape continues, for a sentence."""
        return " and ".join(self.lineage.missing[tape.segment]) or "the tape before it"


def book_at(
    archive: ArchiveFiles, symbol: str, time_us: int, depth: int | None, *, unsealed: bool
) -> Book:
    """The book as the recorder knew it at this time: after every record received until then.

    Raises BookNotKnown in a gap, and before and after everything recorded.
    """
    moment = moment_at(time_us)
    for gap in gap_list(archive, symbol, unsealed=unsealed, before_us=time_us + 1):
        if gap.covers(moment):
            raise BookNotKnown(_in_a_gap(gap, time_us))
    tapes = _Tapes(archive, unsealed=unsealed)
    if not tapes.begun_by(time_us):
        why = removal_at(archive, time_us)
        raise BookNotKnown(f"{symbol} at {moment}: no tape has this time.{why}")
    try:
        sync, reached_ns, _ = _known_at(archive, tapes, symbol, time_us)
    except DamagedTape as error:
        raise BookNotKnown(f"{symbol} at {moment}: {error}") from error
    if sync is None or not sync.epoch:
        why = removal_at(archive, time_us)
        raise BookNotKnown(f"{symbol} at {moment}: the book was not known yet.{why}")
    if sync.state is not State.LIVE or reached_ns // 1_000 < time_us:
        last, why = (
            moment_at(max(sync.known_ns, reached_ns) // 1_000),
            removal_at(archive, time_us),
        )
        raise BookNotKnown(f"{symbol} at {moment}: the recording ends at {last}.{why}")
    return Book.of(sync.row(sync.known_ns), depth)


def _in_a_gap(gap: Gap, time_us: int) -> str:
    until = gap.end_time or "now"
    return (
        f"{gap.symbol} at {moment_at(time_us)}: the book was not known from {gap.start_time} "
        f"until {until} ({gap.reason})."
    )


class _Run(NamedTuple):
    """A symbol's state after some records of a tape, and the time that the tape reaches.

    `past` is True if a later record of the symbol was read, so that no earlier one follows.
    """

    sync: SymbolSync | None
    reached_ns: int
    past: bool

    def knows_at(self, time_us: int) -> bool:
        """Whether the book was known at this time."""
        live = self.sync is not None and self.sync.state is State.LIVE
        return live and self.reached_ns // 1_000 >= time_us


def _known_at(archive: ArchiveFiles, tapes: _Tapes, symbol: str, time_us: int) -> _Run:
    """A symbol's state after every record until this time, from a tape on which the book was known then.

    Several tapes may have this time (of workers, of recorders, after a clock was set back). The last one that
    knows the book is used. If none does, the result is that of the last one; but if one of them is damaged,
    DamagedTape is raised.
    """
    last, damage = _Run(None, 0, past=True), None
    for tape in tapes.begun_by(time_us):
        try:
            run = _run(archive, tape, symbol, time_us, None)
        except DamagedTape as error:
            damage = error
            continue
        if run and run.sync:
            after = None if run.past else _after_it(archive, tapes, tape, run.sync, time_us)
            for one in filter(None, (after, run)):
                if one.knows_at(time_us):
                    return one
            last = last if last.sync else after or run
    if damage:
        raise damage
    return last


def _after_it(
    archive: ArchiveFiles, tapes: _Tapes, tape: ArchiveFile, sync: SymbolSync, time_us: int
) -> _Run | None:
    """The same from the tape after it, which may begin with records that waited while it was opened."""
    stood = LastState(sync.epoch, sync.update_id, sync.known_ns)
    for successor in tapes.after(tape):
        run = _run(archive, successor, sync.symbol, time_us, stood)
        if run and run.sync:
            return run
    return None


def _run(
    archive: ArchiveFiles, tape: ArchiveFile, symbol: str, time_us: int, stood: LastState | None
) -> _Run | None:
    """The same from one tape. None if it does not continue the state `stood` of the tape before it.

    It begins at the tape's checkpoint. Beginning at the nearest row would save some decoding, but no row has
    the levels that an audit added since, or how far each connection was.
    """
    only = frozenset({symbol})
    books, lines = Reconstruction(), SymbolFilter(only)
    for record in read_records(archive, tape, only, lines, NO_ROWS):
        if not continues(stood, record):
            return None
        if (
            isinstance(record, StreamMessage | DepthAnswer)
            and record.received_ns // 1_000 > time_us
        ):
            return _Run(books.syncs.get(symbol), record.received_ns, past=True)
        # The book was known until the connection's last sign of life, and until the recording's end.
        if isinstance(record, Disconnected) and record.alive_ns // 1_000 >= time_us:
            continue
        if isinstance(record, SegmentEnd) and record.received_ns // 1_000 >= time_us:
            break
        with errors_as_damage(tape.path):
            books.apply(record)
    return _Run(books.syncs.get(symbol), lines.reached_ns, past=False)


def replay(archive: ArchiveFiles, query: RowQuery, *, unsealed: bool) -> Iterator[Step | Gap]:
    """Every event of a symbol with the book after it, and every gap, in order.

    The time of a damaged or missing tape is a gap with the reason `undeclared`. Tapes that were removed on purpose are
    reported by a TapesRemoved warning. Raises NotRecorded if no tape
    has the symbol.
    """
    report_removed(archive, query.start_us, query.end_us)
    tapes = _Tapes(archive, unsealed=unsealed)
    stood, gap, recorded = None, None, False
    chosen = tapes.between(query.start_us, query.end_us)
    for tape in tracked(chosen, f"replaying {query.symbol}"):
        events = EventByEvent(query.symbol)
        past = False
        with archive.skip_damaged(tape.path), errors_as_damage(tape.path):
            follows = tapes.follows(tape, chosen)
            past = yield from _steps(tapes, tape, query, events, stood if follows else None)
        last = last_state_of(events.books, query.symbol)
        recorded = recorded or last is not None
        if past:
            # Reading stopped before its end. If a clock was wrong, the next tape may have earlier times.
            stood = None
        # A damaged tape may name its symbols, and end before their checkpoints.
        elif last and (last.epoch or not stood):
            stood = last
        sync = events.books.syncs.get(query.symbol)
        gap = sync.gap if sync else gap
    if not recorded:
        raise NotRecorded(f"{archive.name} has no tape of {query.symbol} in that time.")
    if gap and query.overlaps(Gap.of(gap)):
        yield Gap.of(gap)


def _steps(
    tapes: _Tapes,
    tape: ArchiveFile,
    query: RowQuery,
    events: EventByEvent,
    stood: LastState | None,
) -> Generator[Step | Gap, None, bool]:
    """The steps and gaps of one tape. Returns whether the end of the query's time was passed."""
    for record in read_records(tapes.archive, tape, frozenset({query.symbol}), every=1):
        if stood and isinstance(record, Checkpoint) and not continues(stood, record):
            if not tapes.archive.damaged:
                why = (
                    f"it does not go on where {tapes.missing_before(tape)} ended: a tape is missing"
                )
                tapes.archive.report_damage(tape.path, why)
            missing = _undeclared_gap(stood, record)
            # Before the first epoch nothing was known that could be lost.
            if stood.epoch and query.overlaps(missing):
                yield missing
        if query.end_us is not None and is_past(
            events.books, query.symbol, record, query.end_us * 1_000
        ):
            return True
        for output, event in events.apply(record):
            if isinstance(output, BookRow) and query.contains(output.received_ns // 1_000):
                yield Step(event, Book.of(output, query.depth))
            # An open gap comes again when it is closed.
            elif isinstance(output, CoreGap) and output.end_ns is not None:
                yield from (gap for gap in [Gap.of(output)] if query.overlaps(gap))
    return False


def _undeclared_gap(stood: LastState, begins: Checkpoint) -> Gap:
    """The gap between the last known state and a tape that does not continue it."""
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
