"""The segments of an archive, in the order of recording, with what retention has to know about them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from booktape.store.catalog import lineage_of, segments_in
from booktape.store.clearing import is_irregular, is_regular
from booktape.store.layout import (
    SMALL_TABLES,
    Layout,
    Segment,
    is_symbol_folder,
    symbol_of,
)
from booktape.store.lineage import Lineage
from booktape.store.removals import Removal, read_removal, removed_segments
from booktape.verify.files import SegmentFiles


@dataclass(frozen=True)
class StoredSegment:
    """One segment that has at least a manifest or a tape.

    `ended_us` is when the segment that continues it began, by our clock, or its own start if no segment continues it.
    `continues` are the segments before it, `continued_by` those after it. `removal` is its receipt.
    `unproven` are the symbols whose books were unproven at its beginning, by the receipts of the segments before it.
    """

    segment: Segment
    has_tape: bool
    ended_us: int
    continues: tuple[Segment, ...]
    continued_by: tuple[Segment, ...]
    unproven: frozenset[str] | None = None
    removal: Removal | None = None

    @property
    def is_verified(self) -> bool:
        """Whether a receipt says that it was verified: then its tape may be gone."""
        return self.removal is not None and bool(self.removal.verified_by)


def stored_segments(layout: Layout) -> list[StoredSegment]:
    """Every segment, after those that it continues. Raises OSError, Damaged for a receipt that cannot be read.

    Segments without a tape come first, because tapes are removed in the order of recording.
    """
    lineage = lineage_of(layout)
    manifests = segments_in(layout.root / "manifests", ".json")
    there = {*manifests, *lineage.beginnings}
    receipts = {
        segment: receipt
        for segment in removed_segments(layout)
        if (receipt := read_removal(layout, segment))
    }
    before: dict[str, list[Segment]] = {}
    for segment, receipt in receipts.items():
        for name in receipt.continued_by:
            before.setdefault(name, []).append(segment)
    without_tape = sorted(there - lineage.beginnings.keys())
    return [
        _stored(segment, lineage, receipts, before.get(segment.name, []))
        for segment in (*without_tape, *lineage.order)
    ]


def _stored(
    segment: Segment,
    lineage: Lineage,
    receipts: Mapping[Segment, Removal],
    before: Sequence[Segment],
) -> StoredSegment:
    """One segment. `before` are those that it continues by their receipts."""
    receipt = receipts.get(segment)
    named = (Segment.parse(name) for name in (receipt.continued_by if receipt else ()))
    after = {*(one for one in named if one), *lineage.after.get(segment, ())}
    starts = [
        lineage.beginnings[one].start_us if one in lineage.beginnings else one.start_us
        for one in after
    ]
    unproven = frozenset().union(*(receipts[one].unproven for one in before))
    return StoredSegment(
        segment,
        segment in lineage.beginnings,
        max(segment.start_us, *starts) if starts else segment.start_us,
        tuple({*lineage.before.get(segment, ()), *before}),
        tuple(sorted(after)),
        unproven if before else None,
        receipt,
    )


def files_of(layout: Layout, segment: Segment) -> SegmentFiles:
    """The regular files of one segment that are there, as `verify` has them."""
    files = SegmentFiles(segment)
    for path in filter(is_regular, _places(layout, segment)):
        files.put(PurePosixPath(path.relative_to(layout.root)))
    return files


def irregular_file(layout: Layout, segment: Segment) -> str:
    """A sentence about what is in the place of a file of a segment and is none; empty when there is nothing.

    Such as a folder, a FIFO, a socket or a link. booktape makes no links, so what is reached through a linked folder may
    be another archive's. Only `snapshots`, `tape` and the other folders at the top may be links to another disk.
    """
    for path in _places(layout, segment):
        name = path.relative_to(layout.root)
        folders = [layout.root / parent for parent in name.parents[:-2]]
        if any(each.is_symlink() for each in (path, *folders)) and os.path.lexists(path):
            return f"{name}: is a link, or in a linked folder"
        if is_irregular(path):
            return f"{name}: is no regular file"
    return ""


def _places(layout: Layout, segment: Segment) -> Iterator[Path]:
    """Where a segment has files, in any archive with these symbols."""
    yield layout.tape(segment)
    yield layout.manifest(segment)
    for table in SMALL_TABLES:
        yield layout.table(segment, table)
    for room, path_of in (("snapshots", layout.rows), ("trades", layout.trades)):
        for folder in (layout.root / room).glob("symbol=*"):
            if is_symbol_folder(folder.name):
                yield path_of(segment, symbol_of(folder.name))


def size_bytes(layout: Layout, files: SegmentFiles, *, tape: bool) -> int:
    """The bytes of these files on the disk, with or without the tape."""
    names = [name for name in files.sealed if tape or name != files.tape]
    return sum((layout.root / name).stat().st_size for name in names)
