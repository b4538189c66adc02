"""The files of an archive: in a folder, in a bucket, or on any file system that pyarrow has.

In a bucket only segments that have a manifest are read: the others may still be on their way.

A file that cannot be read does not stop the others from being read. It is skipped, named in
`ArchiveFiles.damaged`, and reported by a warning.
"""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike, fspath
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from booktape.errors import (
    Damaged,
    DamagedFile,
    DamagedTape,
    FolderNotShared,
    NotRecorded,
    TapesRemoved,
)
from booktape.processes.descriptors import refuse_used_up
from booktape.store.bucket_reading import (
    ObjectFile,
    bucket_errors,
    bucket_name,
    map_requests,
    open_bucket,
)
from booktape.store.extents import GroupExtent, group_extents
from booktape.store.layout import (
    TABLE,
    TAPE,
    Layout,
    Segment,
    is_symbol_folder,
    symbol_folder,
    symbol_of,
)
from booktape.store.lineage import Beginning, Lineage
from booktape.store.opening import open_file
from booktape.store.parquet_reader import parquet_errors
from booktape.store.schema import GAPS, TABLES
from booktape.store.small_table import read_table
from booktape.store.tape_reader import read_beginning, read_carried_over
from booktape.store.target import check_is_utf8

_MANIFESTS: Final = "manifests"


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of one segment. `changed_ns` is when it was last changed, if the file system records that."""

    segment: Segment
    path: str
    bytes: int
    changed_ns: int | None = field(default=None, repr=False)


class ArchiveFiles:
    """The files of one archive. Each call lists them again, because a recorder may be writing.

    Only the beginnings of tapes, the extents of files of rows, and the gaps are cached, until the file changes.
    `damaged` has the reason for each file that could not be read so far, `lacks` a sentence for tapes that were needed
    and had been removed on purpose. With `only`, the archive appears to have no other segment, and no warning is given:
    the caller reports the damage. With `unsealed=False`, only sealed rows are read.
    """

    def __init__(
        self,
        root: str,
        filesystem: FileSystem,
        only: Segment | None = None,
        *,
        unsealed: bool = True,
    ) -> None:
        self.root = root
        self.filesystem = filesystem
        self.only = only
        self._reads_unsealed = unsealed
        self.layout = Layout(Path(root))
        self.damaged: dict[str, str] = {}
        self.lacks: list[str] = []
        self._extents: dict[ArchiveFile, tuple[GroupExtent, ...]] = {}
        self._beginnings: dict[ArchiveFile, Beginning] = {}
        self._gaps: dict[ArchiveFile, pa.Table] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """For another process: without the caches."""
        opened = partial(ArchiveFiles, unsealed=self._reads_unsealed)
        return opened, (self.root, self.filesystem, self.only)

    @property
    def is_bucket(self) -> bool:
        """Whether each read is a request to an object store."""
        return bucket_name(self.filesystem, self.root) is not None

    @property
    def name(self) -> str:
        """The folder or the address, for messages to the user."""
        return bucket_name(self.filesystem, self.root) or self.root

    @classmethod
    def find(
        cls,
        where: str | PathLike[str],
        filesystem: FileSystem | None = None,
        *,
        unsealed: bool = True,
    ) -> ArchiveFiles:
        """Raises UsageError if the address cannot be opened, NotRecorded if nothing was recorded there, BucketError."""
        text = root = fspath(where)
        if filesystem is None and "://" in text:
            filesystem, root = open_bucket(text)
        elif filesystem is None:
            filesystem, root = LocalFileSystem(), str(Path(text).absolute())
            check_is_utf8(root)
        found = cls(root, filesystem, unsealed=unsealed)
        parts = [f"{root}/{part}" for part in ("snapshots", "tape", "unsealed")]
        if all(info.type == FileType.NotFound for info in found._infos(parts)):
            raise NotRecorded(f"{text} holds no recording. Make one with: booktape record BTCUSDT")
        return found

    def symbols(self) -> list[str]:
        """The symbols that have sealed rows."""
        return sorted(
            symbol_of(info.base_name)
            for info in self._list("snapshots")
            if info.type == FileType.Directory
            and is_symbol_folder(info.base_name)
            and (self.only is None or self.rows(symbol_of(info.base_name)))
        )

    def rows(self, symbol: str) -> list[ArchiveFile]:
        """The sealed files of one symbol's rows, oldest first."""
        return self._files(f"snapshots/{symbol_folder(symbol)}", TABLE)

    def trades(self, symbol: str) -> list[ArchiveFile]:
        """The sealed files of one symbol's trades, oldest first."""
        return self._files(f"trades/{symbol_folder(symbol)}", TABLE)

    def tables(self, name: str) -> list[ArchiveFile]:
        """The sealed files of one of the small tables, oldest first."""
        return self._files(name, TABLE)

    def tapes(self) -> list[ArchiveFile]:
        """The sealed tapes, oldest first."""
        return self._files("tape", TAPE)

    def undamaged(self, files: Iterable[ArchiveFile]) -> list[ArchiveFile]:
        """Those of these files of which no damage was found so far."""
        return [file for file in files if file.path not in self.damaged]

    def on_the_way(self) -> list[Segment]:
        """The segments of a bucket that have a tape but no manifest yet, oldest first."""
        whole = self._whole_segments()
        infos = [] if whole is None else self._list("tape", recursive=True)
        found = {Segment.parse(info.base_name, TAPE) for info in infos}
        return sorted(one for one in found if one and one not in (whole or ()))

    def manifests(self) -> list[ArchiveFile]:
        """The manifests of the sealed segments, oldest first."""
        return self._files(_MANIFESTS, ".json")

    def removals(self) -> list[ArchiveFile]:
        """The receipts of segments removed on purpose, oldest first."""
        return self._files("removed", ".json")

    def unsealed(self) -> list[ArchiveFile]:
        """The unsealed tapes, oldest first: being written, being recovered, or waiting for recovery."""
        if self.only:
            return []
        found: dict[Segment, ArchiveFile] = {}
        for info in self._list("unsealed", recursive=True):
            segment = Segment.parse(info.path.split("/")[-2])
            if not segment or info.type != FileType.File:
                continue
            # Recovery renames `tape` to `torn`.
            names = {f"tape{TAPE}", f"torn{TAPE}"}
            if info.base_name in names and self._stands_in(info, "unsealed", segment.name):
                found[segment] = ArchiveFile(segment, info.path, info.size, info.mtime_ns)
        return [found[segment] for segment in sorted(found)]

    def tail(self) -> list[ArchiveFile]:
        """The unsealed tapes from which rows are computed."""
        return self.unsealed() if self._reads_unsealed else []

    def with_tail(
        self, sealed: Callable[[], list[ArchiveFile]]
    ) -> tuple[list[ArchiveFile], list[ArchiveFile]]:
        """The sealed files of one kind, and the unsealed tapes whose segment has no such file."""
        # Unsealed tapes are listed first, so that a segment that is sealed between the two listings is not missed.
        tapes, files = self.tail(), sealed()
        done = {file.segment for file in files}
        return files, [tape for tape in tapes if tape.segment not in done]

    def check_seen(self, file: ArchiveFile) -> None:
        """Raises FolderNotShared unless this machine sees the file as the machine that listed it did.

        A bucket is the same for every machine.
        """
        if not self.is_bucket and self.filesystem.get_file_info(file.path).size != file.bytes:
            raise FolderNotShared(socket.gethostname(), file.path)

    def open(self, file: ArchiveFile) -> pa.NativeFile:
        """Open a file for random access. Raises OSError, also if it is not a regular file: a FIFO may never end.

        A failure of a bucket raises BucketError, also later while the file is read.
        """
        if isinstance(self.filesystem, LocalFileSystem):
            open_file(Path(file.path)).close()
        if self.is_bucket:
            opened = ObjectFile(self.filesystem, file.path, file.bytes)
            return pa.PythonFile(opened, mode="r")
        return self.filesystem.open_input_file(file.path)

    def open_tape(self, tape: ArchiveFile) -> IO[bytes]:
        """Open a tape for reading from its beginning, even if it was sealed after it was listed.

        Raises OSError (FileNotFoundError if it is gone) or BucketError.
        """
        # Both behave like a Python file, but have other types.
        if self.is_bucket:
            opened = ObjectFile(self.filesystem, tape.path, tape.bytes, in_order=True)
            return cast("IO[bytes]", opened)
        try:
            return cast("IO[bytes]", self.open(tape))
        except FileNotFoundError:
            sealed = replace(tape, path=self.layout.tape(tape.segment).as_posix())
            return cast("IO[bytes]", self.open(sealed))

    def extents(self, file: ArchiveFile) -> tuple[GroupExtent, ...]:
        """The extents of the row groups of a file of rows; none if it cannot be read."""
        if file not in self._extents:
            with self.skip_damaged(file.path), self.open(file) as opened:
                self._extents[file] = group_extents(pq.read_metadata(opened))
        return self._extents.get(file, ())

    def read_tables(self, name: str, files: Sequence[ArchiveFile]) -> pa.Table:
        """The rows of those files of a small table that can be read."""
        schema = TABLES[name].schema
        found = [schema.empty_table()]
        for file in files:
            with self.skip_damaged(file.path), self.open(file) as opened:
                found.append(read_table(opened, schema))
        return pa.concat_tables(found)

    def sealed_gaps(self) -> pa.Table:
        """The rows of all files of gaps. Nearly every query needs them, so each file is read only once."""
        files = self.tables("gaps")
        for file in files:
            if file not in self._gaps:
                with self.skip_damaged(file.path), self.open(file) as opened:
                    self._gaps[file] = read_table(opened, GAPS)
        known = [self._gaps[file] for file in files if file in self._gaps]
        return pa.concat_tables([GAPS.empty_table(), *known])

    def lineage(self, tapes: Iterable[ArchiveFile]) -> Lineage:
        """The order in which these tapes were recorded."""
        by_segment = {tape.segment: tape for tape in tapes}
        each = map_requests if self.is_bucket else map
        begun = list(each(self._beginning, by_segment.values()))
        return Lineage(begun, lambda segment: self._carried_over(by_segment[segment]))

    def _beginning(self, tape: ArchiveFile) -> Beginning:
        if tape not in self._beginnings:
            self._beginnings[tape] = Beginning.unknown(tape.segment)
            # A damaged tape is reported when its content is needed.
            with suppress(DamagedTape, OSError), self.open_tape(tape) as file:
                self._beginnings[tape] = read_beginning(tape.segment, file)
        return self._beginnings[tape]

    def _carried_over(self, tape: ArchiveFile) -> frozenset[str]:
        with suppress(DamagedTape, OSError), self.open_tape(tape) as file:
            return read_carried_over(file)
        return frozenset()

    @contextmanager
    def skip_damaged(self, path: str) -> Iterator[None]:
        """Report a file that cannot be read, once, as a DamagedFile warning, and continue after the block.

        Raises TooFewDescriptors or MemoryError if the machine is the cause, not the file.
        """
        try:
            with parquet_errors():
                yield
        except (OSError, Damaged) as error:
            refuse_used_up(error)
            first, *_ = str(error).split(". ")
            self.report_damage(path, first.replace(f"{path} ", "it ").strip("."))

    def report_damage(self, path: str, why: str) -> None:
        """Report a file that cannot be read or is missing, once."""
        if path not in self.damaged:
            self.damaged[path] = why
            if self.only:
                return
            # 3 skips the frames of this module. No line of the caller would be more useful.
            warnings.warn(DamagedFile(path, why), stacklevel=3)

    def report_lack(self, sentence: str) -> None:
        """Report tapes that were removed on purpose, once."""
        if sentence not in self.lacks:
            self.lacks.append(sentence)
            if not self.only:
                warnings.warn(TapesRemoved(sentence), stacklevel=3)

    def _files(self, folder: str, suffix: str) -> list[ArchiveFile]:
        if self.only:
            path = f"{self.root}/{folder}/{self.only.date}/{self.only.name}{suffix}"
            infos = self._infos([path])
        else:
            infos = self._list(folder, recursive=True)
        found = []
        whole = self._whole_segments() if folder != _MANIFESTS else None
        for info in infos:
            segment = Segment.parse(info.base_name, suffix)
            if info.type != FileType.File or not segment:
                continue
            if whole is not None and segment not in whole:
                continue
            if self._stands_in(info, folder, segment.date):
                found.append(ArchiveFile(segment, info.path, info.size, info.mtime_ns))
        return sorted(found, key=lambda file: file.segment)

    def _whole_segments(self) -> frozenset[Segment] | None:
        """The segments that have all their files. None in a folder, where a sealed tape shows that.

        In a bucket the manifest is put last (ship/shipper.py).
        """
        if isinstance(self.filesystem, LocalFileSystem):
            return None
        return frozenset(manifest.segment for manifest in self.manifests())

    def _stands_in(self, info: pa.fs.FileInfo, folder: str, below: str) -> bool:
        """Whether a recorder would put the file in this folder. Files elsewhere are not part of the archive."""
        return PurePosixPath(info.path).parent == PurePosixPath(self.root, folder, below)

    def _list(self, folder: str, *, recursive: bool = False) -> list[pa.fs.FileInfo]:
        selector = FileSelector(f"{self.root}/{folder}", allow_not_found=True, recursive=recursive)
        return [info for info in self._infos(selector) if _is_named(info)]

    def _infos(self, asked: FileSelector | list[str]) -> list[pa.fs.FileInfo]:
        with bucket_errors(self.filesystem, self.root):
            return self.filesystem.get_file_info(asked)


def _is_named(info: pa.fs.FileInfo) -> bool:
    """Whether its name is UTF-8. Recorders write no other names, and Arrow raises an error for any other."""
    try:
        return bool(info.path)
    except UnicodeDecodeError:
        return False
