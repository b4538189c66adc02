"""One segment on disk: its tape, its rows, its gaps; written together, sealed together.

Rows of one symbol are staged until a row group is full, then written by a worker thread: only inside
one group is a row compressed against those before it, and a reader pays for a whole group. Before any
group is handed over the tape is flushed, so rows on disk are never ahead of the tape on disk.

**No group is dropped.** All that is full stands in one queue, and leaves it when its bytes are written.
What brings anything to the disk (`flush`, `seal`) may be called again after a WriteFailed, and goes on
where it was: store/patience.py says how long.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from booktape.core.checks import Check
from booktape.core.events import BookRow, GapInterval, Note
from booktape.core.tape_records import SegmentEnd, TapeRecord
from booktape.errors import WriteFailed
from booktape.store.clearing import clear_segment, is_regular, set_aside
from booktape.store.durable_files import disk_errors_named, publish
from booktape.store.layout import Layout, Segment, can_be_stored
from booktape.store.manifest import seal_manifest
from booktape.store.parquet_file import ParquetFile, row_bytes, rows_file, table_file
from booktape.store.schema import TABLES, snapshot_batch
from booktape.store.tape_writer import TapeWriter
from booktape.store.unsealed_file import FileSeal

GROUP_ROWS: Final = 600
GROUP_BYTES: Final = 96 << 20
"""A row group ends at so many rows or so many decoded bytes, whichever comes first."""

STAGED_BYTES: Final = 256 << 20
"""Rows of all symbols that wait for their groups; beyond it the largest group ends early."""

BACKLOG_BYTES: Final = 256 << 20
"""Row groups that may wait for the worker before the recorder has to wait too."""

log = structlog.get_logger()


class Group:
    """The rows of one symbol that wait to become a row group."""

    def __init__(self) -> None:
        self.rows: list[BookRow] = []
        self.bytes = 0
        self.is_encoded = False

    def add(self, row: BookRow) -> bool:
        """Whether the group is full now."""
        self.rows.append(row)
        self.bytes += row_bytes(row)
        return len(self.rows) >= GROUP_ROWS or self.bytes >= GROUP_BYTES


class Job(NamedTuple):
    """Row groups in the hands of the worker."""

    done: Future[None]
    bytes: int


class Predecessor(NamedTuple):
    """The segment before, and the last line of its tape, which it does not have yet."""

    writer: SegmentWriter
    end: SegmentEnd


class SegmentWriter:
    """Writes a segment. Nothing is visible to readers before `seal` has run.

    To make it, to write and to add is memory's work alone; `flush` and `seal` are the disk's. Neither
    may run beside anything else of this object. Memory: at most STAGED_BYTES staged and, when the caller
    respects `busy`, BACKLOG_BYTES being written.
    """

    def __init__(
        self, layout: Layout, segment: Segment, worker: Executor, after: Predecessor | None = None
    ) -> None:
        self.segment = segment
        self.is_ended = False
        self._layout = layout
        self._worker = worker
        self._after = after
        self._tape = TapeWriter(layout.starting_tape(segment))
        self._is_opened = False
        self._groups: dict[str, Group] = {}
        self._rows: Counter[str] = Counter()
        self._staged_bytes = 0
        self._said: list[GapInterval | Check | Note] = []
        self._full: list[tuple[str, Group]] = []
        # Handed to the worker, which takes out what is written.
        self._queue: deque[tuple[str, Group]] = deque()
        self._jobs: deque[Job] = deque()
        self._files: dict[str, ParquetFile] = {}
        self._steps: deque[Callable[[], None]] | None = None
        self._seals: dict[Path, FileSeal] = {}

    def begin(self) -> None:
        """The first lines are complete: with the next flush the segment counts, whatever happens."""
        self._is_opened = True

    def write(self, frame: TapeRecord) -> None:
        """Put a frame on the tape."""
        self._tape.write(frame)

    def end(self, last: Iterable[TapeRecord]) -> None:
        """Put the last lines on the tape: from now on the segment can be sealed."""
        for frame in last:
            self._tape.write(frame)
        self.is_ended = True

    def add_row(self, row: BookRow) -> None:
        """Stage a row; a full group goes to the worker with the next flush.

        Raises ValueError for a symbol that no file can be named after: no recorder has one.
        """
        if row.symbol not in self._rows and not can_be_stored(row.symbol):
            raise ValueError(f"no file can be named after {row.symbol[:80]!r}")
        group = self._groups.setdefault(row.symbol, Group())
        full = group.add(row)
        self._rows[row.symbol] += 1
        self._staged_bytes += row_bytes(row)
        if full:
            self._close(row.symbol)
        elif self._staged_bytes >= STAGED_BYTES:
            self._close(max(self._groups, key=lambda symbol: self._groups[symbol].bytes))

    def add(self, said: GapInterval | Check | Note) -> None:
        """A row of one of the small tables; they are written when the segment is sealed.

        Known weakness: until then they are in memory only, and a recovery makes them again.
        """
        self._said.append(said)

    @property
    def wants_flush(self) -> bool:
        """Whether a flush should come at once: much waits for the tape, or a group is full."""
        return bool(self._full) or self._tape.wants_flush

    def flush(self) -> None:
        """Bring the tape to the disk, hand over full groups, and raise what the worker met.

        It blocks for as long as the disk does. What the worker could not write is tried again here,
        and waited for, so that a patient caller knows when it is written.
        """
        # Tape first: rows never reach the disk before the frames they follow from.
        self._flush_tape()
        full, self._full = self._full, []
        if full:
            self._queue.extend(full)
            job = self._worker.submit(self._write_groups, len(full))
            self._jobs.append(Job(job, sum(group.bytes for _, group in full)))
        failed = False
        while self._jobs and (failed or self._jobs[0].done.done()):
            failed = _failed(self._jobs[0]) or failed
            self._jobs.popleft()
        if self._queue and not self._jobs:
            self._worker.submit(self._write_groups, len(self._queue)).result()

    @property
    def busy(self) -> Future[None] | None:
        """What to wait for before more rows are made; None while the worker keeps up.

        Its result is the next flush's business.
        """
        waiting = [job for job in self._jobs if not job.done.done()]
        behind = sum(job.bytes for job in waiting) > BACKLOG_BYTES
        return waiting[0].done if behind else None

    def seal(self) -> Future[None]:
        """End the segment. When the result is there, all its files have their final names.

        After a WriteFailed it may be called again. Nothing has a final name before every row of every
        file is durable.
        """
        for symbol in list(self._groups):
            self._close(symbol)
        self._queue.extend(self._full)
        self._full = []
        return self._worker.submit(self._seal)

    def _close(self, symbol: str) -> None:
        group = self._groups.pop(symbol)
        self._staged_bytes -= group.bytes
        self._full.append((symbol, group))

    def _flush_tape(self) -> None:
        """Once the first lines are complete the tape takes the name under which it counts.

        It stands before the one before it says that it ended: whenever we are killed, one of the two
        knows how things stood.
        """
        counts = self._layout.writing_tape(self.segment)
        if self._is_opened and self._tape.path != counts:
            if self._after:
                # What the new tape's checkpoints contain, the old one must tell.
                self._after.writer._flush_tape()  # noqa: SLF001 another of our own
            self._tape.move(counts)
            if self._after:
                self._after.writer.end([self._after.end])
                self._after = None
        else:
            self._tape.flush()

    # ── in the worker thread ────────────────────────────────────────────────────────────────

    def _write_groups(self, count: int) -> None:
        """Write the first ones of the queue, in their order. What fails stays the first."""
        for _ in range(count):
            symbol, group = self._queue[0]
            if symbol not in self._files:
                path = self._layout.writing_rows(self.segment, symbol)
                self._files[symbol] = rows_file(path, group.rows[-1])
            file = self._files[symbol]
            if not group.is_encoded:
                file.append(snapshot_batch(group.rows))
                group.is_encoded = True
            file.write()
            self._queue.popleft()

    def _seal(self) -> None:
        self._flush_tape()
        while self._jobs:
            _failed(self._jobs[0])
            self._jobs.popleft()
        self._write_groups(len(self._queue))
        if self._steps is None:
            self._steps = deque(self._steps_to_seal())
        while self._steps:
            self._steps[0]()
            self._steps.popleft()

    def _steps_to_seal(self) -> Iterator[Callable[[], None]]:
        """All that is left to do, in order. Each can be done again after it failed."""
        layout, segment = self._layout, self.segment
        files = {
            layout.rows(segment, symbol): (self._files[symbol], rows)
            for symbol, rows in self._rows.items()
        }
        for name, table in TABLES.items():
            batch = table.batch(self._said)
            file = table_file(layout.writing_table(segment, name), batch)
            files[layout.table(segment, name)] = file, batch.num_rows
        for final, (file, rows) in files.items():
            yield partial(self._make_durable, final, partial(file.seal, rows))
        tape = layout.tape(segment)
        yield partial(self._make_durable, tape, self._tape.seal)
        for final, (file, _) in files.items():
            yield partial(self._publish, file.path, final)
        # The tape last: as long as it is unsealed, the next start does all of it again.
        yield partial(seal_manifest, layout, segment, self._seals)
        yield partial(self._publish, self._tape.path, tape)
        yield partial(_clear, layout, segment)
        # To end a thousand Parquet writers takes a while; here nobody waits for it.
        yield self._files.clear

    def _make_durable(self, final: Path, seal: Callable[[], FileSeal]) -> None:
        """Make a file complete and durable, under its unsealed name."""
        self._seals[final] = seal()

    def _publish(self, unsealed: Path, final: Path) -> None:
        """Give a file its final name.

        One that is there already was published before a crash: the same tape gives the same bytes. If it
        is another one, ours is not thrown away for it, nor it for ours: it is set aside.
        """
        with disk_errors_named(final):
            if unsealed.exists() and os.path.lexists(final) and not self._is_sealed_as(final):
                moved = set_aside(self._layout, final)
                log.warning("a file was in the way, and set aside", file=str(final), to=str(moved))
        publish(unsealed, final)

    def _is_sealed_as(self, final: Path) -> bool:
        """Whether size and checksum of what stands there are those of the file that it should be."""
        return is_regular(final) and FileSeal.of(final) == self._seals[final]


def _failed(job: Job) -> bool:
    """Whether what it should write has to be tried again. Raises what no second try would mend."""
    error = job.done.exception()
    if error is not None and not (isinstance(error, WriteFailed) and error.may_pass):
        raise error
    return error is not None


def _clear(layout: Layout, segment: Segment) -> None:
    with disk_errors_named(layout.unsealed_of(segment)):
        clear_segment(layout, segment)
