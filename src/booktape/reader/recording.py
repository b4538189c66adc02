"""The object that `booktape.open` returns."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from datetime import timedelta
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from booktape.errors import UsageError
from booktape.processes.task_map import WHOLE, Shard, Workers, cores, map_tasks
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.coverage import Coverage, coverage
from booktape.reader.file_check import check_files
from booktape.reader.gaps import gap_table
from booktape.reader.progress import progress_bar
from booktape.reader.records import Book, Gap, Step
from booktape.reader.removed import report_removed
from booktape.reader.replay import book_at, replay
from booktape.reader.rows import RowQuery, known_symbols
from booktape.reader.snapshots import Quotes, Snapshots
from booktape.reader.tape_query import FIRST_ROWS_ONLY, chosen_tapes, unsealed_outputs
from booktape.reader.times import Moment, moment_us
from booktape.reader.trades import trade_table
from booktape.store.schema import TABLES

T = TypeVar("T")


class RecordingQueries(ABC):
    """The queries of a recording, and of several recordings that are read as one."""

    def __init__(self, archives: Sequence[ArchiveFiles]) -> None:
        self._archives = archives

    @abstractmethod
    def _archive_of(self, symbol: str) -> ArchiveFiles:
        """The archive that has the symbol's data."""

    @abstractmethod
    def symbols(self) -> list[str]:
        """The recorded symbols, by name."""

    @property
    def damaged(self) -> dict[str, str]:
        """Files that could not be read so far, and why. Each was also reported by a DamagedFile warning.

        Results contain the data of all other files.
        """
        return {path: why for each in self._archives for path, why in each.damaged.items()}

    @property
    def lacks(self) -> list[str]:
        """A sentence for each lack of tapes that were needed and had been removed on purpose (`record --keep-tape`).

        Each was also reported by a TapesRemoved warning. Rows of `snapshots` do not need tapes.
        """
        return [sentence for each in self._archives for sentence in each.lacks]

    def check_files(self) -> None:
        """Check every sealed file. Afterwards `damaged` names those that are no longer as they were sealed.

        The check finds files that are cut, empty, unreadable or of another kind; it reads no rows. `booktape verify`
        checks the content.
        """
        for archive in self._archives:
            check_files(archive)

    def segments(self, start: Moment | None = None, end: Moment | None = None) -> list[Recording]:
        """Each sealed segment that may have records of `start <= receive_time < end`, as a recording of its own.

        They are in the order of recording, and whole: their first and last records may be outside of that time. A
        replay of a segment begins with the book that was known when the segment began.
        """
        return [
            _of_segment(archive, tape)
            for archive in self._archives
            for tape in _tapes(archive, start, end)
        ]

    def map_segments(  # noqa: PLR0913 - each is one documented argument
        self,
        fn: Callable[[Recording], T],
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        workers: Workers,
        shard: Shard = WHOLE,
        what: str = "mapping segments",
    ) -> dict[str, T]:
        """`booktape.map_segments` for commands: over the segments of a shard, with a progress bar titled `what`."""
        # Segments of different recorders have different names.
        tasks = {
            tape.segment.name: (fn, archive, tape)
            for archive in self._archives
            for tape in shard.part(_tapes(archive, start, end))
        }
        found: dict[str, T] = {}

        def done(name: str, result: tuple[T, dict[str, str]]) -> None:
            found[name], damaged = result
            _, archive, _ = tasks[name]
            for path, why in damaged.items():
                archive.report_damage(path, why)
            advance(1)

        with progress_bar(what, len(tasks)) as advance:
            map_tasks(_call_with_segment, tasks, workers, done)
        return {name: found[name] for name in tasks}

    def coverage(self) -> list[Coverage]:
        """For each symbol: its rows, first and last time, the time lost, and why."""
        found = [own for archive in self._archives for own in coverage(archive)]
        return sorted(found, key=lambda own: own.symbol)

    def gaps(self, symbol: str | None = None) -> pa.Table:
        """Every interval in which a book was not known, once, earliest first. `end_time` is null while it is open."""
        archives = self._archives if symbol is None else [self._archive_of(symbol)]
        found = [gap_table(archive, symbol) for archive in archives]
        return _together(found, "start_time", "symbol")

    def checks(self) -> pa.Table:
        """The comparisons of books with independent witnesses: those that failed, and counts of those that passed."""
        return _together([_table(archive, "checks") for archive in self._archives], "time")

    def notes(self) -> pa.Table:
        """Other events: a change of a symbol's status, a step of our clock, a crossed book."""
        return _together([_table(archive, "notes") for archive in self._archives], "time")

    def trade_gaps(self, symbol: str | None = None) -> pa.Table:
        """Trades that are missing for good, as ranges of ids. Ranges that are still being filled are not included."""
        archives = self._archives if symbol is None else [self._archive_of(symbol)]
        found = _together([_table(archive, "trade_gaps") for archive in archives], "time")
        return found if symbol is None else found.filter(pc.field("symbol") == symbol)

    def snapshots(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        depth: int | None = None,
    ) -> Snapshots:
        """The rows with `start <= receive_time < end`, each with at most `depth` levels a side."""
        return Snapshots(self._archive_of(symbol), _query(symbol, start, end, depth))

    def quotes(self, symbol: str, start: Moment | None = None, end: Moment | None = None) -> Quotes:
        """The best prices of the rows with `start <= receive_time < end`. No list of levels is decoded."""
        return Quotes(self._archive_of(symbol), _query(symbol, start, end))

    def spread(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        interval: timedelta | str,
    ) -> pa.Table:
        """The mean spread of each interval: `quotes(…).spread(interval)`."""
        return self.quotes(symbol, start, end).spread(interval)

    def trades(
        self, symbol: str, start: Moment | None = None, end: Moment | None = None
    ) -> pa.Table:
        """The trades with `start <= trade_time < end`, by time and id; the recording needs `--also trade`.

        Times are the exchange's, because trades that were filled later arrived much later. The whole table is in memory,
        70 bytes a trade. Raises NotRecorded if no trades of the symbol were recorded.
        """
        return trade_table(self._archive_of(symbol), _query(symbol, start, end))

    def at(self, symbol: str, time: Moment, *, depth: int | None = None) -> Book:
        """The book after the last event received at or before `time`.

        Its `receive_time` is the time of that event. Raises BookNotKnown in a gap, and before and after
        everything recorded.
        """
        depth = _query(symbol, depth=depth).depth
        return book_at(self._archive_of(symbol), symbol, moment_us(time), depth)

    def replay(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        depth: int | None = None,
    ) -> Iterator[Step | Gap]:
        """Every event received in `start <= … < end` with the book after it, and every gap."""
        return replay(self._archive_of(symbol), _query(symbol, start, end, depth))


class Recording(RecordingQueries):
    """A recording. Every call lists the files again, so it may be used while the recorder runs."""

    def __init__(self, archive: ArchiveFiles) -> None:
        super().__init__([archive])
        self._archive = archive

    def __repr__(self) -> str:
        return f"<booktape recording {self._archive.root}>"

    @property
    def root(self) -> str:
        """The folder, or the path in its file system."""
        return self._archive.root

    @property
    def segment(self) -> str | None:
        """The segment's name if `segments` returned this recording. None for a whole recording."""
        return self._archive.only.name if self._archive.only else None

    def symbols(self) -> list[str]:
        """The recorded symbols, by name."""
        return known_symbols(self._archive, self._archive.tail())

    def _archive_of(self, symbol: str) -> ArchiveFiles:
        del symbol
        return self._archive


def _table(archive: ArchiveFiles, name: str) -> pa.Table:
    """All of `checks`, `notes` or `trade_gaps`, in order. It is empty for an archive that is older than the table."""
    # A row whose book is crossed adds a check, so for `checks` the rows must be made as well.
    every = 0 if name == "checks" else FIRST_ROWS_ONLY
    files, tapes = archive.with_tail(lambda: archive.tables(name))
    tail = [
        TABLES[name].batch(unsealed_outputs(archive, tape, None, every=every)) for tape in tapes
    ]
    # Only the files that were listed: a segment that was sealed meanwhile is in the tail.
    sealed = archive.read_tables(name, files)
    return pa.concat_tables([sealed, pa.Table.from_batches(tail, TABLES[name].schema)])


def _together(tables: Sequence[pa.Table], *order: str) -> pa.Table:
    """The tables of all archives as one, sorted by these columns; the table of a single archive is left as it is."""
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables).sort_by([(name, "ascending") for name in order])


def _tapes(archive: ArchiveFiles, start: Moment | None, end: Moment | None) -> list[ArchiveFile]:
    from_us = None if start is None else moment_us(start)
    to_us = None if end is None else moment_us(end)
    report_removed(archive, from_us, to_us)
    return chosen_tapes(archive, archive.tapes(), from_us, to_us)


def map_segments(  # noqa: PLR0913 - each is one documented argument
    fn: Callable[[Recording], T],
    recording: RecordingQueries,
    start: Moment | None = None,
    end: Moment | None = None,
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
) -> dict[str, T]:
    """Call `fn` with each sealed segment of a recording. Returns the results by the segment's name, in order.

    `fn` gets a `Recording` that has only this segment, and may use all of its methods, such as `snapshots`, `replay` and
    `gaps`. The segments are those of `recording.segments(start, end)`. They are read by `jobs` processes on this machine
    (by default as many as there are cores), or by any executor of `concurrent.futures`, such as that of a Dask cluster:
    `distributed.Client(…).get_executor()`. Processes need a function at the top of a module, and a script that starts
    them under `if __name__ == "__main__":`.

    Files that cannot be read are in `recording.damaged`, each with a warning. Raises the first error of `fn`, UsageError
    for a function that cannot be sent to a process, WorkerFailed for a segment whose process is killed again and again,
    and FolderNotShared if a machine does not see the recording.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(
            f"jobs={jobs} is not a number of processes. Write 1 or more, or leave it out."
        )
    if executor is None:
        _check_can_be_sent(fn)
    return recording.map_segments(fn, start, end, workers=executor or jobs or cores())


def _call_with_segment(
    fn: Callable[[Recording], T], archive: ArchiveFiles, tape: ArchiveFile
) -> tuple[T, dict[str, str]]:
    """On the worker: the result of `fn`, and the files that could not be read."""
    archive.check_seen(tape)
    part = _of_segment(archive, tape)
    return fn(part), part.damaged


def _of_segment(archive: ArchiveFiles, tape: ArchiveFile) -> Recording:
    return Recording(ArchiveFiles(archive.root, archive.filesystem, tape.segment))


def _check_can_be_sent(fn: object) -> None:
    try:
        pickle.dumps(fn)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{fn!r} cannot be sent to another process: {error}. Define it at the top of a module, or give an executor "
            "that needs no copy, such as ThreadPoolExecutor()."
        ) from error


def _query(
    symbol: str, start: Moment | None = None, end: Moment | None = None, depth: int | None = None
) -> RowQuery:
    if depth is not None and depth < 1:
        raise UsageError(
            f"depth={depth} is not a valid number of levels. Write 1 or more, or leave it out."
        )
    from_us = None if start is None else moment_us(start)
    return RowQuery(symbol, from_us, None if end is None else moment_us(end), depth)
