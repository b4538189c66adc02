"""`booktape ship`: copies a finished recording to a bucket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from booktape.commands.options import NamedPath, seconds
from booktape.errors import BucketUnavailable, NotRecorded, UsageError
from booktape.processes.extras import import_extra
from booktape.processes.terminal import counted, log_to_stderr, write_line
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.removed import lost_tapes
from booktape.recorder.run import on_stop_signals
from booktape.ship.receipts import read_receipts
from booktape.ship.shipper import Shipper
from booktape.store.catalog import sealed_tapes, unsealed_segments
from booktape.store.layout import Layout, Segment
from booktape.store.removals import removed_segments

if TYPE_CHECKING:
    from booktape.ship.bucket import Bucket

PATIENCE_S: Final = 120.0
"""How long the command keeps trying while no object arrives."""


def ship(directory: NamedPath, address: str) -> int:
    """Copy all sealed segments of an archive to a bucket. What is already there is not sent again.

    Exit code 75 if the bucket cannot be reached: start again later. Exit code 1 if a segment cannot be shipped, for
    example because its tape is lost. See docs/scale.md.

    Parameters
    ----------
    directory
        The archive's folder; only receipts are written there.
    address
        The bucket: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder.
    """
    layout = Layout(directory)
    bucket = bucket_at("The address", address, directory)
    if not sealed_tapes(layout):
        raise NotRecorded(f"{directory} has no sealed segment to ship.")
    log_to_stderr()
    asyncio.run(_ship(layout, bucket))
    sealed = counted(len(sealed_tapes(layout)), "segment")
    write_line(f"Everything sealed is in {bucket.address}: {sealed}.")
    if without := [one for one in removed_segments(layout) if layout.manifest(one).exists()]:
        write_line(f"Without a tape, and not shipped: {counted(len(without), 'segment')}.")
    if unsealed := unsealed_segments(layout):
        write_line(
            f"Not sealed yet: {counted(len(unsealed), 'segment')}. `booktape record` seals them."
        )
    lost = lost_segments(directory, bucket.address)
    for segment in lost:
        write_line(f"{segment.name} is not shipped: its tape is lost.")
    return int(bool(lost))


def lost_segments(directory: Path, address: str) -> list[Segment]:
    """The segments that cannot be shipped to a bucket because their tape is lost, by name."""
    shipped = read_receipts(Layout(directory), address)
    return [one for one in lost_tapes(ArchiveFiles.find(directory)) if one not in shipped]


async def _ship(layout: Layout, bucket: Bucket) -> None:
    shipper = Shipper(layout, bucket, patience_s=PATIENCE_S)
    await shipper.end()
    shipping = asyncio.create_task(shipper.run())

    def stop() -> None:
        shipping.cancel()

    on_stop_signals(stop)
    with suppress(BucketUnavailable, asyncio.CancelledError):  # `check` says what is left, and why
        await shipping
    shipper.check()


def bucket_at(option: str, address: str, archive: Path) -> Bucket:
    """The bucket at an address. Raises UsageError, including when the library is missing."""
    library = import_extra("booktape.ship.bucket", "obstore", "bucket")
    bucket: Bucket = library.Bucket(option, address)
    if bucket.folder and _lies_in(bucket.folder.resolve(), archive.resolve()):
        raise UsageError(f"{option} {bucket.address} lies in the archive {archive} itself.")
    return bucket


def _lies_in(folder: Path, archive: Path) -> bool:
    """Whether a folder lies in the archive, even through a second mount: its files would count as their own copies."""
    if folder.is_relative_to(archive):
        return True
    above = (each for each in (folder, *folder.parents) if each.exists())
    return archive.exists() and any(each.samefile(archive) for each in above)


def keep_s(text: str) -> float | None:
    """--ship-keep in seconds; None to keep everything. Raises UsageError."""
    return {"all": None, "0": 0.0}[text] if text in ("all", "0") else seconds("--ship-keep", text)
