"""One directory of recordings: locked, repaired, and continued where the last recorder ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from booktape.core.arbitration import SymbolFeed
from booktape.core.checkpoint import restore, save
from booktape.core.events import GapInterval
from booktape.core.sync import State, SymbolSync
from booktape.core.tape_records import (
    FORMAT,
    KILLED,
    NO_TAPE,
    ROTATED,
    Checkpoint,
    Disconnected,
    SegmentEnd,
    SegmentStart,
)
from booktape.descriptors import refuse_used_up
from booktape.errors import DamagedTape
from booktape.store.catalog import free_segment, lineage_of, newest_rows
from booktape.store.extents import GroupExtent, group_extents, open_parquet
from booktape.store.layout import TABLE, Layout, Segment
from booktape.store.lineage import Lineage
from booktape.store.lock import lock_directory
from booktape.store.opening import open_file
from booktape.store.patience import Stopped, never
from booktape.store.recovery import Recovered, recover
from booktape.store.session import RecordingSession
from booktape.store.tape_reader import following, read_ends, read_format

log = structlog.get_logger()
_MOMENTS: Final = ("known_ns", "stamp_ns", "synced_ns")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def open_archive(root: Path) -> Iterator[Archive]:
    """Own the directory, with whatever a killed recorder left in it recovered.

    Raises DirectoryInUse when another recorder owns it.
    """
    with own_archive(root) as archive:
        archive.repair()
        yield archive


@contextmanager
def own_archive(root: Path) -> Iterator[Archive]:
    """Own the directory. `repair` comes first of all that is done with it.

    Raises DirectoryInUse when another recorder owns it.
    """
    layout = Layout(root)
    # One thread, so that the row groups of a file are written in order, and segments too.
    with (
        lock_directory(layout.lock, folder=True),
        ThreadPoolExecutor(1, "booktape-store") as worker,
    ):
        yield Archive(layout, worker)


@contextmanager
def join_archive(root: Path) -> Iterator[Archive]:
    """The archive that another process, which has started us, owns and has repaired."""
    layout = Layout(root)
    with (
        lock_directory(layout.workers_lock, shared=True),
        ThreadPoolExecutor(1, "booktape-store") as worker,
    ):
        yield Archive(layout, worker, whole=True)


class Archive:
    """A directory that is ours alone; once it is `whole`, everything in it is sealed."""

    def __init__(self, layout: Layout, worker: Executor, *, whole: bool = False) -> None:
        self.recovered: list[Recovered] = []
        self._layout = layout
        self._worker = worker
        self._whole = whole

    def repair(self, should_stop: Callable[[], bool] = never) -> None:
        """Recover what a killed recorder left. It may take minutes; `should_stop` ends it early.

        Raises DirectoryInUse while a worker of a killed recorder still lives.
        """
        if self._whole:
            return
        with lock_directory(self._layout.workers_lock), suppress(Stopped):
            self.recovered += recover(self._layout, self._worker, should_stop)
            self._whole = True

    def begin(
        self, start: SegmentStart, tag: str, is_ours: Callable[[str], bool] = lambda _: True
    ) -> RecordingSession:
        """A new recording that goes on counting epochs where the archive stands.

        `is_ours` chooses whose past it takes over, where several workers share one archive.
        """
        lineage = lineage_of(self._layout)
        segment = free_segment(self._layout, start.received_ns, tag)
        _warn_if_ahead(lineage, segment)
        # Another worker of the same recorder may have begun, or even sealed something, already.
        last = lineage.last(but_of_run=segment.run)
        start = replace(start, continues=tuple(one.name for one in last))
        past = self._past(lineage, last, start).values()
        ours = [saved for saved in past if is_ours(saved.symbol)]
        return RecordingSession(self._layout, segment, self._worker, start, ours)

    def past(
        self, symbols: tuple[str, ...], now_ns: int, tape_format: int = FORMAT
    ) -> dict[str, Checkpoint]:
        """What is known of every symbol ever recorded here, none of it live.

        The last tapes end with it. Where they are missing or damaged, rows and gaps still tell the
        last epoch of the `symbols` asked for.
        """
        lineage = lineage_of(self._layout)
        start = SegmentStart(now_ns, "", "", 1, 1, symbols, format=tape_format)
        return self._past(lineage, lineage.last(), start)

    def _past(
        self, lineage: Lineage, last: Sequence[Segment], start: SegmentStart
    ) -> dict[str, Checkpoint]:
        known: dict[str, Checkpoint] = {}
        whole, looked = True, set(last)
        waiting = list(last)
        while waiting:
            segment = waiting.pop()
            told, ended = self._read_checkpoints(segment, start.format)
            for saved in told:
                with _naming_damage(self._layout.tape(segment)), following("it"):
                    _keep_later(known, _cold(saved, start.received_ns))
            if not ended:
                whole = False
                waiting += [one for one in lineage.before[segment] if one not in looked]
                looked.update(waiting)
        now_ns = start.received_ns
        for symbol in start.symbols:
            found = self._last_row(symbol, now_ns) if whole else self._any_row(symbol, now_ns)
            if found:
                _keep_later(known, found)
        return known

    def _read_checkpoints(
        self, segment: Segment, tape_format: int
    ) -> tuple[Iterable[Checkpoint], bool]:
        """What a tape tells of every symbol, and whether that is how its recording ended."""
        told: dict[str, Checkpoint] = {}
        reason, whole = ROTATED, False
        tape = self._layout.tape(segment)
        with _naming_damage(tape):
            for record in read_ends(tape):
                if isinstance(record, SegmentEnd):
                    reason = record.reason
                elif isinstance(record, Checkpoint):
                    # Those at its end are later, and count.
                    told[record.symbol] = record
            whole = True
        with _naming_damage(tape):
            if read_format(tape) < tape_format:
                # On format 1 TRADING only said that nothing else was known.
                told = {symbol: replace(saved, status="") for symbol, saved in told.items()}
        return told.values(), whole and reason != ROTATED

    def _last_row(self, symbol: str, now_ns: int) -> Checkpoint | None:
        """What the newest file of a symbol's rows tells that can be read."""
        for segment in newest_rows(self._layout, symbol):
            path = self._layout.rows(segment, symbol)
            with _naming_damage(path):
                return _from_rows(symbol, path, now_ns)
        return None

    def _any_row(self, symbol: str, now_ns: int) -> Checkpoint | None:
        """The same of all its files, whatever their names; where one cannot be read, gaps tell, too."""
        latest: tuple[int, int, Path] | None = None
        damaged = False
        for segment in newest_rows(self._layout, symbol):
            path = self._layout.rows(segment, symbol)
            groups: tuple[GroupExtent, ...] = ()
            with _naming_damage(path), open_file(path) as file:
                groups = group_extents(pq.read_metadata(file))
            damaged = damaged or not groups
            for group in groups[-1:]:
                stands = group.last_epoch, group.last_id, path
                latest = stands if latest is None else max(latest, stands)
        found = _from_rows(symbol, latest[2], now_ns) if latest else None
        return self._beyond_gaps(symbol, found, now_ns) if damaged else found

    def _beyond_gaps(self, symbol: str, found: Checkpoint | None, now_ns: int) -> Checkpoint | None:
        """An epoch that its rows do not tell any more: each gap that was closed began one."""
        for path in sorted((self._layout.root / "gaps").glob(f"*/*{TABLE}")):
            with _naming_damage(path):
                for row in open_parquet(path).read().to_pylist():
                    closed = row["symbol"] == symbol and row["end_time"]
                    if closed and row["epoch"] >= (found.epoch if found else 0):
                        place = row["epoch"] + 1, row["next_update_id"], row["end_time"]
                        found = _from_row(symbol, *place, now_ns)
        return found


def _warn_if_ahead(lineage: Lineage, segment: Segment) -> None:
    """Names and dates follow our clock; so one that was wrong once, or is wrong now, is said."""
    newest = max(lineage.beginnings, default=segment)
    if newest.start_us > segment.start_us:
        log.warning(
            "the archive's newest segment lies ahead of the clock: it was wrong then, or is now",
            segment=newest.name,
            ahead_s=round((newest.start_us - segment.start_us) / 1e6),
        )


def _keep_later(known: dict[str, Checkpoint], saved: Checkpoint) -> None:
    """Of two that tell of one symbol the one that is further on counts."""
    before = known.get(saved.symbol)
    if before is None or _stands_at(before) < _stands_at(saved):
        known[saved.symbol] = saved


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """A file that cannot be read is named, and is no reason to record nothing: others tell, too."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, DamagedTape) as error:
        refuse_used_up(error)
        if isinstance(error, MemoryError):
            raise
        log.warning("a file cannot be read", file=str(path), why=str(error))


def _stands_at(saved: Checkpoint) -> tuple[int, int]:
    return saved.epoch, saved.update_id


def _cold(saved: Checkpoint, now_ns: int) -> Checkpoint:
    """The same symbol with nobody listening: what was live or syncing is lost."""
    sync, _ = restore(saved)
    if sync.state is State.ENDED:
        sync.state = State.COLD  # whoever records it again must have found it listed
    if sync.state is not State.COLD:
        sync.handle(Disconnected(saved.known_ns, 0, saved.known_ns, KILLED), saved.known_ns)
    # A clock that was ahead must not be ahead of every gap to come: what is lost from now on would then
    # be told too short.
    cold = save(sync, SymbolFeed(), now_ns)
    moments = {name: min(getattr(cold, name), now_ns) for name in _MOMENTS}
    return replace(cold, attempt=0, **moments)


def _from_rows(symbol: str, path: Path, now_ns: int) -> Checkpoint:
    """What the last stored row of a symbol tells, when no tape tells more."""
    file = open_parquet(path)
    columns = ["epoch", "update_id", "receive_time"]
    last = file.read_row_group(file.num_row_groups - 1, columns=columns)
    row = last.slice(last.num_rows - 1).to_pylist()[0]
    return _from_row(symbol, row["epoch"], row["update_id"], row["receive_time"], now_ns)


def _from_row(symbol: str, epoch: int, update_id: int, known: datetime, now_ns: int) -> Checkpoint:
    sync = SymbolSync(symbol)
    sync.epoch, sync.update_id = epoch, update_id
    last_ns = (known - _EPOCH) // timedelta(microseconds=1) * 1_000
    sync.prove(min(last_ns, now_ns))
    sync.gap = GapInterval(symbol, sync.epoch, last_ns, sync.update_id, NO_TAPE)
    return save(sync, SymbolFeed(), now_ns)
