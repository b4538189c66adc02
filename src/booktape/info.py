"""What is in an archive: symbols, time covered, gaps and why, rows, bytes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from booktape.errors import UsageError
from booktape.store.layout import Layout, symbol_of

# Any: the values of a row as pyarrow hands them over; store/schema.py says their types.
Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SymbolInfo:
    """One symbol's rows and gaps. `lost_s` counts gaps between its first and its last row."""

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


@dataclass(frozen=True, slots=True)
class Survey:
    """An archive at a glance."""

    root: Path
    symbols: list[SymbolInfo]
    tape_files: int
    tape_bytes: int
    unsealed: int


def survey(root: Path) -> Survey:
    """Look through an archive. Reads footers and small columns only, never a list of levels.

    Raises UsageError where there is no archive.
    """
    layout = Layout(root)
    tapes = layout.sealed_tapes()
    unsealed = layout.unsealed_segments()
    if not tapes and not unsealed and not layout.snapshots.exists():
        raise UsageError(f"{root} holds no recording. Make one with: booktape record BTCUSDT")
    gaps = _gaps(root)
    symbols = [
        _symbol(symbol_of(folder.name), sorted(folder.glob("date=*/*.parquet")), gaps)
        for folder in sorted(layout.snapshots.glob("symbol=*"))
    ]
    return Survey(root, symbols, len(tapes), sum(t.stat().st_size for t in tapes), len(unsealed))


def _gaps(root: Path) -> list[Row]:
    """Every gap once: the row that closes one replaces the row that left it open."""
    rows: dict[tuple[str, int], Row] = {}
    for path in sorted(root.glob("gaps/date=*/*.parquet"), key=lambda path: path.name):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            rows[row["symbol"], row["epoch"]] = row
    return list(rows.values())


def _symbol(symbol: str, files: list[Path], gaps: list[Row]) -> SymbolInfo:
    columns = ["receive_time", "epoch"]
    tables = [pq.read_table(path, columns=columns, partitioning=None) for path in files]
    rows = pa.concat_tables(tables)
    # As numbers: the rows that an epoch begins with may stand out of the clock's order.
    times_us = rows["receive_time"].cast(pa.int64()).to_numpy()
    first, last = _time(times_us.min()), _time(times_us.max())
    own = [gap for gap in gaps if gap["symbol"] == symbol]
    return SymbolInfo(
        symbol,
        rows.num_rows,
        sum(path.stat().st_size for path in files),
        len(rows["epoch"].unique()),
        first,
        last,
        sum(_overlap_s(gap, first, last) for gap in own),
        dict(Counter(gap["reason"] for gap in own)),
    )


def _time(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))


def _overlap_s(gap: Row, first: datetime, last: datetime) -> float:
    """How much of a gap lies between two times; an open gap reaches to the end."""
    start: datetime
    end: datetime
    start, end = max(gap["start_time"], first), min(gap["end_time"] or last, last)
    return max(0.0, (end - start).total_seconds())


def render(found: Survey) -> Group:
    """The same for a person; fits on 80 columns."""
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("symbol", no_wrap=True)
    for name in ("rows", "bytes/row", "epochs", "time", "coverage"):
        table.add_column(name, justify="right")
    table.add_column("gaps", overflow="fold")
    for symbol in found.symbols:
        table.add_row(
            symbol.symbol,
            f"{symbol.rows:,}",
            f"{symbol.bytes / symbol.rows:,.0f}",
            str(symbol.epochs),
            str(timedelta(seconds=round(symbol.span_s))),
            f"{symbol.coverage:.3%}",
            _reasons(symbol.gaps),
        )
    return Group(Text(_period(found)), table, Text(_footer(found)))


def _period(found: Survey) -> str:
    if not found.symbols:
        return f"{found.root}: no sealed snapshots yet"
    first = min(symbol.first for symbol in found.symbols)
    last = max(symbol.last for symbol in found.symbols)
    return f"{found.root}: {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"


def _reasons(gaps: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(gaps.items())) or "none"


def _footer(found: Survey) -> str:
    text = f"tape: {found.tape_files} sealed, {found.tape_bytes / 1e6:,.1f} MB."
    if found.unsealed:
        text += f" {found.unsealed} segment is still being written, or waits for the next start."
    return text
