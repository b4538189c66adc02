"""One directory of recordings: locked, repaired, and continued from where the last recording ended.

**How a recording continues.** Within one archive a symbol's epochs must never go back, and the time between two
recordings must be declared as a gap. So a new recording begins with a checkpoint of every symbol that was
ever recorded here. The checkpoints come from the last tapes: a tape that ended `stopped` or `killed` has one for
every symbol after its end record. Each checkpoint is turned into the state of a symbol without a connection: a book
that was live or syncing gets an open gap, which the new recording closes.

**Without the last tapes.** If one is missing, damaged, or ended `rotated` (its successor is missing), the
tapes before it are read too. For the symbols to be recorded, the stored rows and then the gaps are also
read, and the highest epoch counts. Such a gap has the reason `no_tape`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from booktape.core.arbitration import SymbolFeed
from booktape.core.checkpoint import restore, save
from booktape.core.events import GapInterval
from booktape.core.gap_reasons import KILLED, NO_TAPE
from booktape.core.sync import State, SymbolSync
from booktape.core.tape_records import (
    ROTATED,
    Checkpoint,
    Disconnected,
    SegmentEnd,
    SegmentStart,
)
from booktape.errors import Damaged
from booktape.processes.descriptors import refuse_used_up
from booktape.store.catalog import free_segment, lineage_of, newest_rows
from booktape.store.layout import TABLE, Layout, Segment
from booktape.store.lineage import Lineage
from booktape.store.lock import lock_directory
from booktape.store.parquet_reader import (
    check_schema,
    open_parquet,
    parquet_errors,
    snapshots_schema,
)
from booktape.store.patience import Stopped, never
from booktape.store.recovery import Recovered, recover
from booktape.store.schema import GAPS
from booktape.store.session import RecordingSession
from booktape.store.small_table import read_table
from booktape.store.tape_reader import errors_as_damage, read_ends

log = structlog.get_logger()
_TIME_FIELDS: Final = ("known_ns", "stamp_ns", "synced_ns")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def lock_archive(root: Path, *, as_worker: bool = False) -> Iterator[Archive]:
    """Lock the directory. The caller must call `repair` before anything else.

    Workers share a separate lock: the process that started them holds the main one, and has repaired the archive.
    Raises DirectoryInUse when another recorder holds the lock.
    """
    layout = Layout(root)
    path = layout.workers_lock if as_worker else layout.lock
    # One thread, so that row groups and segments are written in order.
    with (
        lock_directory(path, shared=as_worker, folder=not as_worker),
        ThreadPoolExecutor(1, "booktape-store") as worker,
    ):
        yield Archive(layout, worker, whole=as_worker)


class Archive:
    """A locked directory. If it is `whole`, everything in it is sealed."""

    def __init__(self, layout: Layout, worker: Executor, *, whole: bool) -> None:
        self.recovered: list[Recovered] = []
        self._layout = layout
        self._worker = worker
        self._whole = whole

    def repair(self, should_stop: Callable[[], bool] = never) -> None:
        """Recover what a killed recorder left. This may take minutes; `should_stop` ends it early.

        Raises DirectoryInUse while a worker of a killed recorder is still alive.
        """
        if self._whole:
            return
        with lock_directory(self._layout.workers_lock), suppress(Stopped):
            self.recovered += recover(self._layout, self._worker, should_stop)
            self._whole = True

    def begin(
        self, start: SegmentStart, tag: str, is_ours: Callable[[str], bool] = lambda _: True
    ) -> RecordingSession:
        """Begin a recording that continues the epochs of the archive.

        If several workers share the archive, `is_ours` chooses the symbols whose checkpoints this worker gets.
        """
        lineage = lineage_of(self._layout)
        segment = free_segment(self._layout, start.received_ns, tag)
        _warn_if_ahead(lineage, segment)
        # Another worker of the same recorder may have begun already, or even sealed a segment.
        last = lineage.last(but_of_run=segment.run)
        start = replace(start, continues=tuple(one.name for one in last))
        past = self.past(lineage, last, start).values()
        ours = [saved for saved in past if is_ours(saved.symbol)]
        return RecordingSession(self._layout, segment, self._worker, start, ours)

    def past(
        self, lineage: Lineage, last: Sequence[Segment], start: SegmentStart
    ) -> dict[str, Checkpoint]:
        """A checkpoint of every symbol ever recorded here, none of them live, from the `last` segments.

        If the tapes of those are missing or damaged, rows and gaps still give the last epoch of the symbols in `start`.
        """
        known: dict[str, Checkpoint] = {}
        whole, seen = True, set(last)
        unread = list(last)
        while unread:
            segment = unread.pop()
            checkpoints, ended = self._read_checkpoints(segment)
            is_older = lineage.beginnings[segment].format < start.format
            for one in checkpoints:
                # In format 1, TRADING only meant that nothing else was known.
                saved = replace(one, status="") if is_older else one
                with _skip_unreadable(self._layout.tape(segment)), errors_as_damage("it"):
                    _keep_latest(known, _disconnected(saved, start.received_ns))
            if not ended:
                whole = False
                unread += [one for one in lineage.before[segment] if one not in seen]
                seen.update(unread)
        for symbol in start.symbols:
            self._add_stored(known, symbol, start.received_ns, newest_only=whole)
        return known

    def _read_checkpoints(self, segment: Segment) -> tuple[Iterable[Checkpoint], bool]:
        """The last checkpoint of every symbol on a tape, and whether the recording ended with this tape."""
        checkpoints: dict[str, Checkpoint] = {}
        reason, whole = ROTATED, False
        tape = self._layout.tape(segment)
        with _skip_unreadable(tape):
            for record in read_ends(tape):
                if isinstance(record, SegmentEnd):
                    reason = record.reason
                elif isinstance(record, Checkpoint):
                    # Checkpoints after the end record are later, and replace the earlier ones.
                    checkpoints[record.symbol] = record
            whole = True
        return checkpoints.values(), whole and reason != ROTATED

    def _add_stored(
        self, known: dict[str, Checkpoint], symbol: str, now_ns: int, *, newest_only: bool
    ) -> None:
        """Add what the stored rows say about a symbol: with `newest_only` the last row of the newest readable file.

        Otherwise the last row of every file and, if a file cannot be read, the gaps: an epoch followed each closed gap.
        """
        is_damaged = False
        for segment in newest_rows(self._layout, symbol):
            path, is_read = self._layout.rows(segment, symbol), False
            with _skip_unreadable(path):
                _keep_latest(known, _from_rows(symbol, path, now_ns))
                is_read = True
            if is_read and newest_only:
                return
            is_damaged = is_damaged or not is_read
        if is_damaged and not newest_only:
            for path in (self._layout.root / "gaps").glob(f"*/*{TABLE}"):
                with _skip_unreadable(path):
                    for row in read_table(path, GAPS).to_pylist():
                        if row["symbol"] == symbol and row["end_time"]:
                            # No book followed the last gap of a delisted symbol, so that gap has no next id.
                            first_id = row["next_update_id"] or row["last_update_id"]
                            first = row["epoch"] + 1, first_id, row["end_time"]
                            _keep_latest(known, _from_row(symbol, *first, now_ns))


def _warn_if_ahead(lineage: Lineage, segment: Segment) -> None:
    """Names and dates come from our clock, so warn if it was wrong earlier or is wrong now."""
    newest = max(lineage.beginnings, default=segment)
    if newest.start_us > segment.start_us:
        log.warning(
            "the archive's newest segment lies ahead of the clock: the clock was wrong then, or is wrong now",
            segment=newest.name,
            ahead_s=round((newest.start_us - segment.start_us) / 1e6),
        )


def _keep_latest(known: dict[str, Checkpoint], saved: Checkpoint) -> None:
    """Of a symbol's two checkpoints, keep the one that is further ahead."""
    before = known.get(saved.symbol)
    if before is None or (before.epoch, before.update_id) < (saved.epoch, saved.update_id):
        known[saved.symbol] = saved


@contextmanager
def _skip_unreadable(path: Path) -> Iterator[None]:
    """Log a file that cannot be read and continue: other files may have the same information."""
    try:
        with parquet_errors():
            yield
    except (OSError, Damaged) as error:
        refuse_used_up(error)
        log.warning("a file cannot be read", file=str(path), why=str(error))


def _disconnected(saved: Checkpoint, now_ns: int) -> Checkpoint:
    """The checkpoint of the same symbol without a connection: if it was live or syncing, a gap is open."""
    sync, _ = restore(saved)
    if sync.state is State.ENDED:
        sync.state = State.COLD  # only a listed symbol is recorded again
    if sync.state is not State.COLD:
        sync.handle(Disconnected(saved.known_ns, 0, saved.known_ns, KILLED), saved.known_ns)
    # If our clock was ahead then, the checkpoint's times lie in the future, and later gaps would be too short.
    cold = save(sync, SymbolFeed(), now_ns)
    times = {name: min(getattr(cold, name), now_ns) for name in _TIME_FIELDS}
    # The ids of later trades show what was missed in the meantime.
    return replace(cold, attempt=0, trades=saved.trades, **times)


def _from_rows(symbol: str, path: Path, now_ns: int) -> Checkpoint:
    """A checkpoint from the last row in a file, for when no tape has a later one."""
    file = open_parquet(path)
    check_schema(file, snapshots_schema(file.metadata))
    columns = ["epoch", "update_id", "receive_time"]
    number = file.num_row_groups - 1
    if number < 0 or not file.metadata.row_group(number).num_rows:
        raise Damaged("it has no last row")
    last = file.read_row_group(number, columns=columns)
    row = last.slice(last.num_rows - 1).to_pylist()[0]
    return _from_row(symbol, row["epoch"], row["update_id"], row["receive_time"], now_ns)


def _from_row(symbol: str, epoch: int, update_id: int, known: datetime, now_ns: int) -> Checkpoint:
    sync = SymbolSync(symbol)
    sync.epoch, sync.update_id = epoch, update_id
    last_ns = (known - _EPOCH) // timedelta(microseconds=1) * 1_000
    sync.note_proof(min(last_ns, now_ns))
    sync.gap = GapInterval(symbol, sync.epoch, last_ns, sync.update_id, NO_TAPE)
    return save(sync, SymbolFeed(), now_ns)
