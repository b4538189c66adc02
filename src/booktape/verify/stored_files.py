"""Where the files of an archive are: in a folder, or in a bucket, of which segments are fetched one at a time."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, NamedTuple, TypeAlias, TypeVar, cast

from pyarrow.fs import FileSystem

from booktape.errors import Damaged, FolderNotShared
from booktape.processes.descriptors import refuse_used_up
from booktape.store.bucket_reading import (
    ListedObject,
    ObjectFile,
    bucket_name,
    fetch,
    list_objects,
    map_requests,
    open_bucket,
)
from booktape.store.layout import SMALL_TABLES
from booktape.store.opening import open_file
from booktape.store.temporary_folder import temporary_folder
from booktape.verify.findings import Findings

T = TypeVar("T")
U = TypeVar("U")

FOLDERS: Final = ("tape", "snapshots", "trades", "manifests", *SMALL_TABLES)
"""All folders in which a segment has files."""

LISTED: Final = tuple(dict.fromkeys(("manifests", *FOLDERS, "unsealed", "removed")))
"""Manifests come first: if its manifest is listed, a segment is complete in the bucket, so later listings have all of it."""


class EntryType(Enum):
    """The type of an entry of a folder."""

    FILE = 1
    FOLDER = 2
    LINK = 3
    OTHER = 4


class Entry(NamedTuple):
    """An entry of a folder."""

    name: str
    type: EntryType


class FolderFiles:
    """The files below a folder. Names are relative to it."""

    is_bucket: Final = False

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def name(self) -> str:
        """For people."""
        return str(self._root)

    def entries(self, folder: str) -> list[Entry]:
        """All entries of a folder; none if there is no such folder. Raises OSError."""
        try:
            with os.scandir(self._root / folder) as found:
                return [Entry(entry.name, _type_of(entry)) for entry in found]
        except FileNotFoundError:
            return []

    def open(self, file: str) -> IO[bytes]:
        """Open a file. Raises OSError, also if it is not a regular file."""
        return open_file(self._root / file)

    def bytes_of(self, file: str) -> int:
        """The size of a file."""
        return (self._root / file).stat().st_size

    def stamp(self, file: str) -> list[int | None] | None:
        """Values that change when the file does: its size and its time of change. None if they are unknown."""
        try:
            found = os.lstat(self._root / file)
        except OSError:
            return None
        return [found.st_size, found.st_mtime_ns]

    def of(self, _files: Iterable[str]) -> FolderFiles:
        """The same files for a worker, which may have another current folder."""
        return FolderFiles(self._root.absolute())

    @contextmanager
    def at_hand(self, files: Iterable[str]) -> Iterator[Path]:
        """The folder itself. Raises FolderNotShared on a machine that has none of these files."""
        paths = [self._root / file for file in files]
        if not any(path.exists() for path in paths):
            raise FolderNotShared(socket.gethostname(), str(paths[0]))
        yield self._root

    @staticmethod
    def map(function: Callable[[T], U], items: Iterable[T]) -> list[U]:
        """Call a function with each item. The function reads a little of a file."""
        return [function(item) for item in items]


def _type_of(entry: os.DirEntry[str]) -> EntryType:
    if entry.is_symlink():
        return EntryType.LINK
    if entry.is_dir(follow_symlinks=False):
        return EntryType.FOLDER
    return EntryType.FILE if entry.is_file(follow_symlinks=False) else EntryType.OTHER


class BucketFiles:
    """The objects below an address, as they were listed once. All methods but `entries` raise BucketError."""

    is_bucket: Final = True
    map = staticmethod(map_requests)

    def __init__(
        self, filesystem: FileSystem, root: str, objects: Mapping[str, ListedObject | None]
    ) -> None:
        self._filesystem = filesystem
        self._root = root
        self._objects = objects
        self._folders: dict[str, dict[str, EntryType]] = {}
        for name, found in objects.items():
            self._add(name, EntryType.FILE if found else EntryType.FOLDER)

    def _add(self, name: str, kind: EntryType) -> None:
        """Add an entry and the folders above it, which need not be objects."""
        while name:
            folder, _, own = name.rpartition("/")
            entries = self._folders.setdefault(folder, {})
            if own in entries:
                return
            entries[own] = kind
            name, kind = folder, EntryType.FOLDER

    @classmethod
    def listed(cls, address: str) -> BucketFiles:
        """List the objects below an address such as `s3://bucket/prefix`. Raises UsageError, BucketError."""
        filesystem, root = open_bucket(address)
        objects = {
            name: found
            for folder in LISTED
            for name, found in list_objects(filesystem, root, folder)
        }
        return cls(filesystem, root, objects)

    @property
    def name(self) -> str:
        """For people."""
        return bucket_name(self._filesystem, self._root) or self._root

    def entries(self, folder: str) -> list[Entry]:
        """All entries of a folder; none if there is no such folder."""
        found = self._folders.get(folder, {})
        return [Entry(name, kind) for name, kind in found.items()]

    def open(self, file: str) -> IO[bytes]:
        """Open an object, to be read from its beginning on."""
        path = f"{self._root}/{file}"
        opened = ObjectFile(self._filesystem, path, self.bytes_of(file), in_order=True)
        return cast("IO[bytes]", opened)

    def bytes_of(self, file: str) -> int:
        """The size of an object."""
        found = self._objects[file]
        return found.bytes if found else 0

    def stamp(self, file: str) -> list[int | None] | None:
        """Values that change when the object does. Known weakness: S3 has times to the second."""
        found = self._objects.get(file)
        return [found.bytes, found.changed_ns] if found else None

    def of(self, files: Iterable[str]) -> BucketFiles:
        """These objects alone, for a worker."""
        return BucketFiles(
            self._filesystem, self._root, {name: self._objects[name] for name in files}
        )

    @contextmanager
    def at_hand(self, files: Iterable[str]) -> Iterator[Path]:
        """A temporary folder with copies of these objects. Raises WriteFailed."""
        with temporary_folder() as folder:
            map_requests(partial(self._fetch, folder), files)
            yield folder

    def _fetch(self, folder: Path, file: str) -> None:
        path = f"{self._root}/{file}"
        fetch(self._filesystem, path, self.bytes_of(file), folder / PurePosixPath(file))


StoredFiles: TypeAlias = FolderFiles | BucketFiles


def stored_files(where: str) -> StoredFiles:
    """The files of a folder, or below an address with `://`. Raises UsageError, BucketError."""
    return BucketFiles.listed(where) if "://" in where else FolderFiles(Path(where))


def readable_entries(stored: StoredFiles, folder: str, found: Findings) -> list[Entry]:
    """The entries of a folder. One that cannot be read is reported."""
    try:
        return stored.entries(folder)
    except OSError as error:
        refuse_used_up(error)
        found.different(shown(folder), f"cannot be read: {error.strerror}")
    return []


def read_object(file: IO[bytes], bytes_max: int, names: Sequence[str]) -> dict[str, Any]:
    """The JSON object in a file, which has at least these names. Raises Damaged, OSError."""
    content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise Damaged(f"it has more than {bytes_max >> 20} MiB")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise Damaged(str(error)) from error
    if not isinstance(found, dict):
        raise Damaged("it is no JSON object")
    for name in names:
        if name not in found:
            raise Damaged(f"it has no {name!r}")
    return found


def shown(path: str) -> str:
    """A path as text, also if its bytes are not UTF-8."""
    return os.fsencode(path).decode(errors="backslashreplace")
