"""Reads the objects of a bucket through pyarrow's file systems, which need no extra.

**A failed request is not a damaged file.** Whatever goes wrong on the way to a bucket is raised as a BucketError. An
OSError would be taken for a file that cannot be read.

**Credentials**, region and endpoint come from the environment (`AWS_…`, `GOOGLE_…`) of the reading process. They
appear in no address and in no error, and are not sent to another process.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem, FileType, SubTreeFileSystem

from booktape.errors import BucketError, BucketRefused, BucketUnavailable, UsageError
from booktape.processes.descriptors import refuse_used_up
from booktape.store.durable_files import disk_errors_named
from booktape.store.positioned import PositionedReader

T = TypeVar("T")
U = TypeVar("U")

REQUESTS_AT_ONCE: Final = 16
"""A request takes about 10 ms, most of it waiting."""

CHUNK_BYTES: Final = 4 << 20
"""An object is copied in pieces of this size."""

_FIRST_BYTES: Final = 128 << 10
"""The first request for an object that is read in order: usually only its first line is wanted."""

_SCHEMES: Final = {"s3": "s3", "gcs": "gs", "abfs": "abfs"}
"""How addresses begin, by pyarrow's name for the file system."""

_ERROR: Final = re.compile(
    r"AWS Error (?P<aws>\w+)(?: \(HTTP status (?P<status>\d+)\))?|google::cloud::Status\((?P<gcs>\w+)"
)
_CURL: Final = re.compile(r"curlCode: \d+, ([\w' ]+)")
_GONE: Final = frozenset({"NO_SUCH_KEY", "RESOURCE_NOT_FOUND"})
_REFUSALS: Final = frozenset(
    {
        *("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH"),
        *("INVALID_CLIENT_TOKEN_ID", "UNRECOGNIZED_CLIENT", "MISSING_AUTHENTICATION_TOKEN"),
        *("INVALID_SIGNATURE", "REQUEST_EXPIRED", "OPT_IN_REQUIRED"),
        *("PERMISSION_DENIED", "UNAUTHENTICATED"),
    }
)
"""Errors that another attempt would not change. Any other error may pass."""

_SERVER_ERROR: Final = 500
_MAY_PASS: Final = (408, 409, 425, 429)
"""Statuses below 500 that pass by themselves: timeout, conflict with another request, too early, too many."""


def open_bucket(address: str) -> tuple[FileSystem, str]:
    """The file system of an address such as `s3://bucket/prefix`, and the path in it.

    Raises UsageError, BucketError.
    """
    shown = _without_secrets(address)
    try:
        return FileSystem.from_uri(address)
    except (OSError, pa.ArrowInvalid) as error:
        if _ERROR.search(str(error)):
            raise _bucket_error(shown, str(error)) from error
        raise UsageError(
            f"{shown} cannot be opened: {str(error).replace(address, shown)}"
        ) from error


def bucket_name(filesystem: FileSystem, path: str) -> str | None:
    """The address of a path, such as `s3://bucket/prefix`. None if the file system belongs to no service."""
    while isinstance(filesystem, SubTreeFileSystem):
        path = f"{filesystem.base_path}{path}"
        filesystem = filesystem.base_fs
    scheme = _SCHEMES.get(filesystem.type_name)
    return scheme and f"{scheme}://{path}"


@contextmanager
def bucket_errors(filesystem: FileSystem, path: str) -> Iterator[None]:
    """Turn a service's error into a BucketError. FileNotFoundError and other file systems' errors stay as they are."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        refuse_used_up(error)
        name = bucket_name(filesystem, path)
        found = _ERROR.search(str(error))
        if name is None:
            raise
        if found and found["aws"] in _GONE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error
        raise _bucket_error(name, str(error)) from error


def _bucket_error(name: str, text: str) -> BucketError:
    """Only the code, the status and the network's message are taken from an error's text: no header, no key."""
    found = _ERROR.search(text)
    code = found["aws"] or found["gcs"] if found else "no answer that could be read"
    status = int(found["status"]) if found and found["status"] else None
    curl = _CURL.search(text)
    why = curl[1] if curl else code if status is None else f"status {status}"
    is_refused = code in _REFUSALS or (status is not None and is_refusal(status))
    return BucketRefused(name, why) if is_refused else BucketUnavailable(name, why)


def is_refusal(status: int) -> bool:
    """Whether another attempt would get the same HTTP status, so that a person has to act."""
    return HTTPStatus.MULTIPLE_CHOICES <= status < _SERVER_ERROR and status not in _MAY_PASS


def _without_secrets(address: str) -> str:
    """An address without its options, and without the key and password that may precede its host."""
    return re.sub(r"//[^/]*@", "//", address.partition("?")[0])


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as it was listed. `changed_ns` is when it was changed; S3 gives whole seconds."""

    bytes: int
    changed_ns: int | None


def list_objects(
    filesystem: FileSystem, root: str, folder: str
) -> Iterator[tuple[str, ListedObject | None]]:
    """The names of all objects below a folder of `root`, relative to `root`. Folders are None.

    Known weakness: without TLS, pyarrow takes an answer that is cut off within its headers for the end of the list.
    """
    selector = FileSelector(f"{root}/{folder}", allow_not_found=True, recursive=True)
    with bucket_errors(filesystem, root):
        found = filesystem.get_file_info(selector)
    for info in found:
        name = info.path.removeprefix(f"{root}/")
        is_folder = info.type == FileType.Directory
        yield name, None if is_folder else ListedObject(info.size, info.mtime_ns)


class ObjectFile(PositionedReader):
    """One object, of its listed size, for reading at any position. Raises BucketError.

    Each read is one request. With `in_order`, more is requested than is read, in pieces that grow up to CHUNK_BYTES.
    """

    def __init__(
        self, filesystem: FileSystem, path: str, size_bytes: int, *, in_order: bool = False
    ) -> None:
        super().__init__(size_bytes)
        self._filesystem, self._path = filesystem, path
        # Any: the stubs do not know the arguments of `read_at`.
        self._file: Any
        with self._errors():
            self._file = filesystem.open_input_file(path)
            found = self._file.size()
        # Without TLS, pyarrow takes an answer that was cut off within its headers for an empty object.
        self._check_whole(found, size_bytes)
        self._step = _FIRST_BYTES if in_order else 0
        self._kept, self._kept_at = b"", 0

    def close(self) -> None:
        """Close the object. No request is pending: each read waits for its own."""
        self._file.close()
        super().close()

    def read(self, size: int | None = -1, /) -> bytes:
        """`size` bytes, fewer only at the end of the object; without a size, all the rest."""
        left = max(0, self._bytes - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        begin = self._at - self._kept_at
        if not 0 <= begin <= len(self._kept) - wanted:
            self._kept = self._request(min(max(wanted, self._step), left))
            self._kept_at, begin = self._at, 0
            self._step = min(2 * self._step, CHUNK_BYTES)
        self._at += wanted
        return self._kept[begin : begin + wanted]

    def _request(self, size: int) -> bytes:
        with self._errors():
            found: bytes = self._file.read_at(size, self._at) if size else b""
        self._check_whole(len(found), size)
        return found

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with bucket_errors(self._filesystem, self._path):
                yield
        except FileNotFoundError as error:
            raise BucketUnavailable(self._name, "it was removed since it was listed") from error

    def _check_whole(self, size: int, wanted: int) -> None:
        if size != wanted:
            raise BucketUnavailable(self._name, "an answer was cut, or the object changed")

    @property
    def _name(self) -> str:
        return bucket_name(self._filesystem, self._path) or self._path


def fetch(filesystem: FileSystem, path: str, size_bytes: int, target: Path) -> None:
    """Copy an object into a new file. Raises BucketError, WriteFailed."""
    with ObjectFile(filesystem, path, size_bytes) as source, disk_errors_named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while chunk := source.read(CHUNK_BYTES):
                file.write(chunk)


def map_requests(function: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Call a function that waits for a bucket on each item, REQUESTS_AT_ONCE at a time. Raises its first error."""
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, "booktape-bucket") as threads:
        return list(threads.map(function, items))
