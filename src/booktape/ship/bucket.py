"""A bucket: objects that appear whole, are never overwritten, and are verified.

**One put per object.** A file is sent in one request that makes the object only if none has that name
(`If-None-Match: *` on S3; GCS and Azure have the same). The service makes an object visible once it has all of
its bytes, so nothing is ever seen in part. With obstore an upload in parts cannot be create-only, because its
conditional puts are single requests. So there are no uploads in parts, and a file above OBJECT_BYTES_MAX
(ship/content.py) is refused.

**Verified.** The answer to a put holds the object's ETag. On S3 that is the MD5 of what the service received
(unless it encrypts with KMS). If it is not the MD5 of our bytes, the object is read back and its SHA-256 compared.

Credentials, regions and endpoints come from the environment, as obstore reads them (`AWS_…`, `GOOGLE_…`,
`AZURE_…`), and are never logged: only the status and reason of an error are shown.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import ObjectStore, from_url

from booktape.errors import BucketRefused, BucketUnavailable, ObjectDiffers, UsageError
from booktape.ship.content import Content
from booktape.store.bucket_reading import is_refusal
from booktape.store.durable_files import disk_errors_named, sync_path
from booktape.store.layout import NAME_BYTES_MAX, Layout

if TYPE_CHECKING:
    from obstore import PutResult  # it exists for type checkers only

SCHEMES: Final = ("s3", "gs", "az", "file")

REQUEST_S: Final = 30.0
SLOWEST_BYTES_PER_S: Final = 256 << 10
"""A request may take REQUEST_S plus the time that its bytes take at SLOWEST_BYTES_PER_S."""

_CHUNK_BYTES: Final = 1 << 20


class Bucket:
    """The objects below one address, such as `s3://bucket/prefix`. All methods raise BucketError."""

    def __init__(self, option: str, address: str) -> None:
        """Raises UsageError for anything but an address, before anything is sent."""
        self.address = _checked(option, address)
        parts = urlsplit(self.address)
        self.folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._opened: ObjectStore | None = None
        if self.folder is None:
            try:
                self._opened = _open(self.address)
            except BaseError as error:
                raise UsageError(f"{option} {self.address}: {reason(str(error))}.") from error

    async def put(self, key: str, content: Content, *, look_first: bool) -> bool:
        """Make the object, unless it already exists with the same bytes, and verify it.

        Returns whether it existed. May be repeated after any error, and after a process that ended
        halfway: `look_first` then saves sending what already exists. Raises ObjectDiffers if another object has this
        name.
        """
        made = None
        if not (look_first and await self._exists(key)):
            made = await self._make(key, content)
        if made is None or not _is_md5(made["e_tag"], content.md5):
            await self._verify(key, content)
        return made is None

    async def _exists(self, key: str) -> bool:
        """Whether there is such an object. False if the credentials do not allow the question."""
        try:
            async with self._request(0):
                await obstore.head_async(self._store(), key)
        except BucketRefused:
            return False
        return True

    async def _make(self, key: str, content: Content) -> PutResult | None:
        """Make the object. None if it already exists."""
        try:
            async with self._request(len(content.data)):
                return await obstore.put_async(
                    self._store(), key, content.data, mode="create", use_multipart=False
                )
        except AlreadyExistsError:
            return None

    async def _verify(self, key: str, content: Content) -> None:
        """Compare the object with these bytes, by its ETag or by reading it."""
        size, digest = len(content.data), hashlib.sha256()
        try:
            async with self._request(size):
                found = await obstore.get_async(self._store(), key)
                if found.meta["size"] != size:
                    raise ObjectDiffers(self.address, key)
                if _is_md5(found.meta["e_tag"], content.md5):
                    return
                async for chunk in found.stream(_CHUNK_BYTES):
                    digest.update(chunk)
        except BucketRefused as error:
            if isinstance(error.__cause__, FileNotFoundError):
                # S3 answers 409, as if the object existed, while another request is about to make it.
                raise BucketUnavailable(self.address, "the object is not there yet") from error
            raise
        if digest.hexdigest() != content.sha256:
            raise ObjectDiffers(self.address, key)
        if self.folder is not None:
            await asyncio.to_thread(_make_durable, self.folder / key, self.folder)

    def _store(self) -> ObjectStore:
        # A missing folder may be a disk that is not mounted: making the folder would fill another disk.
        if self.folder is not None and not self.folder.is_dir():
            raise BucketRefused(self.address, f"there is no folder {self.folder}")
        if self._opened is None:
            self._opened = _open(self.address)
        return self._opened

    @asynccontextmanager
    async def _request(self, size_bytes: int) -> AsyncIterator[None]:
        """End a request that takes too long for its bytes, and turn obstore's errors into ours."""
        try:
            async with asyncio.timeout(REQUEST_S + size_bytes / SLOWEST_BYTES_PER_S):
                yield
        except AlreadyExistsError:
            raise
        except TimeoutError as error:
            raise BucketUnavailable(self.address, "no answer in time") from error
        except (PermissionDeniedError, UnauthenticatedError, FileNotFoundError) as error:
            raise BucketRefused(self.address, reason(str(error))) from error
        except (BaseError, OSError, NotImplementedError) as error:
            status = re.search(r"status code: (\d+)", str(error))
            is_refused = status is not None and is_refusal(int(status[1]))
            kind = BucketRefused if is_refused else BucketUnavailable
            raise kind(self.address, reason(str(error))) from error


def reason(text: str) -> str:
    """What went wrong, from the text of an obstore error, without anything that may be secret.

    The first line of the text ends in ` - ` and the reason. The queries of addresses are left out (Azure's may hold a
    signature), and so is everything in an answer except its code.
    """
    first, *debug = text.split("\n", 1)
    found = first.rsplit(" - ", 1)[-1]
    found = re.sub(r"Server returned non-2xx status code: ([^:<]*).*", r"status \1", found)
    found = re.sub(r"\?\S*|//[^/\s@]*@", "", found).strip(" .")
    code = re.search(r"<Code>(\w+)</Code>", text)
    system = re.search(r'message: "([\w ]+)"', "".join(debug))
    more = code or system
    return f"{found} ({more[1]})" if more and more[1] not in found else found


def _checked(option: str, address: str) -> str:
    """The address without a slash at its end. Raises UsageError."""
    scheme, _, rest = address.partition("://")
    path = rest if scheme == "file" else f"/{rest}"
    has_name = len(path.strip("/")) > 0 and path.startswith("/") and not path.startswith("//")
    # A password would be logged, and would appear in the name of a folder.
    if scheme not in SCHEMES or not has_name or not re.fullmatch(r"[!-~]+", address):
        wrong = "is not the address of a bucket"
    elif len(Layout(Path()).receipts(address).name) > NAME_BYTES_MAX:
        wrong = "is too long"
    elif set(address) & set("?#@\\") or "/../" in f"{address}/":
        wrong = "holds more than a bucket and a prefix; credentials come from the environment"
    else:
        return address.rstrip("/")
    raise UsageError(
        f"{option} {address.partition('?')[0].rpartition('@')[-1]!r} {wrong}. "
        "Write s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder."
    )


def _open(address: str) -> ObjectStore:
    if address.startswith("file:"):
        return from_url(address)
    return from_url(
        address,
        # Requests have our own timeout, because it depends on their size. HTTP without TLS is used only for
        # an endpoint that the environment names as http://.
        client_options={"timeout": timedelta(days=1), "allow_http": True},
        # ship/shipper.py retries, with a backoff that is logged.
        retry_config={"max_retries": 0},
    )


def _is_md5(e_tag: str | None, md5: str) -> bool:
    return e_tag is not None and e_tag.strip('"').lower() == md5


def _make_durable(path: Path, root: Path) -> None:
    """Make a file and the names of its folders durable. Raises WriteFailed."""
    with disk_errors_named(path):
        sync_path(path)
        for folder in path.parents:
            sync_path(folder)
            if folder == root:
                break
