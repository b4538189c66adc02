"""How much of the time a book was known. From footers alone: no list of levels is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from booktape.core.events import BookRow
from booktape.reader.book import Gap
from booktape.reader.gaps import gap_table
from booktape.reader.place import File, Place
from booktape.reader.progress import tracked
from booktape.reader.tape import outputs
from booktape.reader.times import moment_at
from booktape.store.layout import symbol_folder


@dataclass(frozen=True, slots=True)
class Coverage:
    """One symbol's rows and gaps. `lost_s` counts gaps between its first and its last row.

    `epochs` counts from the first row's to the last row's. `bytes` are those of sealed rows.
    """

    symbol: str
    rows: int
    bytes: int
    epochs: int
    first: datetime
    last: datetime
    lost_s: float
    gaps: dict[str, int]

    @property
    def span_s(self) -> float:
        """Seconds between the first and the last row."""
        return (self.last - self.first).total_seconds()

    @property
    def coverage(self) -> float:
        """Share of that time in which the book was known."""
        return 1 - self.lost_s / self.span_s if self.span_s else 1.0


@dataclass(slots=True)
class _Extent:
    """What rows say together."""

    rows: int = 0
    first_us: int = 2**62
    last_us: int = -(2**62)
    first_epoch: int = 2**62
    last_epoch: int = 0

    def add(self, rows: int, times_us: tuple[int, int], epochs: tuple[int, int]) -> None:
        self.rows += rows
        self.first_us = min(self.first_us, times_us[0])
        self.last_us = max(self.last_us, times_us[1])
        self.first_epoch = min(self.first_epoch, epochs[0])
        self.last_epoch = max(self.last_epoch, epochs[1])


def coverage(place: Place, *, unsealed: bool = True) -> list[Coverage]:
    """Of every symbol that has rows, by name.

    Known weakness: an hour of unsealed tape is computed twice, once for its rows, once for gaps.
    """
    tapes = place.unsealed() if unsealed else []
    files = {symbol: place.rows(symbol_folder(symbol)) for symbol in place.symbols()}
    extents = {symbol: _sealed(place, symbol, own) for symbol, own in files.items()}
    for tape in tapes:
        sealed = {symbol for symbol, own in files.items() if tape.segment in _segments(own)}
        _add_tape(place, tape, extents, sealed)
    table = gap_table(place, unsealed=unsealed)
    gaps = [Gap.from_row(row) for row in table.to_pylist()]
    return [
        _coverage(symbol, extent, sum(file.bytes for file in files.get(symbol, ())), gaps)
        for symbol, extent in sorted(extents.items())
        if extent.rows
    ]


def _segments(files: Iterable[File]) -> set[object]:
    return {file.segment for file in files}


def _sealed(place: Place, symbol: str, files: Sequence[File]) -> _Extent:
    extent = _Extent()
    for file in tracked(files, f"reading {symbol}"):
        for group in place.extents(file):
            times_us = group.first_us, group.last_us
            extent.add(group.rows, times_us, (group.first_epoch, group.last_epoch))
    return extent


def _add_tape(place: Place, tape: File, extents: dict[str, _Extent], sealed: set[str]) -> None:
    for row in outputs(place, tape, None):
        if isinstance(row, BookRow) and row.symbol not in sealed:
            time_us = row.received_ns // 1_000
            extent = extents.setdefault(row.symbol, _Extent())
            extent.add(1, (time_us, time_us), (row.epoch, row.epoch))


def _coverage(symbol: str, extent: _Extent, size: int, gaps: Sequence[Gap]) -> Coverage:
    first, last = moment_at(extent.first_us), moment_at(extent.last_us)
    own = [gap for gap in gaps if gap.symbol == symbol]
    return Coverage(
        symbol,
        extent.rows,
        size,
        extent.last_epoch - extent.first_epoch + 1,
        first,
        last,
        sum(_overlap_s(gap, first, last) for gap in own),
        dict(Counter(gap.reason for gap in own)),
    )


def _overlap_s(gap: Gap, first: datetime, last: datetime) -> float:
    """How much of a gap lies between two times; an open gap reaches to the end."""
    start, end = max(gap.start_time, first), min(gap.end_time or last, last)
    return max(0.0, (end - start).total_seconds())
