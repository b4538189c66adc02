"""When one symbol's book was known, by its rows: also if our clock was wrong, or gaps are missing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.records import Gap
from booktape.reader.rows import in_order, read_scalars
from booktape.reader.times import moment_at, moment_us
from booktape.store.extents import GroupExtent

WRONG_US: Final = 86_400_000_000
"""A clock that goes back by more than a day was wrong before, or is wrong now. If it goes back by less, events
were held, or it was corrected a little."""


class Timeline:
    """The row groups of one symbol, in the order of recording.

    `kept` are the groups whose times never go back by more than WRONG_US. As few rows as possible are left
    out of it.
    """

    def __init__(self, groups: Sequence[GroupExtent]) -> None:
        self.groups = groups
        self.kept = _never_falling(groups)

    @property
    def stray_rows(self) -> int:
        """The number of rows that are not in `kept`: a wrong clock stamped them."""
        return sum(group.rows for group in self.groups) - sum(group.rows for group in self.kept)

    def fit(self, gap: Gap) -> Gap:
        """The gap. Times that do not fit the rows around it are replaced by the times of those rows."""
        known = [group.last_us for group in self.kept if group.last_epoch <= gap.epoch]
        again = [group.first_us for group in self.kept if group.first_epoch > gap.epoch]
        start_us = moment_us(gap.start_time)
        end_us = None if gap.end_time is None else moment_us(gap.end_time)
        fitted = gap
        if again and end_us is not None and end_us > again[0] + WRONG_US:
            fitted = replace(fitted, end_time=moment_at(again[0]))
        if known and again and not known[-1] - WRONG_US <= start_us <= again[0] + WRONG_US:
            fitted = replace(fitted, start_time=moment_at(known[-1]))
        return fitted


def timeline(archive: ArchiveFiles, symbol: str) -> Timeline:
    """The timeline of the sealed rows. Reads footers only."""
    files = in_order(archive, archive.rows(symbol))
    return Timeline([group for file in files for group in archive.extents(file)])


def undeclared(archive: ArchiveFiles, symbol: str, declared: Sequence[Gap]) -> list[Gap]:
    """The gaps between two epochs of sealed rows that no file of gaps declares.

    Files of gaps may be lost or damaged. Segments whose tape is not sealed are left out: their file of gaps
    may not be published yet.
    """
    unsealed = {tape.segment for tape in archive.unsealed()}
    by_epoch = {gap.epoch: gap for gap in declared}
    files = [f for f in archive.rows(symbol) if f.segment not in unsealed]
    found: list[Gap] = []
    before: GroupExtent | None = None
    for file in in_order(archive, files):
        for group in archive.extents(file):
            within = all(one in by_epoch for one in range(group.first_epoch, group.last_epoch))
            for part in [group] if within else read_scalars(archive, file, group):
                if before is not None:
                    found += _undeclared_gap(symbol, before, part, by_epoch)
                before = part
    return found


def _undeclared_gap(
    symbol: str, last: GroupExtent, first: GroupExtent, declared: dict[int, Gap]
) -> list[Gap]:
    """One gap, if some of the gaps between two consecutive rows are not declared."""
    # A forged epoch may be any number: no more of them are looked at than are declared, and one from each end.
    epochs = range(last.last_epoch, first.first_epoch)
    lost = next((epoch for epoch in epochs if epoch not in declared), None)
    if lost is None:
        return []
    last_lost = next(epoch for epoch in reversed(epochs) if epoch not in declared)
    # It begins after the declared gaps before it, and ends before those after it.
    starts = [declared[epoch].end_time for epoch in range(epochs.start, lost)]
    ends = [declared[epoch].start_time for epoch in range(last_lost + 1, epochs.stop)]
    start, end = moment_at(last.last_us), moment_at(first.first_us)
    times = max([start, *filter(None, starts)]), max(start, min([end, *ends]))
    return [Gap.undeclared(symbol, lost, times, (last.last_id, first.first_id))]


def _never_falling(groups: Sequence[GroupExtent]) -> list[GroupExtent]:
    """The most rows whose time never falls back by more than WRONG_US from one group to the next."""
    if all(one.last_us - WRONG_US <= other.first_us for one, other in pairwise(groups)):
        return list(groups)
    # Of the best choices so far, each by the number of its last group: when they end, and how many rows they keep. A
    # later end keeps more rows. `before` leads from the last group of a choice to the one before it.
    ends: list[int] = []
    best: list[tuple[int, int]] = []
    before: list[int] = []
    for number, group in enumerate(groups):
        fitting = bisect_right(ends, group.first_us + WRONG_US)
        rows, previous = best[fitting - 1] if fitting else (0, -1)
        rows += group.rows
        before.append(previous)
        at = bisect_right(ends, group.last_us)
        if at and best[at - 1][0] >= rows:
            continue
        # Choices that end later and keep no more rows are useless now.
        after = at
        while after < len(best) and best[after][0] <= rows:
            after += 1
        ends[at:after], best[at:after] = [group.last_us], [(rows, number)]
    kept: list[GroupExtent] = []
    number = best[-1][1]
    while number >= 0:
        kept.append(groups[number])
        number = before[number]
    return kept[::-1]
