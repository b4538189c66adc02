"""One directory of recordings: locked, repaired, and continued where the last recorder ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from booktape.core.checkpoint import restore, save
from booktape.core.events import Gap
from booktape.core.frames import FORMAT, KILLED, NO_TAPE, Checkpoint, Disconnected, SegmentStart
from booktape.core.merge import Lane
from booktape.core.sync import State, SymbolSync
from booktape.descriptors import refuse_used_up
from booktape.store.found import last_tapes, newest_rows, newest_tape
from booktape.store.layout import Layout, Segment
from booktape.store.lock import lock_directory
from booktape.store.reading import read_checkpoints, read_format
from booktape.store.recording import Recording
from booktape.store.recovery import Recovered, recover

log = structlog.get_logger()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def open_archive(root: Path) -> Iterator[Archive]:
    """Own the directory, with whatever a killed recorder left in it recovered.

    Raises DirectoryInUse when another recorder owns it.
    """
    with own_archive(root) as archive:
        for _ in archive.repair():
            pass
        yield archive


@contextmanager
def own_archive(root: Path) -> Iterator[Archive]:
    """Own the directory. `repair` comes first of all that is done with it.

    Raises DirectoryInUse when another recorder owns it.
    """
    layout = Layout(root)
    # One thread, so that the row groups of a file are written in order, and segments too.
    with lock_directory(layout.lock), ThreadPoolExecutor(1, "booktape-store") as worker:
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

    def repair(self) -> Iterator[None]:
        """Recover what a killed recorder left, bit by bit: it may take minutes.

        Raises DirectoryInUse while a worker of a killed recorder still lives.
        """
        if self._whole:
            return
        with lock_directory(self._layout.workers_lock):
            for found in recover(self._layout, self._worker):
                if found:
                    self.recovered.append(found)
                yield
        self._whole = True

    def begin(
        self, start: SegmentStart, tag: str, is_ours: Callable[[str], bool] = lambda _: True
    ) -> Recording:
        """A new recording that goes on counting epochs where the archive stands.

        `is_ours` chooses whose past it takes over, where several workers share one archive.
        """
        segment = Segment.at(start.received_ns, tag, newest_tape(self._layout))
        recording = Recording(self._layout, segment, self._worker)
        past = self.past(start.symbols, start.received_ns, start.format).values()
        recording.begin(start, [saved for saved in past if is_ours(saved.symbol)])
        return recording

    def past(
        self, symbols: tuple[str, ...], now_ns: int, tape_format: int = FORMAT
    ) -> dict[str, Checkpoint]:
        """What is known of every symbol ever recorded here, none of it live.

        The last tapes end with it. Where they are missing or damaged, the newest rows still tell
        the last epoch of the `symbols` asked for.
        """
        known: dict[str, Checkpoint] = {}
        for tape in map(self._layout.tape, last_tapes(self._layout)):
            with _naming_damage(tape):
                # Those at its end are later, and count.
                found = {saved.symbol: _cold(saved, now_ns) for saved in read_checkpoints(tape)}
                if read_format(tape) < tape_format:
                    # On format 1 TRADING only said that nothing else was known.
                    found = {symbol: replace(saved, status="") for symbol, saved in found.items()}
                known |= found
        for symbol in symbols:
            last = self._last_row(symbol, now_ns)
            if last and (symbol not in known or _stands_at(known[symbol]) < _stands_at(last)):
                known[symbol] = last
        return known

    def _last_row(self, symbol: str, now_ns: int) -> Checkpoint | None:
        """What the newest rows of a symbol tell that can be read."""
        for segment in newest_rows(self._layout, symbol):
            path = self._layout.rows(segment, symbol)
            with _naming_damage(path):
                return _from_rows(symbol, path, now_ns)
        return None


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """A file that cannot be read is named, and is no reason to record nothing: others tell, too."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
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
        sync.take(Disconnected(saved.known_ns, 0, saved.known_ns, KILLED), saved.known_ns)
    return replace(save(sync, Lane(), now_ns), attempt=0)


def _from_rows(symbol: str, path: Path, now_ns: int) -> Checkpoint:
    """What the last stored row of a symbol tells, when no tape tells more."""
    file = pq.ParquetFile(path)
    columns = ["epoch", "update_id", "receive_time"]
    last = file.read_row_group(file.num_row_groups - 1, columns=columns)
    row = last.slice(last.num_rows - 1).to_pylist()[0]
    sync = SymbolSync(symbol)
    sync.epoch, sync.update_id = row["epoch"], row["update_id"]
    last_ns = (row["receive_time"] - _EPOCH) // timedelta(microseconds=1) * 1_000
    sync.prove(last_ns)
    sync.gap = Gap(symbol, sync.epoch, last_ns, sync.update_id, NO_TAPE)
    return save(sync, Lane(), now_ns)
