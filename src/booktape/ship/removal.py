"""Removes segments from the archive that are in a bucket, and need not be kept here."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from booktape.errors import WriteFailed
from booktape.store.catalog import lineage_of
from booktape.store.clearing import remove_sealed
from booktape.store.durable_files import disk_errors_named, sync_path
from booktape.store.layout import Layout, Segment
from booktape.store.manifest import read_manifest
from booktape.store.opening import open_file

log = structlog.get_logger()


def remove_shipped(layout: Layout, shipped: Iterable[Segment], before_us: int) -> list[Segment]:
    """Remove those of the `shipped` segments that began before a time. Returns those that are removed.

    The first that cannot be removed is logged, and ends it: the next call tries it again. A segment that no other one continues stays: the next recording begins with its last checkpoints. The oldest
    goes first, and files go before their tape, and the manifest goes last, so that a removal that was interrupted is completed later.
    Folders stay, since a recorder may be about to put a file there.
    """
    old = [one for one in sorted(shipped) if one.start_us < before_us]
    old = [one for one in old if layout.manifest(one).exists()]
    if not old:
        return []
    after = lineage_of(layout).after
    removed: list[Segment] = []
    for segment in old:
        if not after.get(segment) and layout.tape(segment).exists():
            continue
        try:
            _remove(layout, segment)
        except (WriteFailed, ValueError) as error:
            log.warning("a shipped segment could not be removed", why=str(error))
            break
        log.info("removed here, since it is in the bucket", segment=segment.name)
        removed.append(segment)
    return removed


def _remove(layout: Layout, segment: Segment) -> None:
    """Raises WriteFailed."""
    manifest = layout.manifest(segment)
    with disk_errors_named(manifest):
        with open_file(manifest) as file:
            names = [
                name
                for name in read_manifest(file.read()).files
                if layout.is_file_of(name, segment)
            ]
        tape = layout.tape(segment)
        files = sorted((layout.root / name for name in names), key=tape.__eq__)
        for path in (*files, manifest):
            remove_sealed(path)
            sync_path(path.parent)
