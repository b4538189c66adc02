"""How much of the time each book was known, computed from file footers: no levels are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from booktape.core.events import BookRow
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.gaps import gap_table
from booktape.reader.progress import tracked
from booktape.reader.records import Gap
from booktape.reader.rows import in_order
from booktape.reader.tape_query import unsealed_outputs
from booktape.reader.timeline import Timeline
from booktape.reader.times import moment_at, moment_us
from booktape.store.extents import GroupExtent
from booktape.store.layout import Segment, symbol_folder


@dataclass(frozen=True, slots=True)
class Coverage:
    """One symbol's rows and gaps. `lost_s` is the time of the gaps between its first and its last row.

    `epochs` counts from the first row's epoch to the last row's. `bytes` are those of sealed rows.
    `stray_rows` were stamped while our clock was wrong by more than a day: they count in `rows`, and not in
    `first`, `last` and `lost_s`.
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

    @property
    def span_s(self) -> float:
        """Seconds between the first and the last row."""
        return (self.last - self.first).total_seconds()

    @property
    def coverage(self) -> float:
        """The share of that time in which the book was known."""
        return 1 - self.lost_s / self.span_s if self.span_s else 1.0


def coverage(archive: ArchiveFiles, *, unsealed: bool = True) -> list[Coverage]:
    """The coverage of every symbol that has rows, by name.

    Known weakness: an hour of unsealed tape is computed twice, once for its rows, once for gaps.
    """
    tapes = archive.unsealed() if unsealed else []
    files = {symbol: archive.rows(symbol_folder(symbol)) for symbol in archive.symbols()}
    groups = {symbol: _sealed(archive, symbol, own) for symbol, own in files.items()}
    for tape in tapes:
        sealed = {symbol for symbol, own in files.items() if _holds(archive, own, tape.segment)}
        _add_tape(archive, tape, groups, sealed)
    table = gap_table(archive, unsealed=unsealed)
    gaps: dict[str, list[Gap]] = {}
    for row in table.to_pylist():
        gaps.setdefault(row["symbol"], []).append(Gap.from_row(row))
    return [
        _coverage(
            symbol, own, sum(file.bytes for file in files.get(symbol, ())), gaps.get(symbol, [])
        )
        for symbol, own in sorted(groups.items())
        if own
    ]


def _holds(archive: ArchiveFiles, files: Sequence[ArchiveFile], segment: Segment) -> bool:
    return any(file.segment == segment and archive.extents(file) for file in files)


def _sealed(archive: ArchiveFiles, symbol: str, files: Sequence[ArchiveFile]) -> list[GroupExtent]:
    for file in tracked(files, f"reading {symbol}"):
        archive.extents(file)
    return [group for file in in_order(archive, files) for group in archive.extents(file)]


def _add_tape(
    archive: ArchiveFiles, tape: ArchiveFile, groups: dict[str, list[GroupExtent]], sealed: set[str]
) -> None:
    for row in unsealed_outputs(archive, tape, None):
        if isinstance(row, BookRow) and row.symbol not in sealed:
            time_us = row.received_ns // 1_000
            ranges = (time_us, time_us, row.epoch, row.epoch, row.update_id, row.update_id)
            groups.setdefault(row.symbol, []).append(GroupExtent(0, 1, *ranges))


def _coverage(
    symbol: str, groups: Sequence[GroupExtent], size: int, gaps: Sequence[Gap]
) -> Coverage:
    times = Timeline(groups)
    first_us = min(group.first_us for group in times.kept)
    last_us = max(group.last_us for group in times.kept)
    epochs = max(g.last_epoch for g in groups) - min(g.first_epoch for g in groups) + 1
    lost = (_span_us(times.fit(gap), first_us, last_us) for gap in gaps)
    return Coverage(
        symbol,
        sum(group.rows for group in groups),
        size,
        epochs,
        moment_at(first_us),
        moment_at(last_us),
        _union_us(lost) / 1e6,
        dict(Counter(gap.reason for gap in gaps)),
        times.stray_rows,
    )


def _span_us(gap: Gap, first_us: int, last_us: int) -> tuple[int, int]:
    """The part of a gap between two times. An open gap reaches to the end."""
    end_us = last_us if gap.end_time is None else moment_us(gap.end_time)
    return max(moment_us(gap.start_time), first_us), min(end_us, last_us)


def _union_us(spans: Iterable[tuple[int, int]]) -> int:
    """The total length of the spans. Time in several of them counts once."""
    total_us, reached_us = 0, -(2**62)
    for start_us, end_us in sorted(spans):
        total_us += max(0, end_us - max(start_us, reached_us))
        reached_us = max(reached_us, end_us)
    return total_us
