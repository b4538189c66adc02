"""Recovery: what a killed recorder left unsealed is recorded once more, from its tape.

**Why it works.** Rows, gaps, checks and notes follow from the records of a tape by a pure function
(reconstruct.py), so the tape is enough. Recovery gives its records to the same `RecordingSession` that the
recorder used, and the result is what the recorder would have written.

**What a killed recorder leaves.** A folder `unsealed/<segment>/` for each segment that was not sealed: the one
that it was writing, and earlier ones whose sealing had not finished. Such a folder may contain:

- `starting.jsonl.zst`, a tape whose opening (the start record, a checkpoint of every book) may be
  incomplete. It is removed: as long as it has this name, the tape before it has everything.
- `tape.jsonl.zst`, a tape with a complete opening. It can be read up to its last flush.
- `torn.jsonl.zst`, such a tape while it is being recovered. Then `tape.jsonl.zst` is what the recovery has written.
- Files of rows and of small tables. They are never ahead of the tape, and they are made again.

**The order of writing** makes this possible.

1. The tape is flushed, then the row groups that follow from its records are written. Nothing is synced.
2. When a segment rotates, the old tape is flushed, then the new one is renamed from `starting` to `tape`, and
   only then is the end record of the old one written. So one of the two always has the latest state.
3. When a segment is sealed, every file is synced and its checksum compared with what was written. Then
   the files of rows and tables get their final names, then the manifest is written, then the tape
   gets its final name, and finally the folder is removed.

So a segment with a sealed tape is complete. Until its tape is sealed, any other file may be missing, and all
of them can be made again; a file that has already been published has the same bytes.

**What is promised.** After a `kill -9` or a crash of the process, everything is kept that the tape had
at its last flush: at most half a second and the flush itself are lost. The archive is as if the recorder had ended
there, and the time after it is a gap with the reason `killed`. After a power cut sealed files are intact; an unsealed
tape may have lost more than that, because a tape is synced only when it is sealed. Recovery itself may be
killed at any moment; it begins again at the next start.

**What is trusted.** Nothing that is found. No link is followed. A tape is removed only when another one, read
to its end, has all its records. A tape that is damaged in the middle (a whole line that cannot be decoded, or bytes
that cannot be decompressed) is recovered up to the damage, and a copy of the whole tape is kept in `set-aside/`.
Files that no recorder made, a tape whose records cannot be applied, and a tape that disagrees with the recovered one
are moved to `set-aside/`, and their new path is logged, so they block no later start. A tape whose very first record
cannot be read stays where it is, for a person to look at: no kill leaves such a tape.

Known weakness: recovery takes as long as reading the tape does, and nothing is recorded in the meantime
(docs/decisions/0022-sealing-comes-first.md says why).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import permutations, takewhile
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import structlog

from booktape.core.gap_reasons import KILLED
from booktape.core.tape_records import ROTATED, SegmentEnd, SegmentStart, TapeRecord
from booktape.errors import DamagedTape, StoreError
from booktape.processes.descriptors import refuse_used_up
from booktape.store.catalog import lineage_of, unsealed_segments
from booktape.store.clearing import (
    clear_segment,
    foreign_entries,
    is_regular,
    keep_copy,
    remove_unsealed,
    set_aside,
)
from booktape.store.durable_files import disk_errors_named
from booktape.store.layout import Layout, Segment
from booktape.store.patience import Stopped, never, retry_while_full
from booktape.store.segment_writer import SegmentWriter
from booktape.store.session import RecordingSession
from booktape.store.tape_reader import beginning, errors_as_damage, read_tape, read_to_end

STOP_CHECK_RECORDS: Final = 100
"""How many records are recovered between two calls of `should_stop`."""

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recovered:
    """A segment that a killed recorder left unsealed and that is now sealed."""

    segment: str
    records: int


def recover(
    layout: Layout, worker: Executor, should_stop: Callable[[], bool] = never
) -> list[Recovered]:
    """Seal every unsealed segment, oldest first. Returns those that were recovered.

    Raises Stopped when `should_stop` is true. Like a killed recovery, it then begins again at the next
    start.
    """
    return _Recovery(layout, worker, should_stop).run()


class _Recovery:
    """One recovery of an archive."""

    def __init__(self, layout: Layout, worker: Executor, should_stop: Callable[[], bool]) -> None:
        self._layout = layout
        self._worker = worker
        self._should_stop = should_stop

    def run(self) -> list[Recovered]:
        segments = unsealed_segments(self._layout)
        for segment in segments:
            with disk_errors_named(self._layout.unsealed_of(segment)):
                foreign = foreign_entries(self._layout, segment)
            for path in foreign:
                self._set_aside(path, "no recorder made it")
        tapes = {segment: _find_tape(self._layout, segment) for segment in segments}
        begun = [beginning(segment, tape.start) for segment, tape in tapes.items() if tape]
        lineage = lineage_of(self._layout, begun)
        recovered: list[Recovered] = []
        for segment, tape in tapes.items():
            has_nothing = tape is None and not _may_hold_anything(self._layout, segment)
            if has_nothing or _is_sealed(self._layout, segment, tape):
                folder = self._layout.unsealed_of(segment)
                self._retry(folder, partial(clear_segment, self._layout, segment))
            elif tape:
                # A segment that another one continues ended by rotation.
                reason = ROTATED if lineage.after[segment] else KILLED
                recovered += self._recover_segment(segment, tape, reason)
            # Otherwise its first record is damaged, which no kill causes: it stays there for a person to look at.
        return recovered

    def _recover_segment(self, segment: Segment, tape: _Tape, reason: str) -> list[Recovered]:
        """Seal a segment from its tape. If the tape's records cannot be applied, set it aside."""
        log.warning("recovering what a killed recorder left", segment=segment.name)
        try:
            records = self._record_again(segment, tape, reason)
        except DamagedTape as error:
            self._worker.submit(int).result()  # wait until the worker has written what it was given
            self._set_aside(self._layout.unsealed_of(segment), str(error))
            return []
        log.warning("recovered", segment=segment.name, records=records)
        return [Recovered(segment.name, records)]

    def _record_again(self, segment: Segment, tape: _Tape, reason: str) -> int:
        if tape.other:
            self._set_aside(tape.other, "another tape of its segment is recovered")
        torn = self._layout.torn_tape(segment)
        self._retry(torn, partial(_isolate, self._layout, segment, tape))
        records = self._read_torn(torn)
        next(records)
        with errors_as_damage(torn):
            session = RecordingSession(self._layout, segment, self._worker, tape.start)
        return 1 + record_again(session, records, reason, torn, self._should_stop)

    def _read_torn(self, torn: Path) -> Iterator[TapeRecord]:
        """The tape's records. If they end at damage, a copy of the whole tape is kept.

        The tape itself is removed once its segment is sealed, together with whatever follows the damage.
        """
        damage: list[str] = []
        yield from read_tape(torn, torn=True, on_damage=damage.append)
        for why in damage:
            kept = self._retry(self._layout.set_aside, partial(keep_copy, self._layout, torn))
            log.error("recovered up to the damage, a copy is kept", file=str(kept), why=why)

    def _set_aside(self, path: Path, why: str) -> None:
        """Move something to `set-aside/`, so that it blocks no start, and log its new path."""
        moved = self._retry(self._layout.set_aside, partial(set_aside, self._layout, path))
        log.error("set aside, not recovered", file=str(path), to=str(moved), why=why)

    def _retry(self, where: Path, work: Callable[[], T]) -> T:
        """Do work that writes at `where`, repeating it while the disk is full."""
        return retry_while_full(disk_errors_named(where)(work), self._should_stop)


def keep_pace(writer: SegmentWriter, should_stop: Callable[[], bool] = never) -> None:
    """Hand the tape to the operating system when enough of it is waiting, and wait while rows pile up."""
    if writer.wants_flush:
        retry_while_full(writer.flush, should_stop)
        if backlog := writer.backlog:
            backlog.exception()  # waits; the next flush raises the error, if there is one


def record_again(
    session: RecordingSession,
    records: Iterator[TapeRecord],
    reason: str,
    tape: object,
    should_stop: Callable[[], bool] = never,
) -> int:
    """Record every record of a tape except its first, and seal. Returns their number.

    The new tape ends for the same reason as the old one, or for `reason` if that has no end record. Raises
    Stopped with everything unsealed, and DamagedTape, naming `tape`, if the records cannot be applied.
    """
    count = 0
    writer = session.writer
    with errors_as_damage(tape):
        for record in records:
            if isinstance(record, SegmentEnd):
                reason, session.last_ns = record.reason, record.received_ns
                # The checkpoints after it are made again. They are read only to reach the tape's last checksum.
                read_to_end(records)
                break
            # The snapshot requests that it returns were answered on this tape, or never.
            session.handle(record)
            # Needed even after a record without rows: its line is waiting to be written.
            keep_pace(writer, should_stop)
            count += 1
            if count % STOP_CHECK_RECORDS == 0 and should_stop():
                raise Stopped
        session.end(reason)
        retry_while_full(writer.flush, should_stop)
        retry_while_full(lambda: writer.seal().result(), should_stop)
    return count


class _Tape(NamedTuple):
    """The tape to recover a segment from. `other` is a second tape, with records that this one lacks."""

    path: Path
    start: SegmentStart
    other: Path | None


def _find_tape(layout: Layout, segment: Segment) -> _Tape | None:
    """The tape of an unsealed segment. None if no tape has a complete opening.

    If there are two, it is the one that has all records of the other: a killed recovery leaves the beginning of a
    copy of the tape that it was reading.
    """
    torn, written = layout.torn_tape(segment), layout.writing_tape(segment)
    with _read_errors_named(layout.unsealed_of(segment)):
        starts = {path: start for path in (torn, written) if (start := _read_start(path))}
        if not starts:
            return None
        for whole, part in permutations(starts, 2):
            if _is_part(read_tape(part, torn=True), read_tape(whole, torn=True)):
                return _Tape(whole, starts[whole], None)
        path = next(iter(starts))
        other = written if path == torn else torn
        has_other = is_regular(other) and other.stat().st_size > 0
    return _Tape(path, starts[path], other if has_other else None)


def _read_start(path: Path) -> SegmentStart | None:
    """The start record of an unsealed tape. None if there is none."""
    if not is_regular(path):
        return None
    first = next(read_tape(path, torn=True), None)
    return first if isinstance(first, SegmentStart) else None


@contextmanager
def _read_errors_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"Cannot read {error.filename or folder}: {error.strerror}. It has the data of a recorder that "
            "was killed. Make it readable, then start again."
        ) from error


def _is_part(part: Iterable[TapeRecord], whole: Iterator[TapeRecord]) -> bool:
    """Whether tape `whole` begins with all records of tape `part`, up to the end record of `part`."""
    records = takewhile(lambda record: not isinstance(record, SegmentEnd), part)
    return all(next(whole, None) == record for record in records)


def _is_sealed(layout: Layout, segment: Segment, tape: _Tape | None) -> bool:
    """Whether there is a sealed tape, complete to its end, with all records of the unsealed one."""
    sealed = layout.tape(segment)
    if not is_regular(sealed) or (tape is not None and tape.other):
        return False
    try:
        whole = read_tape(sealed)
        if not _is_part(read_tape(tape.path, torn=True) if tape else (), whole):
            return False
        read_to_end(whole)
    except (DamagedTape, OSError) as error:
        refuse_used_up(error)
        return False
    return True


def _may_hold_anything(layout: Layout, segment: Segment) -> bool:
    """Whether an unsealed segment may have data that exists nowhere else."""
    tapes = layout.torn_tape(segment), layout.writing_tape(segment)
    return os.path.lexists(layout.tape(segment)) or any(
        is_regular(path) and path.stat().st_size for path in tapes
    )


def _isolate(layout: Layout, segment: Segment, tape: _Tape) -> None:
    """Rename the tape to `torn`, and remove the other files in its folder.

    The rename comes first: if this recovery is killed too, the next one finds the tape under that name.
    """
    written, torn = layout.writing_tape(segment), layout.torn_tape(segment)
    if tape.path == written and is_regular(written):
        remove_unsealed(torn)
        written.rename(torn)
    clear_segment(layout, segment, keep=torn)
