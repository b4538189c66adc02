"""Which segments an archive holds, and how far each reaches: store/layout.py says where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from booktape.store.layout import TABLE, TAPE, Layout, Segment, symbol_folder


def sealed_tapes(layout: Layout) -> list[Segment]:
    """Those with a sealed tape, oldest first."""
    return sorted(_newest_first(layout.root / "tape", TAPE))


def last_tapes(layout: Layout) -> list[Segment]:
    """The last sealed tape of each worker of the recorder that ran last.

    Known weakness: it looks at every tape, since nobody says how long ago a worker sealed its last.
    """
    tapes = sealed_tapes(layout)
    last = {tape.tag: tape for tape in tapes}
    return [tape for tape in last.values() if tape.run == tapes[-1].run]


def newest_tape(layout: Layout) -> Segment | None:
    """The last one with a sealed tape."""
    return next(_newest_first(layout.root / "tape", TAPE), None)


def newest_rows(layout: Layout, symbol: str) -> Iterator[Segment]:
    """Those with sealed rows of a symbol, the newest first."""
    return _newest_first(layout.snapshots / symbol_folder(symbol), TABLE)


def unsealed_segments(layout: Layout) -> list[Segment]:
    """What a recorder left behind when it was killed, oldest first; what is not ours is not."""
    found = (
        Segment.parse(name) for name in _names(layout.unsealed) if (layout.unsealed / name).is_dir()
    )
    return sorted(segment for segment in found if segment)


def reaching_into(
    segments: Sequence[Segment], from_us: int | None, to_us: int | None
) -> set[Segment]:
    """Those of these, oldest first, that may hold something of a stretch of time; None: no end."""
    return {
        segment
        for segment, end_us in zip(segments, _ends_us(segments), strict=True)
        if (to_us is None or segment.start_us < to_us)
        and (from_us is None or end_us is None or end_us > from_us)
    }


def _ends_us(segments: Sequence[Segment]) -> list[int | None]:
    """When each of them ends at the latest; None where nothing tells.

    It gives way to the next one of the same worker, or to those of the next recorder. Beside it lie
    those of the other workers.
    """
    ends: list[int | None] = []
    run, begun_us, next_run_us = "", None, None
    own: dict[str, int] = {}
    for segment in reversed(segments):
        if segment.run != run:
            run, next_run_us, own = segment.run, begun_us, {}
        ends.append(own.get(segment.tag, next_run_us))
        begun_us = own[segment.tag] = segment.start_us
    return ends[::-1]


def _newest_first(folder: Path, ending: str) -> Iterator[Segment]:
    """The segments of files below `folder` that stand where they should, day by day.

    Names sort by time: whoever wants the newest one looks at a single day of an archive of years.
    """
    for day in sorted(_names(folder), reverse=True):
        for name in sorted(_names(folder / day), reverse=True):
            segment = Segment.parse(name, ending)
            if segment and segment.date == day:
                yield segment


def _names(folder: Path) -> list[str]:
    """What a folder holds; nothing, if it is none."""
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []
