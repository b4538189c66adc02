"""The summary of an archive for `booktape info`: symbols, time covered, gaps and reasons, rows, bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from booktape.checks.crossed import BOOK
from booktape.errors import DamagedTape
from booktape.processes.terminal import counted
from booktape.reader import Coverage, Recording
from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.removed import removed_tapes
from booktape.reader.tape_query import read_records
from booktape.store.tape_reader import first_line

_NAMED_MAX: Final = 5
"""The most segments that are named one by one."""


class TradeCounts(NamedTuple):
    """How many trades of one symbol are stored, and how many are declared missing."""

    stored: int
    missing: int


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """The summary of an archive; `name` is its folder or address."""

    name: str
    symbols: list[Coverage]
    tape_files: int
    tape_bytes: int
    unsealed: int
    crossed: dict[str, int]
    """By symbol: how many states of its book had a best bid that was not below the best ask."""
    removed_tapes: int = 0
    """Segments whose tape was removed on purpose, and whose rows are still there."""
    removed: int = 0
    """Segments that were removed completely, on purpose."""
    removed_until: str = ""
    """The name of the last segment of which anything was removed."""
    trades: Mapping[str, TradeCounts] = field(default_factory=dict)
    """By symbol, for the symbols whose trades were recorded."""
    shards: tuple[str, ...] = ()
    """The parts of the symbols that were recorded, such as 2/3; empty if all were recorded."""
    on_the_way: int = 0
    """Segments of a bucket that have no manifest yet."""


def summarize(archive: ArchiveFiles, recording: Recording) -> ArchiveSummary:
    """Summarize an archive. This reads footers, gaps and manifests, but no levels.

    `recording` is the recording of `archive`, which was opened with `unsealed=False`: reading an unsealed tape takes
    long. Afterwards `recording.damaged` has the files that are no longer as they were sealed. Raises BucketError.
    """
    recording.check_files()
    checks = _undamaged(archive, "checks").select(["symbol", "witness"]).to_pylist()
    tapes = archive.tapes()
    sealed = {manifest.segment for manifest in archive.manifests()}
    removed = sorted(removed_tapes(archive))
    whole = [segment for segment in removed if segment not in sealed]
    return ArchiveSummary(
        archive.name,
        recording.coverage(),
        len(tapes),
        sum(tape.bytes for tape in tapes),
        len(archive.unsealed()),
        Counter(check["symbol"] for check in checks if check["witness"] == BOOK),
        len(removed) - len(whole),
        len(whole),
        removed[-1].name if removed else "",
        _trades(archive, recording),
        _shards(archive, tapes),
        len(archive.on_the_way()),
    )


def _undamaged(archive: ArchiveFiles, name: str) -> pa.Table:
    """The rows of one of the small tables, without those of damaged files."""
    return archive.read_tables(name, archive.undamaged(archive.tables(name)))


def _trades(archive: ArchiveFiles, recording: Recording) -> dict[str, TradeCounts]:
    missing: Counter[str] = Counter()
    for gap in _undamaged(archive, "trade_gaps").to_pylist():
        # If ids started over, the number is unknown, and the last id is below the first one.
        missing[gap["symbol"]] += max(0, gap["last_id"] - gap["first_id"] + 1)
    found = {}
    for symbol in recording.symbols():
        stored = 0
        for file in archive.undamaged(archive.trades(symbol)):
            with archive.skip_damaged(file.path), archive.open(file) as opened:
                stored += pq.read_metadata(opened).num_rows
        if stored or missing[symbol]:
            found[symbol] = TradeCounts(stored, missing[symbol])
    return found


def _shards(archive: ArchiveFiles, tapes: Sequence[ArchiveFile]) -> tuple[str, ...]:
    """The shards of all recordings, from the last tape of each."""
    last = {tape.segment.tag: tape for tape in tapes}
    found: set[str] = set()
    for tape in last.values():
        with suppress(DamagedTape):  # `check_files` names damaged files
            found.add(first_line(read_records(archive, tape, frozenset()), tape.path).shard)
    return tuple(sorted(found - {""}))


def render(found: ArchiveSummary) -> Group:
    """The summary as text, at most 80 columns wide."""
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("symbol", no_wrap=True)
    for name in ("rows", "bytes/row", "epochs", "time", "coverage"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("gaps", overflow="fold")
    for symbol in found.symbols:
        table.add_row(
            symbol.symbol,
            f"{symbol.rows:,}",
            f"{symbol.bytes / symbol.rows:,.0f}",
            str(symbol.epochs),
            str(timedelta(seconds=round(symbol.span_s))),
            f"{symbol.coverage:.3%}",
            ", ".join(f"{count} {reason}" for reason, count in sorted(symbol.gaps.items()))
            or "none",
        )
    return Group(Text(_period(found)), table, *_remarks(found), Text(_footer(found)))


def _remarks(found: ArchiveSummary) -> Iterator[Text]:
    """Remarks on wrong clocks, on gaps that no file declares, on trades, and on crossed books."""
    for symbol in found.symbols:
        if symbol.stray_rows:
            yield Text(
                f"{symbol.symbol}: stamped by a clock that was wrong by more than a day: "
                f"{counted(symbol.stray_rows, 'row')} of {_first_to_last(symbol.stray_segments)}. "
                "Not counted in its time and coverage."
            )
    if set_back := sorted({name for symbol in found.symbols for name in symbol.set_back}):
        yield Text(
            f"Warning: our clock was set back before or in {', '.join(set_back[:_NAMED_MAX])}"
            f"{' …' if set_back[_NAMED_MAX:] else ''}. The rows before and after it may have the same times."
        )
    if any("undeclared" in symbol.gaps for symbol in found.symbols):
        yield Text(
            "undeclared: the epoch changes, and no file of gaps/ has the reason. See booktape verify."
        )
    for name, trades in found.trades.items():
        yield Text(f"{name}: {counted(trades.stored, 'trade')}, {trades.missing:,} missing.")
    for name, count in sorted(found.crossed.items()):
        yield Text(
            f"{name}: crossed books (the best bid is not below the best ask): {count:,}. "
            "Stored as the exchange sent them; checks has each (witness book)."
        )


def _first_to_last(segments: Sequence[str]) -> str:
    """For a sentence: `segment A`, or `3 segments from A to C`, in the order of recording."""
    if len(segments) == 1:
        return f"segment {segments[0]}"
    return f"{counted(len(segments), 'segment')} from {segments[0]} to {segments[-1]}"


def _period(found: ArchiveSummary) -> str:
    if not found.symbols:
        return f"{found.name}: no sealed snapshots yet"
    first = min(symbol.first for symbol in found.symbols)
    last = max(symbol.last for symbol in found.symbols)
    return f"{found.name}: {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"


def _footer(found: ArchiveSummary) -> str:
    text = f"tape: {found.tape_files} sealed, {found.tape_bytes / 1e6:,.1f} MB."
    if found.unsealed:
        segments = counted(found.unsealed, "segment")
        text += f" Not sealed: {segments}, still being written or left for the next start."
    if found.on_the_way:
        segments = counted(found.on_the_way, "segment")
        text += f" On the way, without a manifest yet: {segments}."
    if found.removed_until:
        removed = [f"all of {counted(found.removed, 'segment')}"] if found.removed else []
        if found.removed_tapes:
            removed.append(counted(found.removed_tapes, "tape"))
        text += f" Removed on purpose, up to {found.removed_until}: {', and '.join(removed)}."
    if found.shards:
        text += f" Of the symbols: shard {', '.join(found.shards)}."
    return text
