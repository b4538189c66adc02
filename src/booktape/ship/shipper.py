"""Copies sealed segments to a bucket, oldest first, beside whatever records them.

**Order.** The files of a segment are put in parallel, and its manifest once all of them are there and verified.
After the manifest a receipt is written. A process that is killed anywhere in between starts with the same
segment again, finds what is there, and puts the rest.

**Trouble.** A put is repeated until the object is there, with pauses that grow and are jittered. A segment that
cannot be shipped by trying again (a file here is not as it was sealed; another object has its name) is logged,
and the others continue.

**Removal.** With `keep_s`, segments that are in the bucket and began longer ago are removed here. A segment that
no other segment continues stays: the next recording begins with its last checkpoints.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from booktape.errors import (
    BooktapeError,
    BucketRefused,
    BucketUnavailable,
    Damaged,
    DamagedArchive,
    NotShipped,
    ObjectDiffers,
    ObjectTooLarge,
    TooFewDescriptors,
    WriteFailed,
)
from booktape.net.backoff import full_jitter
from booktape.processes.descriptors import refuse_used_up
from booktape.ship.backlog import Backlog, Waiting, find_waiting
from booktape.ship.content import READ_BYTES_MAX, Content
from booktape.ship.receipts import open_receipts, read_receipts, write_receipt
from booktape.ship.removal import remove_shipped
from booktape.store.layout import Layout, Segment
from booktape.store.manifest import Manifest, SealedFile, read_manifest
from booktape.store.opening import open_file

if TYPE_CHECKING:
    from booktape.ship.bucket import Bucket  # its library is an extra

LOOK_S: Final = 5.0
"""How often sealed segments are looked for."""

REMOVE_S: Final = 60.0
"""How often to look for segments that need not be kept any longer, while none is shipped."""

OBJECTS_AT_ONCE: Final = 8
"""How many objects are put at the same time."""

LOG_AFTER_S: Final = 2.0
"""Trouble is logged once no object has arrived for this long: a single failed request is not worth a line."""

LOG_EVERY_S: Final = 60.0
"""The same trouble is logged this often while it lasts."""

T = TypeVar("T")
log = structlog.get_logger()


class Shipper:
    """Ships the segments of one archive to one bucket.

    `patience_s`: once no object has arrived for this long, `run` raises the error; BucketRefused it raises at
    once. None: it tries forever. `refused` has the segments that were given up, and why.
    """

    def __init__(
        self,
        layout: Layout,
        bucket: Bucket,
        *,
        keep_s: float | None = None,
        patience_s: float | None = None,
    ) -> None:
        self.refused: dict[Segment, str] = {}
        self._layout = layout
        self._bucket = bucket
        self._keep_s = keep_s
        self._patience_s = patience_s
        self._waiting: dict[Segment, Waiting] = {}
        self._shipped = read_receipts(layout, bucket.address)
        self._found = asyncio.Event()
        self._is_ending = False
        self._is_noted = False
        self._at_once = asyncio.Semaphore(OBJECTS_AT_ONCE)
        self._one_large = asyncio.Lock()
        # Separate threads, because the recorder's threads must be free for the tape.
        self._threads = ThreadPoolExecutor(2, "booktape-ship")
        self._arrived_s = time.monotonic()
        self._may_remove, self._removed_s = True, self._arrived_s
        # A process that was killed may have begun shipping the first segment. It may also have begun the next one if
        # any object of the previous one was already there.
        self._look_first, self._was_there = True, False
        self._trouble: str | None = None
        self._logged_s = 0.0

    def backlog(self) -> Backlog:
        """What is waiting for the bucket, as of the last look."""
        return Backlog.of(self._waiting.values())

    async def run(self) -> None:
        """Ship until cancelled; after `end`, until nothing is left that can be shipped."""
        looking = asyncio.create_task(self._look_often())
        self._arrived_s = time.monotonic()
        try:
            while True:
                segment = next((one for one in self._waiting if one not in self.refused), None)
                if segment is not None:
                    await self._ship(segment)
                elif self._is_ending:
                    return await self._remove_old()
                else:
                    self._found.clear()
                    await self._found.wait()
        finally:
            looking.cancel()
            await asyncio.wait({looking})
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def end(self) -> None:
        """Look one last time: `run` returns once what is found now is shipped."""
        await self.look()
        self._is_ending = True
        self._found.set()

    def check(self) -> None:
        """Raises NotShipped if anything is not in the bucket."""
        if not self._waiting:
            return
        what = f"{self.backlog().text(time.time())} of {self._layout.root}"
        sentences = [f"Not in {self._bucket.address} yet: {what}.", *self.refused.values()][:2]
        if self._waiting.keys() <= self.refused.keys():
            raise NotShipped(" ".join(sentences), exit_code=1)
        if self._trouble:
            sentences.append(f"{self._trouble}.")
        raise NotShipped(" ".join([*sentences, "Start again to ship the rest."]))

    async def look(self) -> None:
        """Find what is sealed but not yet shipped; then remove what need not be kept."""
        try:
            found = await self._in_thread(self._find)
        except (OSError, WriteFailed) as error:
            log.warning("the archive could not be searched", why=str(error))
            return
        # Segments that were shipped in the meantime are no longer waiting.
        self._waiting = {one: each for one, each in found.items() if one not in self._shipped}
        self._found.set()
        await self._remove_old()

    async def _remove_old(self) -> None:
        """Remove what need not be kept, if there may be anything."""
        now_s = time.monotonic()
        is_due = self._may_remove or now_s - self._removed_s >= REMOVE_S
        if self._keep_s is None or not is_due:
            return
        self._may_remove, self._removed_s = False, now_s
        before_us = round((time.time() - self._keep_s) * 1e6)
        shipped, address = self._shipped.copy(), self._bucket.address
        await self._in_thread(lambda: remove_shipped(self._layout, address, shipped, before_us))

    async def _look_often(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    def _find(self) -> dict[Segment, Waiting]:
        found = find_waiting(self._layout, self._shipped.copy(), self._waiting)
        # Only once the recorder has accepted its settings and locked the folder.
        if not self._is_noted and (found or self._layout.lock.exists()):
            open_receipts(self._layout, self._bucket.address)
            self._is_noted = True
        return found

    async def _ship(self, segment: Segment) -> None:
        """Ship one segment, or note why it cannot be shipped."""
        try:
            manifest = await self._in_thread(lambda: self._read_manifest(segment))
            async with asyncio.TaskGroup() as group:
                for name, sealed in manifest.files.items():
                    group.create_task(self._put_in_turn(name, sealed))
            own_path = self._layout.manifest(segment).relative_to(self._layout.root)
            await self._put(own_path.as_posix())
            self._look_first, self._was_there = self._was_there, False
        except* (DamagedArchive, ObjectDiffers, ObjectTooLarge) as errors:
            self._refuse(segment, str(_first(errors)))
        except* TooFewDescriptors as errors:
            log.warning("shipping fails", why=str(_first(errors)))
            await asyncio.sleep(LOOK_S)
        except* BooktapeError as errors:
            raise _first(errors) from None
        else:
            await self._note_shipped(segment)

    def _refuse(self, segment: Segment, why: str) -> None:
        self.refused[segment] = why
        log.error("a segment cannot be shipped", segment=segment.name, why=why)

    async def _note_shipped(self, segment: Segment) -> None:
        self._shipped.add(segment)
        self._waiting.pop(segment, None)
        self._may_remove = True
        log.info("shipped", segment=segment.name, to=self._bucket.address)
        try:
            address = self._bucket.address
            await self._in_thread(lambda: write_receipt(self._layout, address, segment))
        except WriteFailed as error:
            # The next start asks the bucket and finds the whole segment there.
            log.warning("a receipt could not be written", why=error.why)

    async def _put_in_turn(self, name: str, sealed: SealedFile) -> None:
        """Put one file. Large files are put one at a time: each needs room for a copy while it is sent."""
        async with self._one_large if sealed.bytes > READ_BYTES_MAX else nullcontext():
            await self._put(name, sealed.sha256)

    async def _put(self, name: str, sha256: str | None = None) -> None:
        """Put one file of the archive, repeatedly until it is there."""
        look_first, pauses = self._look_first, full_jitter(random.uniform)
        async with self._at_once:
            while True:
                try:
                    content = await self._in_thread(lambda: self._read(name, sha256))
                    was_there = await self._bucket.put(name, content, look_first=look_first)
                except (BucketUnavailable, BucketRefused, TooFewDescriptors, WriteFailed) as error:
                    self._note_trouble(error)
                    look_first = True  # the object may have arrived, and only the answer was lost
                    await asyncio.sleep(next(pauses))
                else:
                    self._was_there = self._was_there or was_there
                    self._note_arrival()
                    return

    def _read(self, name: str, sha256: str | None) -> Content:
        """Read a file. Raises ObjectTooLarge, WriteFailed, and DamagedArchive if it is unreadable or not as sealed."""
        try:
            content = Content.of_file(self._layout.root / name, self._layout.root)
        except OSError as error:
            refuse_used_up(error)
            raise DamagedArchive(f"{self._layout.root / name}: {error.strerror}.") from error
        if sha256 is not None and content.sha256 != sha256:
            raise DamagedArchive(
                f"{self._layout.root / name} is not as it was sealed. `booktape verify` says more."
            )
        return content

    def _read_manifest(self, segment: Segment) -> Manifest:
        """The manifest of a segment. Raises DamagedArchive if it names files that are not the segment's."""
        path = self._layout.manifest(segment)
        try:
            with open_file(path) as file:
                manifest = read_manifest(file)
        except (OSError, Damaged) as error:
            refuse_used_up(error)
            raise DamagedArchive(f"{path} cannot be read: {error}.") from error
        for name in manifest.files:
            if not self._layout.is_file_of(name, segment):
                raise DamagedArchive(f"{path} names {name!r}, which is not a file of its segment.")
        return manifest

    def _note_trouble(self, error: BooktapeError) -> None:
        """Log the error, unless it was logged recently. Raises it once patience has run out."""
        now_s = time.monotonic()
        why = str(error).rstrip(".")
        if self._patience_s is not None and (
            isinstance(error, BucketRefused) or now_s - self._arrived_s > self._patience_s
        ):
            self._trouble = why
            raise error
        is_new = why != self._trouble or now_s - self._logged_s >= LOG_EVERY_S
        if is_new and now_s - self._arrived_s >= LOG_AFTER_S:
            waits = self.backlog()
            log.warning("shipping fails", why=why, segments=waits.segments, bytes=waits.bytes)
            self._trouble, self._logged_s = why, now_s

    def _note_arrival(self) -> None:
        self._arrived_s = time.monotonic()
        if self._trouble is not None:
            log.info("shipping continues", to=self._bucket.address)
            self._trouble = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _first(errors: BaseExceptionGroup[BooktapeError]) -> BaseException:
    """The first error of a group, which may hold groups."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
