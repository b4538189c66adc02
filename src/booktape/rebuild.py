"""Every tape recorded once more: the same books at another N, or what was lost beside the tapes.

Rows, gaps, checks and notes follow from the tape alone. So the result is the archive that a recorder
with that `every` would have left, tapes included, and `verify` proves it like any other. A segment
stands alone: each is rebuilt by itself, on a core of its own if there are several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from booktape import tuning
from booktape.core.tape_records import KILLED, SegmentStart, TapeRecord
from booktape.errors import DamagedTape, NotRecorded, UsageError
from booktape.process_pool import process_pool
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.tape_query import chosen_tapes, read_records
from booktape.store.catalog import sealed_tapes, unsealed_segments
from booktape.store.clearing import clear_segment, remove_empty_folder
from booktape.store.durable_files import disk_errors_named
from booktape.store.layout import TABLE, Layout, Segment
from booktape.store.lock import lock_directory
from booktape.store.patience import patiently
from booktape.store.recovery import record_again
from booktape.store.session import RecordingSession
from booktape.store.tape_reader import errors_as_damage, first_line, read_tape


class RebuildLayout(Layout):
    """An archive while it is rebuilt. Half a segment of ours is no recording that was killed.

    So it stands where no recorder, and no reader, looks for one.
    """

    @property
    def unsealed(self) -> Path:
        """Everything that is not whole yet."""
        return self.root / "rebuilding"


@dataclass(frozen=True, slots=True)
class RebuildRequest:
    """What is wanted: of which archive, where, and with a row after how many updates.

    No `symbols`: all of them. Whole segments are rebuilt: those that reach into the stretch of time.
    """

    source: ArchiveFiles
    out: Path
    every: int
    symbols: frozenset[str] | None = None
    from_us: int | None = None
    to_us: int | None = None

    @property
    def layout(self) -> RebuildLayout:
        """Where everything goes."""
        return RebuildLayout(self.out)

    def read(self, tape: ArchiveFile) -> Iterator[TapeRecord]:
        """The records of a tape as they will stand on the new one."""
        return read_records(self.source, tape, self.symbols, every=self.every)


@dataclass(frozen=True, slots=True)
class RebuildOutcome:
    """What became of one segment. `damage` says why it could not be rebuilt."""

    segment: str
    was_there: bool = False
    damage: str | None = None


def rebuild(order: RebuildRequest, jobs: int = 1) -> Iterator[RebuildOutcome]:
    """Rebuild segment by segment, each yielded in its turn.

    What an earlier run has sealed stays; what it left half done is done again. Raises NotRecorded where
    there is nothing to rebuild, UsageError where `out` holds anything else, DirectoryInUse, WriteFailed.
    """
    tapes = _chosen(order)
    layout = order.layout
    with lock_directory(layout.lock, folder=True):
        _check(order)
        _clear(layout)
        there = set(sealed_tapes(layout))
        for tape in tapes:
            if tape.segment in there:
                yield RebuildOutcome(tape.segment.name, was_there=True)
        yield from _all(order, [tape for tape in tapes if tape.segment not in there], jobs)
        _clear(layout)


def _chosen(order: RebuildRequest) -> list[ArchiveFile]:
    """The sealed tapes to read, oldest first."""
    root = order.source.root
    if order.out.resolve() == Path(root).resolve():
        raise UsageError(f"{order.out} is the archive itself. Choose another --out.")
    tapes = order.source.tapes()
    if not tapes:
        raise NotRecorded(f"{root} holds no sealed tape to rebuild anything from.")
    chosen = chosen_tapes(order.source, tapes, order.from_us, order.to_us)
    if not chosen:
        raise NotRecorded(f"{root} holds no segment between --from and --to.")
    if order.symbols:
        for symbol in sorted(order.symbols - _held(order.source, chosen)):
            raise NotRecorded(f"{root} holds nothing of {symbol}. `booktape info` says what.")
    return chosen


def _held(source: ArchiveFiles, tapes: Sequence[ArchiveFile]) -> set[str]:
    """The symbols there are rows of, and, where those are lost, those the tapes begin with."""
    starts = (_start(read_records(source, tape, None)) for tape in tapes)
    return {*source.symbols(), *(symbol for start in starts if start for symbol in start.symbols)}


def _start(found: Iterator[TapeRecord]) -> SegmentStart | None:
    """The first line of a tape; None where it cannot be read, or is none."""
    try:
        return first_line(found, "it")
    except DamagedTape:
        return None


def _check(order: RebuildRequest) -> None:
    """Raises UsageError where `out` holds anything that an order like this one would not have made."""
    layout, tapes = order.layout, {tape.segment: tape for tape in order.source.tapes()}
    begun = {segment: layout.writing_tape(segment) for segment in unsealed_segments(layout)}
    begun |= {segment: layout.tape(segment) for segment in sealed_tapes(layout)}
    strange = [segment for segment in begun if segment not in tapes]
    strange += [segment for segment in _of_rows(layout) if segment not in begun]
    if strange or unsealed_segments(Layout(order.out)):
        raise UsageError(
            f"{order.out} holds recordings that are not rebuilt from {order.source.root}. "
            "Choose another --out."
        )
    for segment, path in begun.items():
        wanted = _start(order.read(tapes[segment]))
        # What is half done counts: some of its files may have their final names.
        if wanted and path.exists() and _start(read_tape(path, torn=True)) != wanted:
            raise UsageError(
                f"{order.out} holds {segment.name} of other symbols, or at another N. "
                "Choose another --out."
            )


def _of_rows(layout: Layout) -> Iterator[Segment]:
    """Every segment of which there are rows: also those whose tape was thrown away."""
    files = layout.snapshots.glob(f"*/*/*{TABLE}")
    found = (Segment.parse(path.name, TABLE) for path in files)
    return (segment for segment in found if segment)


def _clear(layout: RebuildLayout) -> None:
    """Remove what is half done, and nothing else that somebody put there."""

    def clear() -> None:
        with disk_errors_named(layout.unsealed):
            for segment in unsealed_segments(layout):
                clear_segment(layout, segment)
            remove_empty_folder(layout.unsealed)

    patiently(clear)


def _all(
    order: RebuildRequest, tapes: Sequence[ArchiveFile], jobs: int
) -> Iterator[RebuildOutcome]:
    """One after the other, or some at the same time; in the order of the segments."""
    if jobs == 1 or len(tapes) < 2:  # noqa: PLR2004 - one segment is one job
        yield from (rebuild_segment(order, tape) for tape in tapes)
        return
    tasks = [(order, tape) for tape in tapes]
    with process_pool(jobs, rebuild_segment, tasks, tuning.tune_interpreter) as futures:
        yield from (future.result() for future in futures)


def rebuild_segment(order: RebuildRequest, tape: ArchiveFile) -> RebuildOutcome:
    """Record one tape once more, and seal what follows. Of a damaged one nothing is."""
    try:
        found = order.read(tape)
        start = first_line(found, tape.path)
        with ThreadPoolExecutor(1, "booktape-store") as worker:
            with errors_as_damage(tape.path):
                recording = RecordingSession(order.layout, tape.segment, worker, start)
            # A tape that does not say how it ended is damaged, so the reason is never asked for.
            record_again(recording, found, KILLED, tape.path)
    except DamagedTape as error:
        return RebuildOutcome(tape.segment.name, damage=str(error))
    return RebuildOutcome(tape.segment.name)
