"""Where an archive stands: a folder, a bucket, or any file system that pyarrow knows.

A file that cannot be read hides no other one: it is named, in `ArchiveFiles.damaged` and by a warning, and
left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from booktape.descriptors import refuse_used_up
from booktape.errors import (
    DamagedFile,
    DamagedTape,
    NotRecorded,
    UsageError,
)
from booktape.store.extents import GroupExtent, group_extents
from booktape.store.layout import TABLE, TAPE, Layout, Segment, is_symbol_folder, symbol_of
from booktape.store.lineage import Beginning, Lineage
from booktape.store.opening import open_file
from booktape.store.tape_reader import read_beginning, read_taken_over
from booktape.store.target import check_is_utf8

_UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, DamagedTape)
"""All that a file raises which is gone, forbidden, cut, or not what was written."""


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of one segment. `changed_ns`: when it was last written to, if the file system says."""

    segment: Segment
    path: str
    bytes: int
    changed_ns: int | None = field(default=None, repr=False)


class ArchiveFiles:
    """The files of one archive. They are listed anew each time: a recorder may be at work in it.

    Only how a file begins and how far it reaches is remembered, until the file changes. `damaged` says of each
    file that could not be read why, since this was made.
    """

    def __init__(self, root: str, filesystem: FileSystem) -> None:
        self.root = root
        self.filesystem = filesystem
        self.layout = Layout(Path(root))
        self.damaged: dict[str, str] = {}
        self._extents: dict[ArchiveFile, tuple[GroupExtent, ...]] = {}
        self._beginnings: dict[ArchiveFile, Beginning] = {}

    @classmethod
    def find(cls, where: str | PathLike[str], filesystem: FileSystem | None = None) -> ArchiveFiles:
        """Raises UsageError for an address that no file system has, or Arrow; NotRecorded for an empty one."""
        text = fspath(where)
        if filesystem is not None:
            place = cls(text, filesystem)
        elif "://" in text:
            try:
                found, root = FileSystem.from_uri(text)
            except (OSError, pa.ArrowInvalid) as error:
                raise UsageError(f"{text} cannot be opened: {error}") from error
            place = cls(root, found)
        else:
            place = cls(str(Path(text).absolute()), LocalFileSystem())
            check_is_utf8(place.root)
        place.check(text)
        return place

    def check(self, name: str) -> None:
        """Whether something was ever recorded here."""
        parts = ("snapshots", "tape", "unsealed")
        found = self.filesystem.get_file_info([f"{self.root}/{part}" for part in parts])
        if all(info.type == FileType.NotFound for info in found):
            raise NotRecorded(f"{name} holds no recording. Make one with: booktape record BTCUSDT")

    def symbols(self) -> list[str]:
        """Those that have sealed rows."""
        return sorted(
            symbol_of(info.base_name)
            for info in self._list("snapshots")
            if info.type == FileType.Directory and is_symbol_folder(info.base_name)
        )

    def rows(self, folder: str) -> list[ArchiveFile]:
        """The sealed files of one symbol's rows, oldest first; `folder` is `symbol=BTCUSDT`."""
        return self._files(f"snapshots/{folder}", TABLE)

    def tables(self, name: str) -> list[ArchiveFile]:
        """The sealed files of `gaps`, `checks` or `notes`, oldest first."""
        return self._files(name, TABLE)

    def tapes(self) -> list[ArchiveFile]:
        """The sealed tapes, oldest first."""
        return self._files("tape", TAPE)

    def manifests(self) -> list[ArchiveFile]:
        """Those of the sealed segments, oldest first."""
        return self._files("manifests", ".json")

    def unsealed(self) -> list[ArchiveFile]:
        """The tapes that are being written, recovered, or wait for it, oldest first."""
        found: dict[Segment, ArchiveFile] = {}
        for info in self._list("unsealed", recursive=True):
            segment = Segment.parse(info.path.split("/")[-2])
            if not segment or info.type != FileType.File:
                continue
            # `tape` has become `torn` while a dead recorder's rows are recovered.
            names = {f"tape{TAPE}", f"torn{TAPE}"}
            if info.base_name in names and self._stands_in(info, "unsealed", segment.name):
                found[segment] = ArchiveFile(segment, info.path, info.size, info.mtime_ns)
        return [found[segment] for segment in sorted(found)]

    def open(self, path: str) -> pa.NativeFile:
        """For random access. Raises OSError, also for what is no regular file, which might never end."""
        if isinstance(self.filesystem, LocalFileSystem):
            open_file(Path(path)).close()
        return self.filesystem.open_input_file(path)

    def open_tape(self, tape: ArchiveFile) -> pa.NativeFile:
        """A tape, also when it was sealed since it was listed. Raises FileNotFoundError."""
        try:
            return self.open(tape.path)
        except FileNotFoundError:
            return self.open(self.layout.tape(tape.segment).as_posix())

    def extents(self, file: ArchiveFile) -> tuple[GroupExtent, ...]:
        """How far each row group of a file of rows reaches; none where it cannot be read."""
        if file not in self._extents:
            with self.reading(file.path), self.open(file.path) as opened:
                self._extents[file] = group_extents(pq.read_metadata(opened))
        return self._extents.get(file, ())

    def lineage(self, tapes: Iterable[ArchiveFile]) -> Lineage:
        """In which order these tapes were recorded."""
        by_segment = {tape.segment: tape for tape in tapes}
        begun = [self._beginning(tape) for tape in by_segment.values()]
        return Lineage(begun, lambda segment: self._taken_over(by_segment[segment]))

    def _beginning(self, tape: ArchiveFile) -> Beginning:
        if tape not in self._beginnings:
            self._beginnings[tape] = Beginning.unknown(tape.segment)
            # Whoever needs what a damaged tape holds names it.
            with suppress(DamagedTape, OSError), self.open_tape(tape) as file:
                # A file of pyarrow behaves like one of Python's, but is none by its type.
                found = read_beginning(tape.segment, cast("IO[bytes]", file))
                self._beginnings[tape] = found
        return self._beginnings[tape]

    def _taken_over(self, tape: ArchiveFile) -> frozenset[str]:
        with suppress(DamagedTape, OSError), self.open_tape(tape) as file:
            return read_taken_over(cast("IO[bytes]", file))
        return frozenset()

    @contextmanager
    def reading(self, path: str) -> Iterator[None]:
        """What a file raises that cannot be read is said once, as a DamagedFile warning; then go on.

        Raises TooFewDescriptors, or a MemoryError, where it is the machine that lacks something.
        """
        try:
            yield
        except _UNREADABLE as error:
            refuse_used_up(error)
            if isinstance(error, MemoryError):
                raise
            first, *_ = str(error).split(". ")
            self.report_damage(path, first.replace(f"{path} ", "it ").strip("."))

    def report_damage(self, path: str, why: str) -> None:
        """Name a file that cannot be read, or that is missing."""
        if path not in self.damaged:
            self.damaged[path] = why
            # 3: the line of ours that has met the file is of no interest, and there is no better one.
            warnings.warn(DamagedFile(path, why), stacklevel=3)

    def _files(self, folder: str, suffix: str) -> list[ArchiveFile]:
        found = []
        for info in self._list(folder, recursive=True):
            segment = Segment.parse(info.base_name, suffix)
            if info.type != FileType.File or not segment:
                continue
            if self._stands_in(info, folder, segment.date):
                found.append(ArchiveFile(segment, info.path, info.size, info.mtime_ns))
        return sorted(found, key=lambda file: file.segment)

    def _stands_in(self, info: pa.fs.FileInfo, folder: str, below: str) -> bool:
        """Whether a recorder would have put it exactly there: what lies deeper, or elsewhere, is not ours."""
        return PurePosixPath(info.path).parent == PurePosixPath(self.root, folder, below)

    def _list(self, folder: str, *, recursive: bool = False) -> list[pa.fs.FileInfo]:
        selector = FileSelector(f"{self.root}/{folder}", allow_not_found=True, recursive=recursive)
        return [info for info in self.filesystem.get_file_info(selector) if _is_named(info)]


def _is_named(info: pa.fs.FileInfo) -> bool:
    """Whether its name is UTF-8. No recorder gives any other, and Arrow raises when asked for it."""
    try:
        return bool(info.path)
    except UnicodeDecodeError:
        return False
