"""The backlog: segments that are sealed in the archive but not yet in a bucket."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from booktape.errors import Damaged
from booktape.processes.terminal import counted
from booktape.ship.receipts import buckets, read_receipts
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout, Segment
from booktape.store.manifest import manifest_of


class Waiting(NamedTuple):
    """A segment of the backlog: the bytes of its files, and when it was sealed, in seconds since 1970."""

    bytes: int
    sealed_s: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much is waiting for a bucket. `oldest_s`: when its oldest segment was sealed, in seconds since 1970."""

    segments: int
    bytes: int
    oldest_s: float | None

    @classmethod
    def of(cls, waiting: Iterable[Waiting]) -> Backlog:
        """The sum of these segments."""
        found = list(waiting)
        oldest_s = min((each.sealed_s for each in found), default=None)
        return cls(len(found), sum(each.bytes for each in found), oldest_s)

    def age_s(self, now_s: float) -> float:
        """How long the oldest segment has been waiting, in seconds; 0 if there is none."""
        return 0.0 if self.oldest_s is None else max(0.0, now_s - self.oldest_s)

    def text(self, now_s: float) -> str:
        """`2 segments (34.1 MB, the oldest for 1:02:00)`."""
        oldest = timedelta(seconds=round(self.age_s(now_s)))
        return f"{counted(self.segments, 'segment')} ({self.bytes / 1e6:,.1f} MB, the oldest for {oldest})"


def find_waiting(
    layout: Layout, shipped: set[Segment], known: dict[Segment, Waiting]
) -> dict[Segment, Waiting]:
    """The sealed segments that are not `shipped`, oldest first. Those in `known` are not examined again."""
    return {
        segment: known.get(segment) or _waiting(layout, segment)
        for segment in sealed_tapes(layout)
        if segment not in shipped
    }


def describe_shipping(layout: Layout) -> list[str]:
    """A sentence for each bucket that segments of an archive are shipped to, from the bucket's receipts."""
    found = []
    for address in buckets(layout):
        shipped = read_receipts(layout, address)
        waits = Backlog.of(find_waiting(layout, shipped, {}).values())
        rest = waits.text(time.time()) if waits.segments else "none"
        found.append(f"shipped to {address}: {len(shipped):,}; waiting: {rest}.")
    return found


def _waiting(layout: Layout, segment: Segment) -> Waiting:
    """If the manifest cannot be read, only the tape's bytes are counted: shipping will report the manifest."""
    tape = layout.tape(segment).stat()
    try:
        size = sum(each.bytes for each in manifest_of(layout, segment).files.values())
    except (OSError, Damaged):
        size = tape.st_size
    return Waiting(size, tape.st_mtime)
