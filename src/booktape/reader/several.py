"""Several archives read as one, and `booktape.open`, which opens one or several."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TypeAlias, TypeVar, overload

import pyarrow as pa
from pyarrow.fs import FileSystem

from booktape.errors import CannotMerge, NotRecorded, UsageError
from booktape.processes.task_map import Workers
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.coverage import Coverage
from booktape.reader.recording import Recording, SymbolQueries
from booktape.reader.times import Moment

T = TypeVar("T")

Where: TypeAlias = str | PathLike[str]
SeveralWheres: TypeAlias = list[str] | list[Path] | tuple[Where, ...]


@overload
def open_recordings(
    where: Where, *, filesystem: FileSystem | None = None, unsealed: bool = True
) -> Recording: ...


@overload
def open_recordings(
    where: SeveralWheres, *, filesystem: FileSystem | None = None, unsealed: bool = True
) -> SeveralRecordings: ...


def open_recordings(
    where: Where | SeveralWheres,
    *,
    filesystem: FileSystem | None = None,
    unsealed: bool = True,
) -> Recording | SeveralRecordings:
    """Open the recording in a folder, or at `s3://bucket/prefix` (any URI that pyarrow accepts).

    Several of them are read as one, if each has symbols of its own, as shards do. With a `filesystem` of pyarrow,
    `where` is a path in it. `unsealed`: whether rows that a running (or killed) recorder has not sealed yet are
    computed from its tape. Raises NotRecorded if nothing was recorded, CannotMerge for a symbol that is in two of them.
    """
    if isinstance(where, str | PathLike):
        return Recording(ArchiveFiles.find(where, filesystem, unsealed=unsealed))
    if not where:
        raise UsageError("There is no archive to open. Name one or more.")
    parts = [open_recordings(each, filesystem=filesystem, unsealed=unsealed) for each in where]
    return SeveralRecordings({part.root: part for part in parts})


class SeveralRecordings(SymbolQueries):
    """Recordings of different symbols, read as one: shards of one market, say. It has what a `Recording` has.

    `parts` has each by its folder. Every call lists the files again, so their recorders may still be running.
    """

    def __init__(self, parts: Mapping[str, Recording]) -> None:
        self.parts = dict(parts)
        self._by_symbol()

    def __repr__(self) -> str:
        return f"<booktape recordings {', '.join(self.parts)}>"

    @property
    def damaged(self) -> dict[str, str]:
        """Files that could not be read so far, and why, of all parts."""
        return {path: why for part in self.parts.values() for path, why in part.damaged.items()}

    @property
    def lacks(self) -> list[str]:
        """Sentences on tapes that were needed so far and had been removed on purpose, of all parts."""
        return [sentence for part in self.parts.values() for sentence in part.lacks]

    def check_files(self) -> None:
        """Check every sealed file of every part."""
        for part in self.parts.values():
            part.check_files()

    def segments(self, start: Moment | None = None, end: Moment | None = None) -> list[Recording]:
        """Each sealed segment of each part that may have records of that time, as a recording of its own."""
        return [each for part in self.parts.values() for each in part.segments(start, end)]

    def map_segments(
        self,
        fn: Callable[[Recording], T],
        start: Moment | None = None,
        end: Moment | None = None,
        *,
        workers: Workers,
    ) -> dict[str, T]:
        """`booktape.map_segments` over one part after the other. Segments of two recorders have different names."""
        found: dict[str, T] = {}
        for part in self.parts.values():
            found |= part.map_segments(fn, start, end, workers=workers)
        return found

    def symbols(self) -> list[str]:
        """The symbols of all parts, by name."""
        return sorted(self._by_symbol())

    def coverage(self) -> list[Coverage]:
        """For each symbol: rows, first and last time, the time lost, and why."""
        found = [each for part in self.parts.values() for each in part.coverage()]
        return sorted(found, key=lambda each: each.symbol)

    def gaps(self, symbol: str | None = None) -> pa.Table:
        """Every interval in which a book was not known, once, earliest first."""
        if symbol is not None:
            return self._part_of(symbol).gaps(symbol)
        tables = [part.gaps() for part in self.parts.values()]
        return pa.concat_tables(tables).sort_by(
            [("start_time", "ascending"), ("symbol", "ascending")]
        )

    def checks(self) -> pa.Table:
        """Every comparison of a book with an independent witness, earliest first."""
        return pa.concat_tables([part.checks() for part in self.parts.values()]).sort_by("time")

    def notes(self) -> pa.Table:
        """Events that are not gaps, earliest first. What concerned a machine stands there once for each of them."""
        return pa.concat_tables([part.notes() for part in self.parts.values()]).sort_by("time")

    def trade_gaps(self, symbol: str | None = None) -> pa.Table:
        """Trades that are missing for good, by ranges of ids."""
        if symbol is not None:
            return self._part_of(symbol).trade_gaps(symbol)
        return pa.concat_tables([part.trade_gaps() for part in self.parts.values()]).sort_by("time")

    def _archive_of(self, symbol: str) -> ArchiveFiles:
        return self._part_of(symbol)._archive  # noqa: SLF001 of the same family

    def _part_of(self, symbol: str) -> Recording:
        """The part that has the symbol. Raises NotRecorded."""
        found = self._by_symbol()
        if symbol not in found:
            there = textwrap.shorten(", ".join(sorted(found)), 80, placeholder=" …")
            raise NotRecorded(
                f"None of these archives has data for {symbol}. They have: {there or 'none'}."
            )
        return self.parts[found[symbol]]

    def _by_symbol(self) -> dict[str, str]:
        """The part of each symbol. Raises CannotMerge where two have one: which of its books counts is not known."""
        found: dict[str, str] = {}
        for root, part in self.parts.items():
            for symbol in part.symbols():
                if symbol in found:
                    raise CannotMerge(
                        f"{symbol} is in {found[symbol]} and in {root}. Make one archive of them first: "
                        f"booktape merge {found[symbol]} {root} --out DIR"
                    )
                found[symbol] = root
        return found
