"""After a `kill -9`: what was left unsealed is recorded once more, from its tape.

The same function over the same records gives the same rows, so the result is what the recorder
would have written, minus at most the last moments that had not reached the tape.

Known weakness: it takes as long as reading the tape does, and nothing is recorded meanwhile. A
recording could begin at once, if its first epochs did not depend on how the torn tape ends.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from booktape.core.tape_records import KILLED, ROTATED, SegmentEnd, SegmentStart, TapeRecord
from booktape.descriptors import refuse_used_up
from booktape.errors import DamagedTape, StoreError
from booktape.store.catalog import lineage_of, unsealed_segments
from booktape.store.clearing import (
    clear_segment,
    foreign_entries,
    is_regular,
    remove_unsealed,
    set_aside,
)
from booktape.store.durable_files import disk_errors_named
from booktape.store.layout import Layout, Segment
from booktape.store.patience import Stopped, never, patiently
from booktape.store.segment_writer import SegmentWriter
from booktape.store.session import RecordingSession
from booktape.store.tape_reader import beginning, errors_as_damage, read_tape

STOP_CHECK_RECORDS: Final = 100
"""How many records are recovered between two looks at `should_stop`."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recovered:
    """A segment that a killed recorder had left unsealed, and that is sealed now."""

    segment: str
    records: int


def recover(
    layout: Layout, worker: Executor, should_stop: Callable[[], bool] = never
) -> list[Recovered]:
    """Seal every segment that is not sealed, oldest first. Returns those that were recovered.

    Nothing that is found is trusted. No link is followed, and no tape is removed before another one, read
    to its end, holds all that it holds. What was not made by a recorder, and a tape that no recorder wrote,
    is set aside, so that it does not disturb later starts. Raises Stopped when `should_stop` is true:
    like a recovery that is killed, it begins anew at the next start.
    """
    recovered: list[Recovered] = []
    unsealed = unsealed_segments(layout)
    for segment in unsealed:
        with disk_errors_named(layout.unsealed_of(segment)):
            foreign = foreign_entries(layout, segment)
        for path in foreign:
            _move_aside(layout, path, "no recorder made it", should_stop)
    found = {segment: _found_tape(layout, segment) for segment in unsealed}
    begun = [beginning(segment, tape.start) for segment, tape in found.items() if tape]
    lineage = lineage_of(layout, begun)
    for segment, tape in found.items():
        if _is_sealed(layout, segment, tape):
            patiently(partial(_clear, layout, segment), should_stop)
        elif tape:
            # A segment that has a successor had been left in good order.
            reason = ROTATED if lineage.after[segment] else KILLED
            log.warning("recovering what a killed recorder left", segment=segment.name)
            try:
                records = _replay(layout, segment, tape, reason, worker, should_stop=should_stop)
            except DamagedTape as error:
                worker.submit(int).result()  # what it still writes is written there
                _move_aside(layout, layout.unsealed_of(segment), str(error), should_stop)
                continue
            log.warning("recovered", segment=segment.name, records=records)
            recovered.append(Recovered(segment.name, records))
        elif not _may_hold_anything(layout, segment):
            patiently(partial(_clear, layout, segment), should_stop)
        # Else its very beginning was damaged, which no kill does: it is left for a person.
    return recovered


def _move_aside(layout: Layout, path: Path, why: str, should_stop: Callable[[], bool]) -> None:
    """Move it out of the way of this start and of all later ones. The log says where it is now."""

    def move() -> None:
        with disk_errors_named(layout.set_aside):
            moved = set_aside(layout, path)
        log.error("set aside, not recovered", file=str(path), to=str(moved), why=why)

    patiently(move, should_stop)


class _Tape(NamedTuple):
    """The tape to recover a segment from. `other` is one that it does not hold all of."""

    path: Path
    start: SegmentStart
    other: Path | None


def _found_tape(layout: Layout, segment: Segment) -> _Tape | None:
    """The tape of an unsealed segment; None before its first lines were complete.

    Of two it is the one that holds all of the other: a recovery that is killed leaves a part of the tape
    that it was made from.
    """
    torn, written = layout.torn_tape(segment), layout.writing_tape(segment)
    with _named(layout.unsealed_of(segment)):
        starts = {path: start for path in (torn, written) if (start := _first_line(path))}
        if not starts:
            return None
        path, other = next(iter(starts)), written
        if torn in starts and written in starts:
            if _is_part(read_tape(written, torn=True), read_tape(torn, torn=True)):
                return _Tape(torn, starts[torn], None)
            if _is_part(read_tape(torn, torn=True), read_tape(written, torn=True)):
                return _Tape(written, starts[written], None)
        elif path == written:
            other = torn
        keeps = is_regular(other) and other.stat().st_size > 0
    return _Tape(path, starts[path], other if keeps else None)


def _first_line(path: Path) -> SegmentStart | None:
    """How an unsealed tape begins; None where it does not begin as a tape does."""
    if not is_regular(path):
        return None
    first = next(read_tape(path, torn=True), None)
    return first if isinstance(first, SegmentStart) else None


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"Cannot read {error.filename or folder}: {error.strerror}. It holds what a killed recorder "
            "left. Make it readable, then start again."
        ) from error


def _is_part(part: Iterable[TapeRecord], whole: Iterator[TapeRecord]) -> bool:
    """Whether one tape begins with all that the other one says before its end, which is said anew."""
    records = takewhile(lambda record: not isinstance(record, SegmentEnd), part)
    return all(next(whole, None) == record for record in records)


def _is_sealed(layout: Layout, segment: Segment, tape: _Tape | None) -> bool:
    """Whether a sealed tape, whole to its end, holds all that the unsealed one does."""
    sealed = layout.tape(segment)
    if not is_regular(sealed) or (tape is not None and tape.other):
        return False
    try:
        whole = read_tape(sealed)
        if not _is_part(read_tape(tape.path, torn=True) if tape else (), whole):
            return False
        deque(whole, maxlen=0)  # to its end
    except (DamagedTape, OSError) as error:
        refuse_used_up(error)
        return False
    return True


def _may_hold_anything(layout: Layout, segment: Segment) -> bool:
    """Whether something unsealed may be the only copy of what it holds."""
    tapes = layout.torn_tape(segment), layout.writing_tape(segment)
    return os.path.lexists(layout.tape(segment)) or any(
        is_regular(path) and path.stat().st_size for path in tapes
    )


def _clear(layout: Layout, segment: Segment) -> None:
    with disk_errors_named(layout.unsealed_of(segment)):
        clear_segment(layout, segment)


def _isolate(layout: Layout, segment: Segment, tape: _Tape) -> None:
    """Leave the tape to recover from alone in its folder, as the torn one.

    It is moved first: should recovery be killed too, the next one finds it again.
    """
    written, torn = layout.writing_tape(segment), layout.torn_tape(segment)
    with disk_errors_named(torn):
        if tape.path == written and is_regular(written):
            remove_unsealed(torn)
            written.rename(torn)
        clear_segment(layout, segment, keep=torn)


def _replay(  # noqa: PLR0913 each is one thing
    layout: Layout,
    segment: Segment,
    tape: _Tape,
    reason: str,
    worker: Executor,
    *,
    should_stop: Callable[[], bool],
) -> int:
    """Record the torn tape once more, and seal. Returns how many records it held."""
    if tape.other:
        _move_aside(layout, tape.other, "another tape of its segment is recovered", should_stop)
    patiently(partial(_isolate, layout, segment, tape), should_stop)
    torn = layout.torn_tape(segment)
    records = read_tape(torn, torn=True)
    next(records)
    with errors_as_damage(torn):
        recording = RecordingSession(layout, segment, worker, tape.start)
    return 1 + record_again(recording, records, reason, torn, should_stop)


def record_again(
    recording: RecordingSession,
    records: Iterator[TapeRecord],
    reason: str,
    tape: object,
    should_stop: Callable[[], bool] = never,
) -> int:
    """Handle every record of a tape but its first, and seal. Returns how many they were.

    It ends as the tape does, or for this `reason` where the tape has no end. Raises Stopped with everything
    unsealed, and DamagedTape, with the tape's name, where no recorder wrote it.
    """
    with errors_as_damage(tape):
        count = _handle_all(recording, records, reason, should_stop)
        patiently(recording.writer.flush, should_stop)
        patiently(lambda: recording.writer.seal().result(), should_stop)
    return count


def _handle_all(
    recording: RecordingSession,
    records: Iterator[TapeRecord],
    reason: str,
    should_stop: Callable[[], bool],
) -> int:
    count = 0
    for record in records:
        if isinstance(record, SegmentEnd):
            reason, recording.last_ns = record.reason, record.received_ns
            # The checkpoints that follow are made anew; but only the very end of a tape has a checksum, which
            # proves its last lines. So they are read all the same.
            deque(records, maxlen=0)
            break
        # The requests that it returns were answered on this tape, or never.
        recording.handle(record)
        # Also after a record without a row: its line waits to be written.
        if recording.writer.wants_flush:
            _flush(recording.writer, should_stop)
        count += 1
        if count % STOP_CHECK_RECORDS == 0 and should_stop():
            raise Stopped
    recording.end(reason)
    return count


def _flush(writer: SegmentWriter, should_stop: Callable[[], bool]) -> None:
    """Bring what is waiting to the disk, and wait for the worker when it is behind."""
    patiently(writer.flush, should_stop)
    if writer.busy:
        writer.busy.exception()  # waits for it; the next flush raises what it met
