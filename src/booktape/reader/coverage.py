"""How much of the time each book was known, computed from file footers: no levels are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from booktape.core.events import BookRow
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.gaps import gap_table, gaps_by_symbol
from booktape.reader.progress import tracked
from booktape.reader.records import Gap
from booktape.reader.rows import in_order, row_extent
from booktape.reader.tape_query import unsealed_outputs
from booktape.reader.times import moment_at, moment_us
from booktape.reader.wrong_clock import fit_gap, rightly_stamped
from booktape.store.extents import GroupExtent

SET_BACK_US: Final = 1_000_000
"""A smaller step of our clock is not in `notes` either."""

DAYS_MAX: Final = 36_525
"""A hundred years. With a wrong clock, or a forged file, a recording may seem to last for thousands of years."""

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Coverage:
    """One symbol's rows and gaps. `lost_s` is the time of the gaps between its first and its last row.

    `epochs` counts from the first row's epoch to the last row's. `bytes` is the size of the sealed rows.
    `stray_rows` were stamped while our clock was wrong by more than a day: they count in `rows`, but not in
    `first`, `last` and `lost_s`. They are in `stray_segments`. `set_back` has the segments before or in which our clock was
    set back by SET_BACK_US or more: they begin before the rows recorded before them end.
    """

    symbol: str
    rows: int
    bytes: int
    epochs: int
    first: datetime
    last: datetime
    lost_s: float
    gaps: dict[str, int]
    stray_rows: int = 0
    stray_segments: tuple[str, ...] = ()
    set_back: tuple[str, ...] = ()

    @property
    def span_s(self) -> float:
        """Seconds between the first and the last row."""
        return (self.last - self.first).total_seconds()

    @property
    def coverage(self) -> float:
        """The share of that time in which the book was known."""
        return 1 - self.lost_s / self.span_s if self.span_s else 1.0


@dataclass(frozen=True, slots=True)
class DayCoverage:
    """One symbol on one day: the seconds in which its book was known, and the gaps."""

    known_s: float = 0.0
    gaps: int = 0

    @property
    def share(self) -> float:
        """The known share of the day's 24 hours."""
        return self.known_s / _DAY.total_seconds()


def coverage(archive: ArchiveFiles) -> list[Coverage]:
    """The coverage of every symbol that has rows, by name. Files that were found damaged do not count.

    Known weakness: an unsealed tape is processed twice, once for its rows and once for its gaps.
    """
    tapes = archive.tail()
    files: dict[str, list[ArchiveFile]] = {}
    groups: dict[str, list[_Stored]] = {}
    for symbol in tracked(archive.symbols(), "reading symbols"):
        files[symbol] = in_order(archive, archive.undamaged(archive.rows(symbol)))
        groups[symbol] = [
            _Stored(file.segment.name, group)
            for file in files[symbol]
            for group in archive.extents(file)
        ]
    for tape in tapes:
        # A file of rows that cannot be read does not count: the tape has the same rows.
        sealed = {
            symbol
            for symbol, own in files.items()
            if any(file.segment == tape.segment for file in own)
        }
        for output in unsealed_outputs(archive, tape, None):
            if isinstance(output, BookRow) and output.symbol not in sealed:
                extent = row_extent(output.received_ns // 1_000, output.epoch, output.update_id)
                stored = _Stored(tape.segment.name, extent)
                groups.setdefault(output.symbol, []).append(stored)
    gaps = gaps_by_symbol(gap_table(archive))
    return [
        _coverage(symbol, own, sum(file.bytes for file in files.get(symbol, ())), gaps[symbol])
        for symbol, own in sorted(groups.items())
        if own
    ]


class _Stored(NamedTuple):
    """A row group, or a row of an unsealed tape, and the name of its segment."""

    segment: str
    extent: GroupExtent


def _coverage(symbol: str, stored: Sequence[_Stored], size: int, gaps: Sequence[Gap]) -> Coverage:
    groups = [one.extent for one in stored]
    right = rightly_stamped(groups)
    kept = {id(group) for group in right}
    stray = [one.segment for one in stored if id(one.extent) not in kept]
    set_back = [
        later.segment
        for one, later in pairwise(stored)
        if one.extent.last_us - later.extent.first_us >= SET_BACK_US
    ]
    first_us = min(group.first_us for group in right)
    last_us = max(group.last_us for group in right)
    epochs = max(g.last_epoch for g in groups) - min(g.first_epoch for g in groups) + 1
    lost = (_span_us(fit_gap(gap, right), first_us, last_us) for gap in gaps)
    rows = sum(group.rows for group in groups)
    return Coverage(
        symbol,
        rows,
        size,
        epochs,
        moment_at(first_us),
        moment_at(last_us),
        _union_us(lost) / 1e6,
        dict(Counter(gap.reason for gap in gaps)),
        rows - sum(group.rows for group in right),
        tuple(dict.fromkeys(stray)),
        tuple(dict.fromkeys(set_back)),
    )


def _span_us(gap: Gap, first_us: int, last_us: int) -> tuple[int, int]:
    """The part of a gap between two times. An open gap reaches to the end."""
    end_us = last_us if gap.end_time is None else moment_us(gap.end_time)
    return max(moment_us(gap.start_time), first_us), min(end_us, last_us)


def _union_us(spans: Iterable[tuple[int, int]]) -> int:
    """The total length of the spans. Time that is in several of them counts once."""
    total_us, reached_us = 0, -(2**62)
    for start_us, end_us in sorted(spans):
        total_us += max(0, end_us - max(start_us, reached_us))
        reached_us = max(reached_us, end_us)
    return total_us


def days_between(first: datetime, last: datetime) -> list[date]:
    """Every day (UTC), both ends included; at most the last DAYS_MAX of them."""
    count = min((last.date() - first.date()).days + 1, DAYS_MAX)
    return [last.date() - number * _DAY for number in reversed(range(count))]


def day_coverage(own: Coverage, gaps: Sequence[Gap], day: date) -> DayCoverage:
    """How much of a day (UTC) was known: the recorded time minus the time of the symbol's gaps."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    start, end = max(own.first, begin), min(own.last, begin + _DAY)
    if start >= end:
        return DayCoverage()
    begin_us, end_us = moment_us(start), moment_us(end)
    spans = [_span_us(gap, begin_us, end_us) for gap in gaps]
    spans = [(from_us, to_us) for from_us, to_us in spans if from_us < to_us]
    return DayCoverage((end_us - begin_us - _union_us(spans)) / 1e6, len(spans))
