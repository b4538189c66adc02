"""Tapes that were removed on purpose: readers of tapes say so where they would have needed one."""

from __future__ import annotations

from bisect import bisect_right

from booktape.processes.terminal import counted
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.times import moment_at
from booktape.store.layout import Segment


def removed_tapes(archive: ArchiveFiles) -> list[Segment]:
    """The segments whose tape was removed on purpose, by name; also those of which nothing is left."""
    there = {tape.segment for tape in archive.tapes()}
    return [file.segment for file in archive.removals() if file.segment not in there]


def report_removed(archive: ArchiveFiles, start_us: int | None, end_us: int | None) -> None:
    """Report, once, the removed tapes that may have had records of `start_us <= time < end_us`.

    Known weakness: a removed tape ended when the next segment began by name; a clock that was set back, or another
    recorder's segment, makes that too early.
    """
    removed = removed_tapes(archive)
    begun = {*removed, *(tape.segment for tape in archive.tapes())}
    starts = sorted(segment.start_us for segment in begun)
    found = []
    for segment in removed:
        number = bisect_right(starts, segment.start_us)
        end = starts[number] if number < len(starts) else segment.start_us
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
    """A sentence, after a blank, if the tape of this time was removed on purpose; else an empty text."""
    removed = removed_tapes(archive)
    segments = {*removed, *(tape.segment for tape in archive.tapes())}
    latest = max((one for one in segments if one.start_us <= time_us), default=None)
    return f" The tape of {latest.name} was removed on purpose." if latest in removed else ""
