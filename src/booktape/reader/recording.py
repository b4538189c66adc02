"""An archive as its user sees it."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike

import pyarrow as pa
from pyarrow.fs import FileSystem

from booktape.errors import UsageError
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.coverage import Coverage, coverage
from booktape.reader.file_check import check_files
from booktape.reader.gaps import gap_table
from booktape.reader.records import Book, Gap, Step
from booktape.reader.replay import book_at, replay
from booktape.reader.rows import RowQuery, known_symbols
from booktape.reader.small_tables import table
from booktape.reader.snapshots import Snapshots
from booktape.reader.times import Moment, moment_us


def open_recording(
    where: str | PathLike[str], *, filesystem: FileSystem | None = None, unsealed: bool = True
) -> Recording:
    """What was recorded into a folder, or into `s3://bucket/prefix` (any URI that pyarrow knows).

    With a `filesystem` of pyarrow, `where` is a path in it. `unsealed`: whether the rows that a
    running (or killed) recorder has not sealed yet are computed from its tape. Raises NotRecorded
    where nothing was recorded.
    """
    return Recording(ArchiveFiles.find(where, filesystem), unsealed=unsealed)


class Recording:
    """What was recorded. Every call looks at the files anew, so it may go on meanwhile."""

    def __init__(self, place: ArchiveFiles, *, unsealed: bool) -> None:
        self._place = place
        self._unsealed = unsealed

    def __repr__(self) -> str:
        return f"<booktape recording {self._place.root}>"

    @property
    def damaged(self) -> dict[str, str]:
        """Files that could not be read so far, and why. Each was also told as a DamagedFile warning.

        What the others hold was shown without them.
        """
        return dict(self._place.damaged)

    def check_files(self) -> None:
        """Look at every sealed file: `damaged` then names those that are not as they were sealed.

        It finds what is cut, empty, forbidden or no file of its kind, and reads no rows. `booktape
        verify` proves the rest.
        """
        check_files(self._place)

    def symbols(self) -> list[str]:
        """By name."""
        return known_symbols(self._place, self._place.unsealed() if self._unsealed else [])

    def coverage(self) -> list[Coverage]:
        """Of each symbol: rows, first and last moment, and how much of it was lost, and why."""
        return coverage(self._place, unsealed=self._unsealed)

    def gaps(self, symbol: str | None = None) -> pa.Table:
        """Every interval in which a book was not known, once; `end_time` is null while it is open."""
        return gap_table(self._place, symbol, unsealed=self._unsealed)

    def checks(self) -> pa.Table:
        """Every comparison of a book with an independent witness, passed or failed."""
        return table(self._place, "checks", unsealed=self._unsealed)

    def notes(self) -> pa.Table:
        """What happened and is no gap: a symbol's status, a step of our clock."""
        return table(self._place, "notes", unsealed=self._unsealed)

    def snapshots(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        depth: int | None = None,
    ) -> Snapshots:
        """The rows with `start <= receive_time < end`, each with at most `depth` levels a side."""
        query = _query(symbol, start, end, depth)
        return Snapshots(self._place, query, unsealed=self._unsealed)

    def at(self, symbol: str, time: Moment, *, depth: int | None = None) -> Book:
        """The book after the last event received until `time`, that one included.

        Its `receive_time` says since when the book was so. Raises BookNotKnown in a gap, and before
        and after everything recorded.
        """
        query = _query(symbol, None, None, depth)
        return book_at(
            self._place, query.symbol, moment_us(time), query.depth, unsealed=self._unsealed
        )

    def replay(
        self,
        symbol: str,
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        depth: int | None = None,
    ) -> Iterator[Step | Gap]:
        """Every event received in `start <= … < end` with the book after it, and every gap."""
        query = _query(symbol, start, end, depth)
        return replay(self._place, query, unsealed=self._unsealed)


def _query(symbol: str, start: Moment | None, end: Moment | None, depth: int | None) -> RowQuery:
    if depth is not None and depth < 1:
        raise UsageError(f"depth={depth} is no number of levels. Write 1 or more, or nothing.")
    return RowQuery(
        symbol,
        None if start is None else moment_us(start),
        None if end is None else moment_us(end),
        depth,
    )
