"""One segment on disk: its tape, its rows, its gaps; written together, sealed together.

Rows of one symbol are staged until a row group is full, then written by a worker thread: only inside
one group is a row compressed against those before it, and a reader pays for a whole group. Before any
group is handed over the tape is flushed, so rows on disk are never ahead of the tape on disk.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Final, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from booktape.core.events import BookRow, Gap, Note
from booktape.core.frames import Frame
from booktape.core.proving import Check
from booktape.store.layout import Layout, Segment
from booktape.store.manifest import seal_manifest
from booktape.store.schema import SCALARS, SNAPSHOTS, TABLES, snapshot_batch
from booktape.store.sealing import publish, sync_path, writing
from booktape.store.tape import TapeWriter

GROUP_ROWS: Final = 600
GROUP_BYTES: Final = 96 << 20
"""A row group ends at so many rows or so many decoded bytes, whichever comes first."""

STAGED_BYTES: Final = 256 << 20
"""Rows of all symbols that wait for their groups; beyond it the largest group ends early."""

BACKLOG_BYTES: Final = 256 << 20
"""Row groups that may wait for the worker before the recorder has to wait too."""

_PAGE_BYTES: Final = 32 << 20
"""Pages a few windows long, or the last snapshot would be out of sight."""

_DEEP_BYTES: Final = 64 << 10
"""From such rows on Brotli saves a seventh of the bytes or more, and is worth twice the time."""


class Group:
    """The rows of one symbol that wait to become a row group."""

    def __init__(self) -> None:
        self.rows: list[BookRow] = []
        self.bytes = 0

    def add(self, row: BookRow) -> bool:
        """Whether the group is full now."""
        self.rows.append(row)
        self.bytes += row_bytes(row)
        return len(self.rows) >= GROUP_ROWS or self.bytes >= GROUP_BYTES


def row_bytes(row: BookRow) -> int:
    """Decoded size of a row: its four lists."""
    return 2 * (row.bid_price.nbytes + row.ask_price.nbytes)


class Job(NamedTuple):
    """Row groups in the hands of the worker."""

    done: Future[None]
    bytes: int


class SegmentWriter:
    """Writes a segment. Nothing is visible to readers before `seal` has run.

    A failed write in the worker thread is raised by the next `flush`, or by `seal`. Memory: at
    most STAGED_BYTES staged and, when the caller respects `busy`, BACKLOG_BYTES being written.
    """

    def __init__(self, layout: Layout, segment: Segment, worker: Executor) -> None:
        self.segment = segment
        self._layout = layout
        self._worker = worker
        self._tape = TapeWriter(layout.starting_tape(segment))
        self._groups: dict[str, Group] = {}
        self._full: list[tuple[str, Group]] = []
        self._staged_bytes = 0
        self._parquet: dict[str, pq.ParquetWriter] = {}
        self._said: list[Gap | Check | Note] = []
        self._jobs: deque[Job] = deque()

    def begin(self) -> None:
        """The first lines are complete: from now on the segment counts, whatever happens."""
        self._tape.move(self._layout.writing_tape(self.segment))

    def write(self, frame: Frame) -> None:
        """Put a frame on the tape."""
        self._tape.write(frame)

    def add_row(self, row: BookRow) -> None:
        """Stage a row; a full group goes to the worker with the next flush."""
        group = self._groups.setdefault(row.symbol, Group())
        full = group.add(row)
        self._staged_bytes += row_bytes(row)
        if full:
            self._close(row.symbol)
        elif self._staged_bytes >= STAGED_BYTES:
            self._close(max(self._groups, key=lambda symbol: self._groups[symbol].bytes))

    def add(self, said: Gap | Check | Note) -> None:
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

        May be called again after a WriteFailed. It blocks for as long as the disk does; nothing
        else of this object may be used meanwhile.
        """
        self._hand_over()
        while self._jobs and self._jobs[0].done.done():
            self._jobs.popleft().done.result()

    @property
    def busy(self) -> Future[None] | None:
        """What to wait for before more rows are made; None while the worker keeps up."""
        waiting = [job for job in self._jobs if not job.done.done()]
        behind = sum(job.bytes for job in waiting) > BACKLOG_BYTES
        return waiting[0].done if behind else None

    def seal(self) -> Future[None]:
        """End the segment. When the result is there, all its files have their final names."""
        for symbol in list(self._groups):
            self._close(symbol)
        self._hand_over()
        return self._worker.submit(self._seal, [job.done for job in self._jobs])

    def abandon(self) -> None:
        """Give up: what is unsealed stays for the next start to recover."""
        self._tape.abandon()

    def _close(self, symbol: str) -> None:
        group = self._groups.pop(symbol)
        self._staged_bytes -= group.bytes
        self._full.append((symbol, group))

    def _hand_over(self) -> None:
        # Tape first: rows never reach the disk before the frames they follow from.
        self._tape.flush()
        full, self._full = self._full, []
        if full:
            job = self._worker.submit(self._write_groups, full)
            self._jobs.append(Job(job, sum(group.bytes for _, group in full)))

    # ── in the worker thread ────────────────────────────────────────────────────────────────

    def _write_groups(self, groups: Sequence[tuple[str, Group]]) -> None:
        for symbol, group in groups:
            path = self._layout.writing_rows(self.segment, symbol)
            with writing(path):
                if symbol not in self._parquet:
                    self._parquet[symbol] = parquet_writer(path, group.rows[-1])
                self._parquet[symbol].write_batch(snapshot_batch(group.rows))

    def _seal(self, jobs: Sequence[Future[None]]) -> None:
        try:
            self._finish(jobs)
            self._publish()
            # To end a thousand Parquet writers takes a while; here nobody waits for it.
            self._parquet.clear()
        finally:
            # It is closed already, unless something failed.
            self._tape.abandon()

    def _finish(self, jobs: Sequence[Future[None]]) -> None:
        """Make every file complete and durable, under its unsealed name."""
        for job in jobs:
            job.result()
        for symbol, writer in self._parquet.items():
            path = self._layout.writing_rows(self.segment, symbol)
            with writing(path):
                writer.close()
                sync_path(path)
        for name, table in TABLES.items():
            path = self._layout.writing_table(self.segment, name)
            _write_table(path, table.batch(self._said))
        self._tape.close()

    def _publish(self) -> None:
        """The tape last: as long as it is unsealed, the next start does all of it again."""
        layout, segment = self._layout, self.segment
        finals = {
            layout.rows(segment, symbol): layout.writing_rows(segment, symbol)
            for symbol in self._parquet
        }
        finals |= {
            layout.table(segment, name): layout.writing_table(segment, name) for name in TABLES
        }
        for final, unsealed in finals.items():
            publish(unsealed, final)
        tape, final_tape = layout.writing_tape(segment), layout.tape(segment)
        seal_manifest(layout, segment, {final: final for final in finals} | {final_tape: tape})
        publish(tape, final_tape)
        folder = layout.unsealed_of(segment)
        with writing(folder):
            shutil.rmtree(folder)


def packing(like: BookRow) -> tuple[Literal["brotli", "zstd"], int]:
    """Codec and level for rows like this one. Either looks back 4 MB: dozens of whole books."""
    return ("brotli", 7) if row_bytes(like) >= _DEEP_BYTES else ("zstd", 9)


class _ParquetFile(pq.ParquetWriter):
    """Thrown away unfinished, it stays as it is: the next start makes all of it again.

    pyarrow's own would try to end it even then, and on a full disk Python would show the traceback.
    """

    def __del__(self) -> None:
        pass


def parquet_writer(path: Path, like: BookRow) -> pq.ParquetWriter:
    """A new file of rows `like` this one, compressed so that each is seen beside the last ones."""
    codec, level = packing(like)
    return _ParquetFile(
        path,
        SNAPSHOTS,
        compression=codec,
        compression_level=level,
        use_dictionary=False,
        write_statistics=SCALARS,
        data_page_size=_PAGE_BYTES,
    )


def _write_table(path: Path, batch: pa.RecordBatch) -> None:
    with writing(path):
        with _ParquetFile(path, batch.schema, compression="zstd") as file:
            file.write_batch(batch)
        sync_path(path)
