"""Several archives read as one, and `booktape.open`, which opens one or several."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TypeAlias, overload

from pyarrow.fs import FileSystem

from booktape.errors import CannotMerge, NotRecorded, UsageError
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.recording import Recording, RecordingQueries

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

    Several recordings are read as one if no two have the same symbol, as with shards. With a pyarrow `filesystem`,
    `where` is a path in it. `unsealed`: whether rows that a running (or killed) recorder has not sealed yet are
    computed from its tape. Raises NotRecorded if nothing was recorded, CannotMerge if two of them have the same symbol.
    """
    if isinstance(where, str | PathLike):
        return Recording(ArchiveFiles.find(where, filesystem, unsealed=unsealed))
    if not where:
        raise UsageError("There is no archive to open. Name one or more.")
    return SeveralRecordings(
        [ArchiveFiles.find(each, filesystem, unsealed=unsealed) for each in where]
    )


class SeveralRecordings(RecordingQueries):
    """Recordings of different symbols, read as one, such as shards of one market. It has the queries of a `Recording`.

    `parts` has each recording by its folder. Every call lists the files again, so the recorders may still be running.
    """

    def __init__(self, archives: Sequence[ArchiveFiles]) -> None:
        by_root = {archive.root: archive for archive in archives}
        super().__init__(list(by_root.values()))
        self.parts = {root: Recording(archive) for root, archive in by_root.items()}
        self._by_symbol()

    def __repr__(self) -> str:
        return f"<booktape recordings {', '.join(self.parts)}>"

    def symbols(self) -> list[str]:
        """The symbols of all parts, by name."""
        return sorted(self._by_symbol())

    def _archive_of(self, symbol: str) -> ArchiveFiles:
        """Raises NotRecorded if no part has the symbol."""
        found = self._by_symbol()
        if symbol not in found:
            there = textwrap.shorten(", ".join(sorted(found)), 80, placeholder=" …")
            raise NotRecorded(
                f"None of these archives has data for {symbol}. They have: {there or 'none'}."
            )
        return found[symbol]

    def _by_symbol(self) -> dict[str, ArchiveFiles]:
        """The archive of each symbol. Raises CannotMerge if two archives have a symbol: it is unclear whose book counts."""
        found: dict[str, ArchiveFiles] = {}
        for archive in self._archives:
            for symbol in self.parts[archive.root].symbols():
                if symbol in found:
                    first = found[symbol].root
                    raise CannotMerge(
                        f"{symbol} is in {first} and in {archive.root}. Make one archive of them first: "
                        f"booktape merge {first} {archive.root} --out DIR"
                    )
                found[symbol] = archive
        return found
