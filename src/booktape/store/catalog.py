"""Which segments an archive holds: store/layout.py says where they stand, store/lineage.py their order."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from booktape.errors import DamagedTape
from booktape.store.layout import TABLE, TAPE, Layout, Segment, symbol_folder
from booktape.store.lineage import Beginning, Lineage
from booktape.store.tape_reader import read_beginning, read_taken_over


def sealed_tapes(layout: Layout) -> list[Segment]:
    """Those with a sealed tape, by name."""
    return sorted(_newest_first(layout.root / "tape", TAPE))


def lineage_of(layout: Layout, unsealed: Iterable[Beginning] = ()) -> Lineage:
    """In which order all sealed tapes, and those that are not sealed yet, were recorded.

    Known weakness: the first line of every tape is read for it.
    """
    begun = {segment: _beginning(layout, segment) for segment in sealed_tapes(layout)}
    begun |= {each.segment: each for each in unsealed}
    return Lineage(begun.values(), lambda segment: _taken_over(layout, segment))


def _beginning(layout: Layout, segment: Segment) -> Beginning:
    try:
        return read_beginning(segment, layout.tape(segment))
    except (DamagedTape, OSError):
        # Whoever needs what it holds says so.
        return Beginning.unknown(segment)


def _taken_over(layout: Layout, segment: Segment) -> frozenset[str]:
    try:
        return read_taken_over(layout.tape(segment))
    except (DamagedTape, OSError):
        return frozenset()


def free_segment(
    layout: Layout, start_ns: int, tag: str, taken: Collection[Segment] = ()
) -> Segment:
    """The segment that begins at `start_ns`, or the next microsecond that has none of this name yet."""
    segment = Segment.at(start_ns, tag)
    while segment in taken or layout.tape(segment).exists() or layout.unsealed_of(segment).exists():
        segment = Segment(segment.start_us + 1, tag)
    return segment


def newest_rows(layout: Layout, symbol: str) -> Iterator[Segment]:
    """Those with sealed rows of a symbol, the newest first."""
    return _newest_first(layout.snapshots / symbol_folder(symbol), TABLE)


def unsealed_segments(layout: Layout) -> list[Segment]:
    """What a recorder left behind when it was killed, oldest first; what is not ours is not.

    A link is nothing that we made, wherever it leads: neither `unsealed` itself nor what is in it.
    """
    if layout.unsealed.is_symlink():
        return []
    found = (
        Segment.parse(name)
        for name in _names(layout.unsealed)
        if stat.S_ISDIR((layout.unsealed / name).lstat().st_mode)
    )
    return sorted(segment for segment in found if segment)


def _newest_first(folder: Path, ending: str) -> Iterator[Segment]:
    """The segments of files below `folder` that stand where they should, day by day.

    By name, which is by our clock as it was: whoever wants the newest one looks at a single day of an
    archive of years.
    """
    for day in sorted(_names(folder), reverse=True):
        for name in sorted(_names(folder / day), reverse=True):
            segment = Segment.parse(name, ending)
            if segment and segment.date == day:
                yield segment


def _names(folder: Path) -> list[str]:
    """What a folder holds; nothing, if it is none."""
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []
