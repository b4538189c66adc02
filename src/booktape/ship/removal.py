"""Removes from the archive segments that are in a bucket and need not be kept here."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from msgspec.structs import replace

from booktape.errors import Damaged, WriteFailed
from booktape.store.catalog import lineage_of
from booktape.store.layout import Layout, Segment
from booktape.store.removals import Removal, now_text, read_removal, remove_segment

log = structlog.get_logger()


def remove_shipped(
    layout: Layout, address: str, shipped: Iterable[Segment], before_us: int
) -> list[Segment]:
    """Of the segments `shipped` to a bucket, remove those that began before a time. Returns those that were removed.

    The oldest goes first. The first that cannot be removed is logged and ends the call; the next call tries it again.
    A segment that no other one continues stays: the next recording begins with its last checkpoints.
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
            # The receipt keeps what had been proved when the tape was removed.
            known = read_removal(layout, segment) or Removal(segment.name, "all", now_text())
            receipt = replace(known, removed="all", shipped_to=address)
            remove_segment(layout, segment, receipt)
        except (OSError, WriteFailed, Damaged) as error:
            log.warning("a shipped segment could not be removed", why=str(error))
            break
        log.info("removed here, because it is in the bucket", segment=segment.name)
        removed.append(segment)
    return removed
