"""Where an archive stands: a folder, a bucket, or any file system that pyarrow knows."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from booktape.errors import NotRecorded, UsageError
from booktape.store.layout import TABLE, TAPE, Layout, Segment, symbol_of


@dataclass(frozen=True, slots=True)
class File:
    """One file of one segment."""

    segment: Segment
    path: str
    bytes: int


class Place:
    """The files of one archive. Nothing is remembered: a recorder may be at work in it."""

    def __init__(self, root: str, filesystem: FileSystem) -> None:
        self.root = root
        self.filesystem = filesystem
        self.layout = Layout(Path(root))

    @classmethod
    def find(cls, where: str | PathLike[str], filesystem: FileSystem | None = None) -> Place:
        """Raises UsageError for an address that no file system has, NotRecorded for an empty one."""
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
            if info.type == FileType.Directory and info.base_name.startswith("symbol=")
        )

    def rows(self, folder: str) -> list[File]:
        """The sealed files of one symbol's rows, oldest first; `folder` is `symbol=BTCUSDT`."""
        return self._files(f"snapshots/{folder}", TABLE)

    def tables(self, name: str) -> list[File]:
        """The sealed files of `gaps`, `checks` or `notes`, oldest first."""
        return self._files(name, TABLE)

    def tapes(self) -> list[File]:
        """The sealed tapes, oldest first."""
        return self._files("tape", TAPE)

    def unsealed(self) -> list[File]:
        """The tapes that are being written, recovered, or wait for it, oldest first."""
        found: dict[Segment, File] = {}
        for info in self._list("unsealed", recursive=True):
            segment = Segment.parse(info.path.split("/")[-2])
            # `tape` has become `torn` while a dead recorder's rows are recovered.
            if segment and info.base_name in {f"tape{TAPE}", f"torn{TAPE}"}:
                found[segment] = File(segment, info.path, info.size)
        return [found[segment] for segment in sorted(found)]

    def open(self, path: str) -> pa.NativeFile:
        """For random access. Raises FileNotFoundError."""
        return self.filesystem.open_input_file(path)

    def open_tape(self, tape: File) -> pa.NativeFile:
        """A tape, also when it was sealed since it was listed. Raises FileNotFoundError."""
        try:
            return self.open(tape.path)
        except FileNotFoundError:
            return self.open(self.layout.tape(tape.segment).as_posix())

    def _files(self, folder: str, suffix: str) -> list[File]:
        found = []
        for info in self._list(folder, recursive=True):
            segment = Segment.parse(info.base_name, suffix)
            if info.type == FileType.File and segment:
                found.append(File(segment, info.path, info.size))
        return sorted(found, key=lambda file: file.segment)

    def _list(self, folder: str, *, recursive: bool = False) -> list[pa.fs.FileInfo]:
        selector = FileSelector(f"{self.root}/{folder}", allow_not_found=True, recursive=recursive)
        return self.filesystem.get_file_info(selector)
