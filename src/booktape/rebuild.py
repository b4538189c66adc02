"""Records every tape once more: for the same books at another N, or for files that were lost.

Rows, gaps, checks and notes follow from the tape alone. So the result is the archive that a recorder with
that `every` would have written, tapes included, and `verify` checks it like any other. Segments do not
depend on each other: several are rebuilt at the same time if there are several cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from booktape import tuning
from booktape.core.gap_reasons import KILLED
from booktape.core.tape_records import SegmentStart, TapeRecord
from booktape.errors import DamagedTape, NotRecorded, UsageError
from booktape.process_pool import process_pool
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
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


class RebuildLayout(Layout):
    """The layout of an archive while it is rebuilt.

    Unsealed segments are in another folder than a recorder's, so that no recorder recovers them and no
    reader reads them.
    """

    @property
    def unsealed(self) -> Path:
        """Everything that is not sealed yet."""
        return self.root / "rebuilding"


@dataclass(frozen=True, slots=True)
class RebuildRequest:
    """What to rebuild: from which archive, into which folder, with a row after `every` updates.

    `symbols` None means all. Complete segments are rebuilt: those with records between the two times.
    """

    source: ArchiveFiles
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


def rebuild(request: RebuildRequest, jobs: int = 1) -> Iterator[RebuildOutcome]:
    """Rebuild segment by segment, and yield each outcome.

    Segments that an earlier run sealed stay; unsealed ones are rebuilt again. Raises NotRecorded if there is
    nothing to rebuild, UsageError if `out` has anything else, DirectoryInUse, WriteFailed.
    """
    tapes = _chosen(request)
    layout = request.layout
    with lock_directory(layout.lock, folder=True):
        _check_out(request)
        _clear_unsealed(layout)
        there = set(sealed_tapes(layout))
        for tape in tapes:
            if tape.segment in there:
                yield RebuildOutcome(tape.segment.name, was_there=True)
        yield from _rebuild_all(
            request, [tape for tape in tapes if tape.segment not in there], jobs
        )
        _clear_unsealed(layout)


def _chosen(request: RebuildRequest) -> list[ArchiveFile]:
    """The sealed tapes to read, oldest first."""
    root = request.source.root
    if request.out.resolve() == Path(root).resolve():
        raise UsageError(f"{request.out} is the archive itself. Choose another --out.")
    tapes = request.source.tapes()
    if not tapes:
        raise NotRecorded(f"{root} has no sealed tape to rebuild from.")
    chosen = chosen_tapes(request.source, tapes, request.from_us, request.to_us)
    if not chosen:
        raise NotRecorded(f"{root} has no segment between --from and --to.")
    if request.symbols:
        for symbol in sorted(request.symbols - _symbols_in(request.source, chosen)):
            raise NotRecorded(
                f"{root} has no data for {symbol}. `booktape info` lists its symbols."
            )
    return chosen


def _symbols_in(source: ArchiveFiles, tapes: Sequence[ArchiveFile]) -> set[str]:
    """The symbols that have rows, and, if those are lost, the ones in the tapes' start records."""
    starts = (_start(read_records(source, tape, None)) for tape in tapes)
    return {*source.symbols(), *(symbol for start in starts if start for symbol in start.symbols)}


def _start(records: Iterator[TapeRecord]) -> SegmentStart | None:
    """The start record of a tape. None if it cannot be read."""
    try:
        return first_line(records, "it")
    except DamagedTape:
        return None


def _check_out(request: RebuildRequest) -> None:
    """Raises UsageError if `out` has anything that a request like this one would not have made."""
    layout, tapes = request.layout, {tape.segment: tape for tape in request.source.tapes()}
    begun = {segment: layout.writing_tape(segment) for segment in unsealed_segments(layout)}
    begun |= {segment: layout.tape(segment) for segment in sealed_tapes(layout)}
    foreign = [segment for segment in begun if segment not in tapes]
    foreign += [segment for segment in _segments_with_rows(layout) if segment not in begun]
    if foreign or unsealed_segments(Layout(request.out)):
        raise UsageError(
            f"{request.out} holds recordings that are not rebuilt from {request.source.root}. "
            "Choose another --out."
        )
    for segment, path in begun.items():
        wanted = _start(request.read(tapes[segment]))
        # Unsealed segments are checked too: some of their files may have their final names.
        if wanted and path.exists() and _start(read_tape(path, torn=True)) != wanted:
            raise UsageError(
                f"{request.out} holds {segment.name} of other symbols, or at another N. "
                "Choose another --out."
            )


def _segments_with_rows(layout: Layout) -> Iterator[Segment]:
    """Every segment that has rows, also if its tape was removed."""
    files = layout.snapshots.glob(f"*/*/*{TABLE}")
    records = (Segment.parse(path.name, TABLE) for path in files)
    return (segment for segment in records if segment)


def _clear_unsealed(layout: RebuildLayout) -> None:
    """Remove unsealed segments. Files that a user put there stay."""

    def clear() -> None:
        with disk_errors_named(layout.unsealed):
            for segment in unsealed_segments(layout):
                clear_segment(layout, segment)
            remove_empty_folder(layout.unsealed)

    retry_while_full(clear)


def _rebuild_all(
    request: RebuildRequest, tapes: Sequence[ArchiveFile], jobs: int
) -> Iterator[RebuildOutcome]:
    """One after the other, or several at the same time. Outcomes come in the request of the segments."""
    if jobs == 1 or len(tapes) < 2:  # noqa: PLR2004 - one segment is one job
        yield from (rebuild_segment(request, tape) for tape in tapes)
        return
    tasks = [(request, tape) for tape in tapes]
    with process_pool(jobs, rebuild_segment, tasks, tuning.tune_interpreter) as futures:
        yield from (future.result() for future in futures)


def rebuild_segment(request: RebuildRequest, tape: ArchiveFile) -> RebuildOutcome:
    """Record one tape once more and seal the segment. Nothing of a damaged tape is sealed."""
    try:
        records = request.read(tape)
        start = first_line(records, tape.path)
        with ThreadPoolExecutor(1, "booktape-store") as worker:
            with errors_as_damage(tape.path):
                recording = RecordingSession(request.layout, tape.segment, worker, start)
            # A tape without an end record raises DamagedTape, so KILLED is never used.
            record_again(recording, records, KILLED, tape.path)
    except DamagedTape as error:
        return RebuildOutcome(tape.segment.name, damage=str(error))
    return RebuildOutcome(tape.segment.name)
