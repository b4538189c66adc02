"""Records every tape again, to get the same books at another N, or to replace files that were lost.

Rows, gaps, checks and notes follow from the tape alone. So the result is the archive that a recorder with
that `every` would have written, including tapes, and `verify` checks it like any other.

Segments do not depend on each other: any number of them may be rebuilt at the same time, by processes, by the
machines of a cluster, or by several runs that share them (`Shard`). Each attempt at a segment writes into a separate
folder, and gives its files their final names when they are whole. Two attempts at one segment have the same bytes, so
it does not matter which of them is first, nor whether an abandoned worker continues.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from booktape.core.gap_reasons import KILLED
from booktape.core.tape_records import SegmentStart, TapeRecord
from booktape.errors import DamagedTape, FolderNotShared, NotRecorded, UsageError
from booktape.processes.task_map import WHOLE, Shard, Workers, map_tasks
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.removed import lost_tapes, removed_tapes, report_removed
from booktape.reader.tape_query import chosen_tapes, read_records
from booktape.store.catalog import sealed_tapes, unsealed_segments
from booktape.store.clearing import clear_segment, remove_empty_folder
from booktape.store.durable_files import disk_errors_named
from booktape.store.layout import TABLE, Layout, Segment
from booktape.store.lock import lock_directory
from booktape.store.patience import retry_while_full
from booktape.store.recovery import record_again
from booktape.store.session import RecordingSession
from booktape.store.tape_reader import errors_as_damage, first_line, read_tape
from booktape.store.target import check_not_source

_ATTEMPT_NAME: Final = "attempt-"
_ATTEMPT: Final = re.compile(rf"{_ATTEMPT_NAME}[0-9a-f]{{16}}\Z")


@dataclass(frozen=True, slots=True)
class RebuildLayout(Layout):
    """The layout of an archive while it is rebuilt.

    Unsealed segments are in another folder than a recorder's, so that no recorder recovers them and no
    reader reads them. `attempt` names the folder of one attempt at one segment.
    """

    attempt: str = ""

    @property
    def unsealed(self) -> Path:
        """Everything that is not sealed yet."""
        return self.root / "rebuilding" / self.attempt


@dataclass(frozen=True, slots=True)
class RebuildRequest:
    """What to rebuild: from which archive, into which folder, with a row after `every` updates.

    `symbols` None means all. Complete segments are rebuilt: those with records between the two times.
    """

    source: ArchiveFiles
    # Absolute: a worker has another current folder.
    out: Path
    every: int
    symbols: frozenset[str] | None = None
    from_us: int | None = None
    to_us: int | None = None

    @property
    def layout(self) -> RebuildLayout:
        """The paths of the new archive."""
        return RebuildLayout(self.out)

    def read(self, tape: ArchiveFile) -> Iterator[TapeRecord]:
        """The records of a tape as they will be on the new one."""
        return read_records(self.source, tape, self.symbols, every=self.every)


@dataclass(frozen=True, slots=True)
class RebuildOutcome:
    """The result for one segment. `damage` is the reason if it could not be rebuilt."""

    segment: str
    was_there: bool = False
    damage: str | None = None


def rebuild(
    request: RebuildRequest,
    workers: Workers = 1,
    shard: Shard = WHOLE,
    done: Callable[[RebuildOutcome], None] = lambda _: None,
) -> list[RebuildOutcome]:
    """Rebuild every segment of the shard that is not there yet. Returns the outcomes in the order of recording.

    Segments whose tape is lost come last; each has the loss as its damage.
    `done` is called with each as soon as it is known. Segments that an earlier run sealed stay; unsealed ones are
    rebuilt again. Several shards may be rebuilt at the same time. Without a shard nothing else may write into
    `out`, and half-finished segments of killed runs are removed. Raises NotRecorded if there is nothing to rebuild,
    UsageError if `out` has anything else, DirectoryInUse, WriteFailed, WorkerFailed, FolderNotShared, BucketError.
    """
    tapes = shard.part(tapes_to_rebuild(request))
    lost = shard.part(_lost(request))
    segments = [*(tape.segment for tape in tapes), *lost]
    layout = request.layout
    with lock_directory(layout.lock, shared=shard.count > 1, folder=shard.count == 1):
        _check_out(request)
        if shard.count == 1:
            _clear_unsealed(layout)
        there = set(sealed_tapes(layout))
        outcomes: dict[str, RebuildOutcome] = {}

        def finished(name: str, outcome: RebuildOutcome) -> None:
            outcomes[name] = outcome
            done(outcome)

        for segment in segments:
            if segment in there:
                finished(segment.name, RebuildOutcome(segment.name, was_there=True))
            elif segment in lost:
                path = request.source.layout.tape(segment)
                why = f"{path} is lost: there is no such file, and no receipt says that it was removed."
                finished(segment.name, RebuildOutcome(segment.name, damage=why))
        tasks = {t.segment.name: (request, t) for t in tapes if t.segment not in there}
        map_tasks(rebuild_segment, tasks, workers, finished)
        if shard.count == 1:
            _clear_unsealed(layout)
    return [outcomes[segment.name] for segment in segments]


def _lost(request: RebuildRequest) -> list[Segment]:
    return lost_tapes(request.source, request.from_us, request.to_us)


def tapes_to_rebuild(request: RebuildRequest) -> list[ArchiveFile]:
    """The sealed tapes to read, in the order of recording; none if all are lost. Raises NotRecorded, UsageError."""
    root = request.source.name
    check_not_source(root, request.out)
    tapes = request.source.tapes()
    if not tapes and not lost_tapes(request.source):
        raise NotRecorded(f"{root} has no sealed tape to rebuild from.")
    report_removed(request.source, request.from_us, request.to_us)
    chosen = chosen_tapes(request.source, tapes, request.from_us, request.to_us)
    if not chosen and not _lost(request):
        raise NotRecorded(f"{root} has no segment between --from and --to.")
    if request.symbols:
        # Those that have rows and, in case the rows are lost, those in the tapes' start records.
        starts = (_start(read_records(request.source, tape, None)) for tape in chosen)
        known = set(request.source.symbols()).union(*(start.symbols for start in starts if start))
        for symbol in sorted(request.symbols - known):
            raise NotRecorded(
                f"{root} has no data for {symbol}. `booktape info` lists its symbols."
            )
    return chosen


def _start(records: Iterator[TapeRecord]) -> SegmentStart | None:
    """The start record of a tape. None if it cannot be read."""
    try:
        return first_line(records, "it")
    except DamagedTape:
        return None


def _check_out(request: RebuildRequest) -> None:
    """Raises UsageError if `out` has anything that a request like this one would not have made.

    Known weakness: where the tape is not in the source any more, symbols that `out` lacks are not noticed.
    """
    layout, tapes = request.layout, {tape.segment: tape for tape in request.source.tapes()}
    without_tape = {*lost_tapes(request.source), *removed_tapes(request.source)}
    # Listed in the order in which other shards work: rows appear, the tape is sealed, the attempt is removed.
    rows = [Segment.parse(path.name, TABLE) for path in layout.snapshots.glob(f"*/*/*{TABLE}")]
    begun = [
        (segment, attempt.writing_tape(segment))
        for attempt in _attempts(layout)
        for segment in unsealed_segments(attempt)
    ]
    begun += [(segment, layout.tape(segment)) for segment in sealed_tapes(layout)]
    known = {segment for segment, _ in begun}
    foreign = [segment for segment in known - without_tape if segment not in tapes]
    # Also rows whose tape was removed.
    foreign += [segment for segment in rows if segment and segment not in known]
    if foreign or unsealed_segments(Layout(request.out)):
        raise UsageError(
            f"{request.out} holds recordings that are not rebuilt from {request.source.name}. "
            "Choose another --out."
        )
    for segment, path in begun:
        # Unsealed segments are checked too: some of their files may have their final names.
        if path.exists() and not _is_of(
            request, tapes.get(segment), _start(read_tape(path, torn=True))
        ):
            raise UsageError(
                f"{request.out} holds {segment.name} of other symbols, or at another N. "
                "Choose another --out."
            )


def _is_of(request: RebuildRequest, tape: ArchiveFile | None, start: SegmentStart | None) -> bool:
    """Whether a segment of `out` that begins like this is one that the request would make of the tape."""
    if tape:
        wanted = _start(request.read(tape))
        return wanted is None or start == wanted
    others = set(start.symbols) - (request.symbols or set(start.symbols)) if start else set()
    return start is None or (start.every == request.every and not others)


def _attempts(layout: RebuildLayout) -> list[RebuildLayout]:
    """The layout of each attempt that is running or was killed, and that of older versions, which had one folder."""
    folder = layout.unsealed
    if folder.is_symlink() or not folder.is_dir():
        return []
    names = sorted(entry.name for entry in folder.iterdir() if not entry.is_symlink())
    return [layout, *(RebuildLayout(layout.root, name) for name in names if _ATTEMPT.match(name))]


def _clear_unsealed(layout: RebuildLayout) -> None:
    """Remove unsealed segments. Files of a user stay."""

    @disk_errors_named(layout.unsealed)
    def clear() -> None:
        for attempt in reversed(_attempts(layout)):
            for segment in unsealed_segments(attempt):
                clear_segment(attempt, segment)
            remove_empty_folder(attempt.unsealed)

    retry_while_full(clear)


def rebuild_segment(request: RebuildRequest, tape: ArchiveFile) -> RebuildOutcome:
    """Record one tape again and seal the segment. Nothing is sealed if the tape is damaged.

    Raises FolderNotShared on a machine that does not have the same folders.
    """
    request.source.check_seen(tape)
    if not request.layout.lock.exists():  # the run has locked it, on the machine where it began
        raise FolderNotShared(socket.gethostname(), str(request.out))
    if request.layout.tape(tape.segment).exists():
        # Another attempt was faster.
        return RebuildOutcome(tape.segment.name)
    layout = RebuildLayout(request.out, f"{_ATTEMPT_NAME}{secrets.token_hex(8)}")
    damage = None
    try:
        records = request.read(tape)
        start = first_line(records, tape.path)
        with ThreadPoolExecutor(1, "booktape-store") as worker:
            with errors_as_damage(tape.path):
                session = RecordingSession(layout, tape.segment, worker, start)
            # A tape without an end record raises DamagedTape, so KILLED is never used.
            record_again(session, records, KILLED, tape.path)
    except DamagedTape as error:
        damage = str(error)

    @disk_errors_named(layout.unsealed)
    def clear() -> None:
        clear_segment(layout, tape.segment)
        remove_empty_folder(layout.unsealed)

    retry_while_full(clear)
    return RebuildOutcome(tape.segment.name, damage=damage)
