"""One segment on disk: its tape, its rows and its small tables, written and sealed together.

**Rows.** The rows of one symbol are staged in memory until their row group is full; then a worker thread
writes the group. A row is compressed only against earlier rows of its own group, so groups are large. A
reader decodes whole groups, so they are no larger than they are.

**Order.** The tape is flushed before a group is given to the worker. So rows on disk are never ahead of the
tape on disk, and recovery can always make them again (store/recovery.py explains all of it).

**Retry.** `flush` and `seal` may be called again after a WriteFailed, and continue where they stopped. No
group is lost: full groups wait in one queue, and a group leaves it only when its bytes are written.
store/patience.py says how long callers retry.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import structlog

from booktape.core.checks import Check
from booktape.core.events import BookRow, GapInterval, Note
from booktape.core.tape_records import SegmentEnd, TapeRecord
from booktape.core.trades import TradeGap, TradeRow
from booktape.errors import WriteFailed
from booktape.store.clearing import clear_segment, is_regular, set_aside
from booktape.store.durable_files import disk_errors_named, publish
from booktape.store.layout import Layout, Segment, can_be_stored
from booktape.store.manifest import Contents, seal_manifest
from booktape.store.parquet_file import (
    BOOK_ROWS,
    TRADE_ROWS,
    ParquetFile,
    RowKind,
    StagedGroup,
    table_file,
)
from booktape.store.schema import TABLES, TRADE_GAPS_NAME
from booktape.store.tape_writer import TapeWriter
from booktape.store.unsealed_file import FileSeal

STAGED_BYTES: Final = 256 << 20
"""Rows of all symbols that may be staged. Beyond this, the largest group ends early."""

BACKLOG_BYTES: Final = 256 << 20
"""Row groups that may wait for the worker before the recorder has to wait too."""

log = structlog.get_logger()


SmallItem: TypeAlias = GapInterval | Check | Note | TradeGap
"""A row of one of the small tables."""


class _Part(NamedTuple):
    """One symbol's rows, or its trades."""

    kind: RowKind[Any]
    symbol: str


class Predecessor(NamedTuple):
    """The previous segment, and the last record of its tape, which is not yet written."""

    writer: SegmentWriter
    end: SegmentEnd


class SegmentWriter:
    """Writes a segment. Readers see nothing of it before `seal` has run.

    A row passes through these places, in this order: a group in `_groups` (one per symbol, until it is full), `_full`
    (until the next flush), the worker's `_queue` (`_encoded` is its first group, once that is Parquet), and its file.

    The constructor, `write` and the `add` methods work in memory only; `flush` and `seal` use the disk. No
    other method may run at the same time as these two. Memory: at most STAGED_BYTES are staged, and
    at most BACKLOG_BYTES wait to be written if the caller waits for `backlog`.
    """

    def __init__(
        self,
        layout: Layout,
        segment: Segment,
        worker: Executor,
        predecessor: Predecessor | None = None,
        *,
        trades: bool = False,
    ) -> None:
        self.segment = segment
        self.is_ended = False
        self._layout = layout
        self._worker = worker
        self._predecessor = predecessor
        self._tape = TapeWriter(layout.starting_tape(segment))
        self._is_recoverable = False
        self._has_trades = trades
        self._groups: dict[_Part, StagedGroup[Any]] = {}
        self._contents: dict[_Part, Contents] = {}
        self._staged_bytes = 0
        self._table_items: list[SmallItem] = []
        self._full: list[tuple[_Part, StagedGroup[Any]]] = []
        # For the worker, which removes each group when it is written.
        self._queue: deque[tuple[_Part, StagedGroup[Any]]] = deque()
        # The first group of the queue, once it is encoded: a retry must not encode it again.
        self._encoded: StagedGroup[Any] | None = None
        # The worker's last task of writing groups; there is one at a time.
        self._writing: Future[None] | None = None
        self._files: dict[_Part, ParquetFile] = {}
        self._steps: deque[Callable[[], None]] | None = None
        self._seals: dict[Path, FileSeal] = {}
        self._rows_bytes = 0

    @property
    def written_bytes(self) -> int:
        """What its tape and its rows take up on the disk so far. Staged rows and the small tables are not counted."""
        return self._tape.written_bytes + self._rows_bytes

    def mark_recoverable(self) -> None:
        """Note that the whole opening is written: from the next flush on, recovery will find this segment."""
        self._is_recoverable = True

    def write(self, record: TapeRecord) -> None:
        """Append a record to the tape."""
        self._tape.write(record)

    def end(self, last: Iterable[TapeRecord]) -> None:
        """Append the last records to the tape. From now on the segment can be sealed."""
        for record in last:
            self._tape.write(record)
        self.is_ended = True

    def add_row(self, row: BookRow) -> None:
        """Stage a row. The next flush gives full groups to the worker.

        Raises ValueError for a symbol that is too long for a file name; no recorder accepts such a symbol.
        """
        self._stage(_Part(BOOK_ROWS, row.symbol), row, row.update_id)

    def add_trade(self, row: TradeRow) -> None:
        """Stage a trade, like `add_row`."""
        self._stage(_Part(TRADE_ROWS, row.trade.symbol), row, row.trade.trade_id)

    def _stage(self, part: _Part, row: BookRow | TradeRow, row_id: int) -> None:
        if part not in self._contents and not can_be_stored(part.symbol):
            raise ValueError(f"no file can be named after {part.symbol[:80]!r}")
        group = self._groups.get(part)
        if group is None:
            group = self._groups[part] = StagedGroup(part.kind)
        before_bytes = group.bytes
        is_full = group.add(row)
        rows, first_id, _ = self._contents.get(part, Contents(0, row_id))
        self._contents[part] = Contents(rows + 1, first_id, row_id)
        self._staged_bytes += group.bytes - before_bytes
        if is_full:
            self._end_group(part)
        elif self._staged_bytes >= STAGED_BYTES:
            self._end_group(max(self._groups, key=lambda part: self._groups[part].bytes))

    def add(self, item: SmallItem) -> None:
        """Add a row to one of the small tables, which are written when the segment is sealed.

        Known weakness: until then they are in memory only, and a recovery makes them again.
        """
        self._table_items.append(item)

    @property
    def wants_flush(self) -> bool:
        """Whether to flush at once: BUFFER_BYTES of the tape are waiting, or a group is full."""
        return bool(self._full) or self._tape.wants_flush

    def flush(self) -> None:
        """Flush the tape, give full groups to the worker, and raise the worker's errors.

        It blocks as long as the disk does. If the worker failed because the disk was full, its groups are
        written again here, and this call waits for them, so a caller that retries knows when everything is written.
        """
        # Tape first: rows never reach the disk before the records that they follow from.
        self._flush_tape()
        self._queue.extend(self._full)
        self._full = []
        is_idle = self._writing is None or self._writing.done()
        is_retry = is_idle and _must_repeat(self._writing)
        if self._queue and is_idle:
            self._writing = self._worker.submit(self._write_groups, len(self._queue))
            if is_retry or self._writing.done():
                self._writing.result()

    @property
    def backlog(self) -> Future[None] | None:
        """The task to wait for before more rows are made. None while the worker keeps up.

        The caller need not check the task's result: the next flush does.
        """
        waiting_bytes = sum(group.bytes for _, group in self._queue.copy())
        is_behind = waiting_bytes > BACKLOG_BYTES and self._writing and not self._writing.done()
        return self._writing if is_behind else None

    def seal(self) -> Future[None]:
        """Seal the segment. When the future has its result, all files are durable and have their final names.

        No file gets its final name before every file is durable. May be called again after a WriteFailed.
        """
        for part in list(self._groups):
            self._end_group(part)
        self._queue.extend(self._full)
        self._full = []
        return self._worker.submit(self._seal)

    def _end_group(self, part: _Part) -> None:
        group = self._groups.pop(part)
        self._staged_bytes -= group.bytes
        self._full.append((part, group))

    def _flush_tape(self) -> None:
        """Flush the tape. Once its opening is complete, it gets the name under which recovery finds it.

        Order matters here. First the previous tape is flushed: it must hold every record that the new
        tape's checkpoints contain. Then the new tape gets its name. Only then does the previous tape get
        its end record. So after a kill at any moment one of the two tapes has the latest state.
        """
        recoverable = self._layout.writing_tape(self.segment)
        if self._is_recoverable and self._tape.path != recoverable:
            if self._predecessor:
                self._predecessor.writer._flush_tape()  # noqa: SLF001 another of our own
            self._tape.move(recoverable)
            if self._predecessor:
                self._predecessor.writer.end([self._predecessor.end])
                self._predecessor = None
        else:
            self._tape.flush()

    # ── in the worker thread ────────────────────────────────────────────────────────────────

    def _write_groups(self, count: int) -> None:
        """Write the first `count` groups of the queue. A group that fails stays first in the queue."""
        for _ in range(count):
            part, group = self._queue[0]
            if part not in self._files:
                path = part.kind.writing(self._layout, self.segment, part.symbol)
                self._files[part] = part.kind.new_file(path, group.rows[-1])
            file = self._files[part]
            if group is not self._encoded:
                file.append(part.kind.batch(group.rows))
                self._encoded = group
            before_bytes = file.written_bytes
            file.write()
            self._rows_bytes += file.written_bytes - before_bytes
            self._queue.popleft()
            self._encoded = None

    def _seal(self) -> None:
        self._flush_tape()
        _must_repeat(self._writing)  # Waits. What it failed to write is still in the queue.
        self._write_groups(len(self._queue))
        if self._steps is None:
            self._steps = deque(self._steps_to_seal())
        while self._steps:
            self._steps[0]()
            self._steps.popleft()

    def _steps_to_seal(self) -> Iterator[Callable[[], None]]:
        """The steps of sealing, in order. Each can be repeated after it failed."""
        layout, segment = self._layout, self.segment
        files, contents = {}, {}
        for part, held in self._contents.items():
            final = part.kind.final(layout, segment, part.symbol)
            files[final], contents[final] = self._files[part], held
        for name, table in TABLES.items():
            if name == TRADE_GAPS_NAME and not self._has_trades:
                continue
            batch = table.batch(self._table_items)
            final = layout.table(segment, name)
            files[final] = table_file(layout.writing_table(segment, name), table.schema)
            files[final].append(batch)
            contents[final] = Contents(batch.num_rows)
        for final, file in files.items():
            yield partial(self._make_durable, final, partial(file.seal, contents[final].rows))
        tape = layout.tape(segment)
        yield partial(self._make_durable, tape, self._tape.seal)
        for final, file in files.items():
            yield partial(self._publish, file.path, final)
        # The tape comes last: until it is sealed, the next start repeats all of this.
        yield partial(seal_manifest, layout, segment, self._seals, contents)
        yield partial(self._publish, self._tape.path, tape)
        clear = disk_errors_named(layout.unsealed_of(segment))(clear_segment)
        yield partial(clear, layout, segment)
        # Dropping a thousand Parquet writers takes a while. In this thread nothing has to wait for that.
        yield self._files.clear

    def _make_durable(self, final: Path, seal: Callable[[], FileSeal]) -> None:
        """Make a file complete and durable under its unsealed name."""
        self._seals[final] = seal()

    def _publish(self, unsealed: Path, final: Path) -> None:
        """Give a file its final name.

        A file that already has this name was published before a crash: the same tape gives the same bytes.
        If the bytes differ, neither file is removed: the one in the way is moved to `set-aside/`.
        """
        with disk_errors_named(final):
            if unsealed.exists() and os.path.lexists(final) and not self._is_sealed_as(final):
                moved = set_aside(self._layout, final)
                log.warning("a file was in the way, and set aside", file=str(final), to=str(moved))
        publish(unsealed, final)

    def _is_sealed_as(self, final: Path) -> bool:
        """Whether the existing file has the size and checksum of the one to be published."""
        return is_regular(final) and FileSeal.of_file(final) == self._seals[final]


def _must_repeat(writing: Future[None] | None) -> bool:
    """Wait for a task of the worker. Returns whether it must be repeated; raises errors that no retry would repair."""
    error = writing.exception() if writing else None
    if error is not None and not (isinstance(error, WriteFailed) and error.may_pass):
        raise error
    return error is not None
