"""Finds what is to be merged: the sealed tapes of every recorder, in order, with their settings and clocks.

A *track* is everything that one process recorded, from its start to its end: all segments with one tag. An archive has
a track for each start of a recorder, and for each of its workers. It does not matter in which archive a track is, nor
in which order archives are named, and a segment that is in two archives counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from booktape import __version__
from booktape.checks.freshness import bound_ns
from booktape.core.tape_records import (
    ROTATED,
    ClockOffset,
    ClockStep,
    Connected,
    SegmentEnd,
    SegmentStart,
)
from booktape.errors import CannotMerge, DamagedTape, NotRecorded
from booktape.processes.terminal import counted
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.removed import lost_tapes, removed_tapes
from booktape.reader.tape_query import read_records
from booktape.rerecord.clocks import ClockMark, reference_ns, shifts_ns
from booktape.store.layout import Segment
from booktape.store.lineage import Lineage
from booktape.store.tape_reader import beginning, first_line

_LIGHT: Final = tuple(
    f'{{"k":"{kind}",'.encode()
    for kind in ("start", "end", "connected", "clock-offset", "clock-step")
)

Advance = Callable[[int], None]
"""Called with the number of further bytes of tape that were read."""


@dataclass(frozen=True, slots=True)
class TrackTape:
    """One tape of a track. `is_continued`: the next tape continues it without a hole."""

    archive: ArchiveFiles
    file: ArchiveFile
    is_continued: bool


@dataclass(frozen=True, slots=True)
class Track:
    """The tapes of one process, in order. `shifts_ns` corrects its clock (rerecord/clocks.py)."""

    tag: str
    tapes: tuple[TrackTape, ...]
    begins_ns: int
    shifts_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Inputs:
    """All tracks, and the start record of a merge of them.

    `damaged` has a sentence for each tape that cannot be read or is lost, `removed` one for each archive of which tapes were
    removed on purpose. `unsealed` are the segments that are not sealed.
    """

    tracks: list[Track]
    start: SegmentStart
    damaged: list[str]
    removed: list[str]
    unsealed: list[str]


@dataclass(slots=True)
class _Surveyed:
    """A tape that can be read, with what it says about itself."""

    archive: ArchiveFiles
    file: ArchiveFile
    start: SegmentStart
    reason: str = ROTATED
    symbols: set[str] = field(default_factory=set)
    marks: list[ClockMark] = field(default_factory=list)


def find_inputs(archives: Iterable[ArchiveFiles], every: int | None, advance: Advance) -> Inputs:
    """Read the light records of every tape, and check that all fit together.

    Raises CannotMerge, and NotRecorded where no sealed tape can be read. `every` None: the one that all have.
    """
    archives = sorted(archives, key=lambda archive: archive.root)
    unsealed = [file.path for archive in archives for file in archive.unsealed()]
    surveyed, damaged = _survey(archives, advance)
    if not surveyed:
        raise NotRecorded(
            "None of these archives has a sealed tape that can be read, so there is nothing to merge."
        )
    _check_equal(surveyed.values(), every)
    start = _common_start(surveyed.values(), every)
    removed = [each for archive in archives if (each := _removed(archive, surveyed))]
    return Inputs(_tracks(surveyed), start, damaged, removed, unsealed)


def _removed(archive: ArchiveFiles, surveyed: Iterable[Segment]) -> str:
    """A sentence if tapes of an archive were removed on purpose and are in no other one; else an empty text."""
    lacking = sorted({*removed_tapes(archive)} - {*surveyed})
    if not lacking:
        return ""
    names = " to ".join(dict.fromkeys([lacking[0].name, lacking[-1].name]))
    return (
        f"Left out, because their tapes were removed from {archive.name} on purpose: "
        f"{counted(len(lacking), 'segment')}, {names}."
    )


def _survey(
    archives: Sequence[ArchiveFiles], advance: Advance
) -> tuple[dict[Segment, _Surveyed], list[str]]:
    """The tapes that can be read, and a sentence for each that cannot be read or is lost."""
    found: dict[Segment, _Surveyed] = {}
    damaged: list[str] = []
    for archive in archives:
        for file in archive.tapes():
            if file.segment not in found:
                try:
                    found[file.segment] = _survey_tape(archive, file)
                except DamagedTape as error:
                    damaged.append(f"{file.segment.name} is left out. {error}")
            advance(file.bytes)
    for archive in archives:
        lost = [segment for segment in lost_tapes(archive) if segment not in found]
        damaged += [f"{one.name} is left out: {archive.name} has no tape of it." for one in lost]
    return found, damaged


def _survey_tape(archive: ArchiveFiles, file: ArchiveFile) -> _Surveyed:
    """Raises DamagedTape. Every byte is decompressed, and so every checksum is compared."""
    records = read_records(archive, file, None, lambda line: line.startswith(_LIGHT))
    start = first_line(records, file.path)
    found = _Surveyed(archive, file, start, symbols=set(start.symbols))
    for record in records:
        if isinstance(record, Connected):
            found.symbols.update(record.symbols)
        elif isinstance(record, ClockOffset | ClockStep):
            found.marks.append(record)
        elif isinstance(record, SegmentEnd):
            found.reason = record.reason
    return found


def _check_equal(surveyed: Iterable[_Surveyed], every: int | None) -> None:
    """Raises CannotMerge unless these tapes can be read as one recorder's."""
    starts = [one.start for one in surveyed]
    if any(start.format == 1 for start in starts):
        raise CannotMerge(
            "One of these archives has tapes of format 1, which do not tell the time. They cannot be merged."
        )
    exchanges = sorted({start.exchange for start in starts})
    if len(exchanges) > 1:
        raise CannotMerge(
            f"These archives are of different exchanges: {' and '.join(exchanges)}. Their update ids "
            "have nothing to do with each other. Merge those of one exchange."
        )
    counts = sorted({start.every for start in starts})
    if every is None and len(counts) > 1:
        raise CannotMerge(
            f"These archives have different numbers of updates a row: {' and '.join(map(str, counts))}. "
            f"Choose one for the result, such as --every {counts[0]}."
        )


def _common_start(surveyed: Iterable[_Surveyed], every: int | None) -> SegmentStart:
    """The start record of a recorder that had all of these connections.

    If they differ in how old evidence may be (`--pulse`, `--audit`), the most generous setting holds: a book that its
    recorder called known stays known. The other settings only decided what was requested, which is over.
    """
    found = list(surveyed)
    starts = [one.start for one in found]
    generous = max(starts, key=lambda start: bound_ns(start.pulse_s, start.audit_s) or inf)
    witnesses = sorted({start.witness for start in starts})
    return SegmentStart(
        received_ns=0,
        version=__version__,
        exchange=generous.exchange,
        every=every or generous.every,
        depth=max(start.depth for start in starts),
        symbols=tuple(sorted(set().union(*(one.symbols for one in found)))),
        witness="+".join(witnesses),
        audit_s=generous.audit_s,
        format=generous.format,
        pulse_s=generous.pulse_s,
        continues=(),
        trades=any(start.trades for start in starts),
    )


def _tracks(surveyed: Mapping[Segment, _Surveyed]) -> list[Track]:
    lineage = Lineage(
        (beginning(segment, one.start) for segment, one in surveyed.items()),
        # Only for the first segment of a tag, whose predecessors do not matter here.
        lambda _: frozenset(),
    )
    by_tag: dict[str, list[Segment]] = {}
    for segment in lineage.order:
        by_tag.setdefault(segment.tag, []).append(segment)
    marks = {
        tag: [mark for segment in segments for mark in surveyed[segment].marks]
        for tag, segments in by_tag.items()
    }
    reference = reference_ns(marks.values())
    tracks = []
    for tag, segments in sorted(by_tag.items()):
        tapes = []
        for segment, following in zip(segments, [*segments[1:], None], strict=True):
            one = surveyed[segment]
            is_continued = following is not None and segment in lineage.before[following]
            tapes.append(TrackTape(one.archive, one.file, is_continued and one.reason == ROTATED))
        shifts = shifts_ns(marks[tag], reference)
        begins_ns = surveyed[segments[0]].start.received_ns - shifts[0]
        tracks.append(Track(tag, tuple(tapes), begins_ns, shifts))
    return tracks
