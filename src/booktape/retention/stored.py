"""The segments of an archive, in the order of recording, with what retention has to know of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from booktape.store.catalog import lineage_of, segments_in
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
    """One segment of which there is at least a manifest or a tape.

    `ended_us`: when the segment that continues it began, by our clock; its own start where none does.
    `before` and `after` are the segments that it continues, and that continue it. `removal` is its receipt.
    `unproven`: the symbols whose books were unproven where it begins, by the receipts of those that it continues.
    """

    segment: Segment
    has_tape: bool
    ended_us: int
    before: tuple[Segment, ...]
    after: tuple[Segment, ...]
    unproven: frozenset[str] | None = None
    removal: Removal | None = None

    @property
    def is_verified(self) -> bool:
        """Whether it was verified, and a receipt says so: then its tape may be gone."""
        return self.removal is not None and bool(self.removal.verified_by)


def stored_segments(layout: Layout) -> list[StoredSegment]:
    """All of them, each after those that it continues. Raises OSError, Damaged for a receipt that cannot be read.

    A segment whose tape was removed comes before all that have one: tapes are removed in the order of recording.
    """
    lineage = lineage_of(layout)
    manifests = segments_in(layout.root / "manifests", ".json")
    there = {*manifests, *lineage.beginnings}
    receipts = {
        segment: receipt
        for segment in removed_segments(layout)
        if (receipt := read_removal(layout, segment))
    }
    by_receipt: dict[str, list[Segment]] = {}
    for segment, receipt in receipts.items():
        for name in receipt.continued_by:
            by_receipt.setdefault(name, []).append(segment)
    without_tape = sorted(there - lineage.beginnings.keys())
    return [
        _stored(segment, lineage, receipts, by_receipt.get(segment.name, []))
        for segment in (*without_tape, *lineage.order)
    ]


def _stored(
    segment: Segment,
    lineage: Lineage,
    receipts: Mapping[Segment, Removal],
    by_receipt: Sequence[Segment],
) -> StoredSegment:
    receipt = receipts.get(segment)
    named = (Segment.parse(name) for name in (receipt.continued_by if receipt else ()))
    after = {*(one for one in named if one), *lineage.after.get(segment, ())}
    starts = [
        lineage.beginnings[one].start_us if one in lineage.beginnings else one.start_us
        for one in after
    ]
    unproven = frozenset().union(*(receipts[one].unproven for one in by_receipt))
    return StoredSegment(
        segment,
        segment in lineage.beginnings,
        max(segment.start_us, *starts) if starts else segment.start_us,
        tuple({*lineage.before.get(segment, ()), *by_receipt}),
        tuple(sorted(after)),
        unproven if by_receipt else None,
        receipt,
    )


def files_of(layout: Layout, segment: Segment) -> SegmentFiles:
    """The files of one segment that are there, as `verify` has them."""
    tables = [layout.table(segment, table) for table in SMALL_TABLES]
    paths = [layout.tape(segment), layout.manifest(segment), *tables]
    for room, path_of in (("snapshots", layout.rows), ("trades", layout.trades)):
        folders = (layout.root / room).glob("symbol=*")
        names = (folder.name for folder in folders if is_symbol_folder(folder.name))
        paths += [path_of(segment, symbol_of(name)) for name in names]
    files = SegmentFiles(segment)
    for path in filter(Path.is_file, paths):
        files.put(PurePosixPath(path.relative_to(layout.root)))
    return files


def size_bytes(layout: Layout, files: SegmentFiles, *, tape: bool) -> int:
    """The bytes of these files on the disk, with or without the tape."""
    names = [name for name in files.sealed if tape or name != files.tape]
    return sum((layout.root / name).stat().st_size for name in names)
