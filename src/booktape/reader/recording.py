"""The object that `booktape.open` returns."""

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
    """Open the recording in a folder, or at `s3://bucket/prefix` (any URI that pyarrow accepts).

    With a `filesystem` of pyarrow, `where` is a path in it. `unsealed`: whether rows that a running (or
    killed) recorder has not sealed yet are computed from its tape. Raises NotRecorded if nothing was recorded.
    """
    return Recording(ArchiveFiles.find(where, filesystem), unsealed=unsealed)


class Recording:
    """A recording. Every call lists the files again, so the recorder may still be running."""

    def __init__(self, archive: ArchiveFiles, *, unsealed: bool) -> None:
        self._archive = archive
        self._unsealed = unsealed

    def __repr__(self) -> str:
        return f"<booktape recording {self._archive.root}>"

    @property
    def damaged(self) -> dict[str, str]:
        """Files that could not be read so far, and why. Each was also reported by a DamagedFile warning.

        Results contain the data of all other files.
        """
        return dict(self._archive.damaged)

    def check_files(self) -> None:
        """Check every sealed file. Afterwards `damaged` names those that are not as they were sealed.

        It finds files that are cut, empty, forbidden or of another kind, and reads no rows. `booktape verify`
        checks the content.
        """
        check_files(self._archive)

    def symbols(self) -> list[str]:
        """The recorded symbols, by name."""
        return known_symbols(self._archive, self._archive.unsealed() if self._unsealed else [])

    def coverage(self) -> list[Coverage]:
        """For each symbol: rows, first and last time, the time lost, and why."""
        return coverage(self._archive, unsealed=self._unsealed)

    def gaps(self, symbol: str | None = None) -> pa.Table:
        """Every interval in which a book was not known, once. `end_time` is null while it is open."""
        return gap_table(self._archive, symbol, unsealed=self._unsealed)

    def checks(self) -> pa.Table:
        """Every comparison of a book with an independent witness, passed or failed."""
        return table(self._archive, "checks", unsealed=self._unsealed)

    def notes(self) -> pa.Table:
        """Events that are not gaps: the status of a symbol, a step of our clock."""
        return table(self._archive, "notes", unsealed=self._unsealed)

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
        return Snapshots(self._archive, query, unsealed=self._unsealed)

    def at(self, symbol: str, time: Moment, *, depth: int | None = None) -> Book:
        """The book after the last event received until `time`, that one included.

        Its `receive_time` is the time of that event. Raises BookNotKnown in a gap, and before and after
        everything recorded.
        """
        query = _query(symbol, None, None, depth)
        return book_at(
            self._archive, query.symbol, moment_us(time), query.depth, unsealed=self._unsealed
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
        return replay(self._archive, query, unsealed=self._unsealed)


def _query(symbol: str, start: Moment | None, end: Moment | None, depth: int | None) -> RowQuery:
    if depth is not None and depth < 1:
        raise UsageError(
            f"depth={depth} is not a valid number of levels. Write 1 or more, or leave it out."
        )
    return RowQuery(
        symbol,
        None if start is None else moment_us(start),
        None if end is None else moment_us(end),
        depth,
    )
