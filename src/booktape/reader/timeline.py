"""When one symbol's book was known, as its rows say: also where our clock was wrong, or gaps are missing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, NamedTuple

from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.records import Gap
from booktape.reader.rows import in_order, read_scalars
from booktape.reader.times import moment_at, moment_us
from booktape.store.extents import GroupExtent
from booktape.store.layout import symbol_folder

WRONG_US: Final = 86_400_000_000
"""A clock that falls back by more than a day was wrong before, or is wrong now. By less: events were
held, or it was set right by a little."""


@dataclass(frozen=True, slots=True)
class _Step:
    """Two rows, one after the other, of different epochs."""

    last: GroupExtent
    first: GroupExtent


class Timeline:
    """The row groups of one symbol, in the order of recording.

    `kept` are those that a clock stamped which never fell back; where it did, as few rows as possible are
    left out.
    """

    def __init__(self, groups: Sequence[GroupExtent]) -> None:
        self.groups = groups
        self.kept = _never_falling(groups)

    @property
    def stray_rows(self) -> int:
        """How many rows are stamped by a clock that does not go with the others."""
        return sum(group.rows for group in self.groups) - sum(group.rows for group in self.kept)

    def fit(self, gap: Gap) -> Gap:
        """A gap, with times that go with those of the rows around it, if its own do not."""
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


def timeline(place: ArchiveFiles, symbol: str) -> Timeline:
    """Of the sealed rows. Reads footers only."""
    files = in_order(place, place.rows(symbol_folder(symbol)))
    return Timeline([group for file in files for group in place.extents(file)])


def undeclared(place: ArchiveFiles, symbol: str, declared: Sequence[Gap]) -> list[Gap]:
    """The intervals between two epochs of sealed rows of which no file of gaps tells.

    Files of gaps may be lost or damaged. A segment whose tape is not sealed yet may lack its own, and is
    left out.
    """
    unsealed = {tape.segment for tape in place.unsealed()}
    told = {gap.epoch: gap for gap in declared}
    files = [f for f in place.rows(symbol_folder(symbol)) if f.segment not in unsealed]
    found: list[Gap] = []
    before: GroupExtent | None = None
    for file in in_order(place, files):
        for group in place.extents(file):
            within = told.keys() >= set(range(group.first_epoch, group.last_epoch))
            parts = [group] if within else read_scalars(place, file, group)
            for part in parts:
                if before is not None:
                    found += _untold(symbol, _Step(before, part), told)
                before = part
    return found


def _untold(symbol: str, step: _Step, told: dict[int, Gap]) -> Iterable[Gap]:
    """One gap, if some of those that should lie in between are not declared."""
    last, first = step.last, step.first
    epochs = range(last.last_epoch, first.first_epoch)
    lost = [epoch for epoch in epochs if epoch not in told]
    if not lost:
        return
    # What is declared in between is not told twice.
    starts = [told[e].end_time for e in epochs if e < lost[0]]
    ends = [told[e].start_time for e in epochs if e > lost[-1]]
    start, end = moment_at(last.last_us), moment_at(first.first_us)
    yield Gap(
        symbol,
        lost[0],
        max([start, *filter(None, starts)]),
        max(start, min([end, *ends])),
        last.last_id,
        first.first_id,
        first.first_id - last.last_id - 1,
        "undeclared",
    )


def _never_falling(groups: Sequence[GroupExtent]) -> list[GroupExtent]:
    """The most rows whose time never falls back by more than WRONG_US from one group to the next."""
    if all(one.last_us - WRONG_US <= other.first_us for one, other in pairwise(groups)):
        return list(groups)
    # For each number of rows that can be kept, how early the last of them can be: both only grow.
    ends: list[int] = []
    best: list[_Kept] = []
    for group in groups:
        place = bisect_right(ends, group.first_us + WRONG_US)
        before = best[place - 1] if place else None
        one = _Kept((before.rows if before else 0) + group.rows, group, before)
        at = bisect_right(ends, group.last_us)
        if at and best[at - 1].rows >= one.rows:
            continue
        # Whatever ends later and holds no more is worth nothing.
        after = at
        while after < len(best) and best[after].rows <= one.rows:
            after += 1
        ends[at:after], best[at:after] = [group.last_us], [one]
    return best[-1].groups()


class _Kept(NamedTuple):
    """Some row groups: the last one, and those before it."""

    rows: int
    last: GroupExtent
    before: _Kept | None

    def groups(self) -> list[GroupExtent]:
        """In order."""
        found: list[GroupExtent] = []
        one: _Kept | None = self
        while one:
            found.append(one.last)
            one = one.before
        return found[::-1]
