"""Missing tapes, removed on purpose or lost. Readers that would have needed one say so."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from booktape.processes.terminal import counted
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.times import moment_at
from booktape.store.layout import Segment
from booktape.store.schema import TABLES


def removed_tapes(archive: ArchiveFiles) -> list[Segment]:
    """The segments whose tape was removed on purpose, by name, including those of which nothing is left."""
    there = {tape.segment for tape in archive.tapes()}
    return [file.segment for file in archive.removals() if file.segment not in there]


def lost_tapes(
    archive: ArchiveFiles, start_us: int | None = None, end_us: int | None = None
) -> list[Segment]:
    """The segments of `start_us <= time < end_us` that have other files, but neither a tape nor a receipt, by name.

    A tape gets its name after the other files of its segment, so a tape that is not sealed yet does not count as lost.
    Known weakness: a segment that lost all of its files is not noticed.
    """
    # These are listed in the order in which a recorder or a removal changes them, so that neither looks like a loss.
    listed = archive.manifests()
    if not archive.is_bucket:  # in a bucket, a segment without a manifest is on its way
        for symbol in archive.symbols():
            listed += [*archive.rows(symbol), *archive.trades(symbol)]
        for table in TABLES:
            listed += archive.tables(table)
    unsealed = {tape.segment for tape in archive.unsealed()}
    there = {tape.segment for tape in archive.tapes()}
    removed = {receipt.segment for receipt in archive.removals()}
    lost = {file.segment for file in listed} - unsealed - there - removed
    ends = _ends_us(lost | there | removed)
    return [
        segment
        for segment in sorted(lost)
        if (start_us is None or (end := ends[segment]) is None or end > start_us)
        and (end_us is None or segment.start_us < end_us)
    ]


def _ends_us(segments: Iterable[Segment]) -> dict[Segment, int | None]:
    """When each segment ended, by the names of the others: when the next one of its recorder, or else of any, began.

    None for the last one. Known weakness: if the clock was set back, this is too early.
    """
    starts: dict[str, list[int]] = {}
    for segment in sorted(segments):
        for key in (segment.tag, ""):
            starts.setdefault(key, []).append(segment.start_us)

    def next_start(among: list[int], start_us: int) -> int | None:
        number = bisect_right(among, start_us)
        return among[number] if number < len(among) else None

    return {
        segment: next_start(starts[segment.tag], segment.start_us)
        or next_start(starts[""], segment.start_us)
        for segment in segments
    }


def report_removed(archive: ArchiveFiles, start_us: int | None, end_us: int | None) -> None:
    """Report, once, the removed tapes that may have had records of `start_us <= time < end_us`."""
    removed = removed_tapes(archive)
    ends = _ends_us({*removed, *(tape.segment for tape in archive.tapes())})
    found = []
    for segment in removed:
        end = ends[segment] or segment.start_us
        before = start_us is not None and end <= start_us
        after = end_us is not None and segment.start_us >= end_us
        if not before and not after:
            found.append((segment, end))
    if found:
        first, last = moment_at(found[0][0].start_us), moment_at(max(end for _, end in found))
        archive.report_lack(
            f"The tapes from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC were removed on purpose "
            f"({counted(len(found), 'segment')}): what follows from them is not shown."
        )


def removal_at(archive: ArchiveFiles, time_us: int) -> str:
    """A sentence, preceded by a space, if the tape of this time was removed on purpose; else an empty text."""
    removed = removed_tapes(archive)
    segments = {*removed, *(tape.segment for tape in archive.tapes())}
    latest = max((one for one in segments if one.start_us <= time_us), default=None)
    return f" The tape of {latest.name} was removed on purpose." if latest in removed else ""
