"""Finds the segments of an archive. Their paths are in store/layout.py, their order in store/lineage.py."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from booktape.errors import DamagedTape
from booktape.store.layout import TABLE, TAPE, Layout, Segment, symbol_folder
from booktape.store.lineage import Beginning, Lineage
from booktape.store.tape_reader import read_beginning, read_carried_over


def sealed_tapes(layout: Layout) -> list[Segment]:
    """The segments with a sealed tape, by name."""
    return sorted(segments_in(layout.root / "tape", TAPE))


def lineage_of(layout: Layout, unsealed: Iterable[Beginning] = ()) -> Lineage:
    """The order in which all tapes were recorded: the sealed ones and these `unsealed` ones.

    Known weakness: it reads the first line of every tape.
    """
    begun = {segment: _beginning(layout, segment) for segment in sealed_tapes(layout)}
    begun |= {each.segment: each for each in unsealed}
    return Lineage(begun.values(), lambda segment: _carried_over(layout, segment))


def _beginning(layout: Layout, segment: Segment) -> Beginning:
    try:
        return read_beginning(segment, layout.tape(segment))
    except (DamagedTape, OSError):
        # Reported where the tape's content is needed.
        return Beginning.unknown(segment)


def _carried_over(layout: Layout, segment: Segment) -> frozenset[str]:
    try:
        return read_carried_over(layout.tape(segment))
    except (DamagedTape, OSError):
        return frozenset()


def free_segment(
    layout: Layout, start_ns: int, tag: str, taken: Collection[Segment] = ()
) -> Segment:
    """The segment that begins at `start_ns`, or at the first later microsecond whose name is free."""
    segment = Segment.at(start_ns, tag)
    while segment in taken or layout.tape(segment).exists() or layout.unsealed_of(segment).exists():
        segment = Segment(segment.start_us + 1, tag)
    return segment


def newest_rows(layout: Layout, symbol: str) -> Iterator[Segment]:
    """The segments with sealed rows of a symbol, newest name first."""
    return segments_in(layout.snapshots / symbol_folder(symbol), TABLE)


def unsealed_segments(layout: Layout) -> list[Segment]:
    """The unsealed segments of a recorder that is running or was killed, oldest first. Other entries are ignored.

    booktape makes no links, so `unsealed` and its entries are read only if they are real folders.
    """
    if layout.unsealed.is_symlink():
        return []
    found = (
        Segment.parse(name)
        for name in _names(layout.unsealed)
        if stat.S_ISDIR((layout.unsealed / name).lstat().st_mode)
    )
    return sorted(segment for segment in found if segment)


def segments_in(folder: Path, ending: str) -> Iterator[Segment]:
    """The segments that have a file below `folder`, under the right day, newest name first.

    It lists one day at a time, so finding the newest segment lists only one day even in an archive of years.
    """
    for day in sorted(_names(folder), reverse=True):
        for name in sorted(_names(folder / day), reverse=True):
            segment = Segment.parse(name, ending)
            if segment and segment.date == day:
                yield segment


def _names(folder: Path) -> list[str]:
    """The names in a folder; none if there is no folder."""
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []
