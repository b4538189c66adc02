"""Verifies one segment by itself: its files, and everything that follows from its tape.

Its first checkpoints are assumed to be right; `continuity` compares them with the previous segment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from booktape.errors import Damaged, DamagedTape
from booktape.processes.terminal import counted
from booktape.store.layout import Segment
from booktape.store.parquet_reader import (
    check_columns,
    open_parquet,
    parquet_errors,
    snapshots_schema,
)
from booktape.store.schema import CHECKS, GAPS, NOTES, TRADE_GAPS
from booktape.verify.compare_rows import RowComparison
from booktape.verify.compare_tables import (
    TableComparison,
    check_row,
    gap_row,
    note_row,
    trade_gap_row,
)
from booktape.verify.compare_trades import TradeComparison
from booktape.verify.files import SegmentFiles, check_seals
from booktape.verify.findings import Finding, Findings, Kind, damage
from booktape.verify.model.checks import ModelCheck
from booktape.verify.model.decode import Trade
from booktape.verify.model.replay import NoteOnTape, SegmentEdge, SegmentReplay
from booktape.verify.model.sync import ModelSync, OpenGap
from booktape.verify.model.tape import lines
from booktape.verify.model.trades import Missing

_LINES_A_STEP: Final = 500

Step = Callable[[int], None]
"""Called with the number of further bytes of tape that were read."""


def no_step(_bytes: int) -> None:
    """For a caller that shows no progress."""


@dataclass
class SegmentResult:
    """The result for one segment. `epochs` are the last ones of the stored rows if there is no tape."""

    segment: Segment
    found: Findings
    start: dict[str, object] | None = None
    format: int = 1
    reason: str | None = None
    begin: SegmentEdge = field(default_factory=SegmentEdge)
    end: SegmentEdge | None = None
    rests: frozenset[str] = frozenset()
    epochs: dict[str, int] = field(default_factory=dict)


class SegmentComparison:
    """Compares what follows from a tape with the stored data, either immediately or at the end of the tape."""

    def __init__(
        self, root: Path, files: SegmentFiles, found: Findings, wanted: frozenset[str] | None
    ) -> None:
        self._root = root
        self._files = files
        self._found = found
        self._is_wanted = partial(_is_wanted, wanted)
        self._rows = {
            symbol: RowComparison(file, root / file, symbol, found)
            for symbol, file in files.rows.items()
            if self._is_wanted(symbol)
        }
        self._trades = {
            symbol: TradeComparison(file, root / file, symbol, found)
            for symbol, file in files.trades.items()
            if self._is_wanted(symbol)
        }
        schemas = {"gaps": GAPS, "checks": CHECKS, "notes": NOTES, "trade_gaps": TRADE_GAPS}
        self._tables = {name: TableComparison(name, schema) for name, schema in schemas.items()}

    def row(self, sync: ModelSync, stamp_ns: int) -> None:
        """Compare a row: a full book."""
        if rows := self._rows.get(sync.symbol):
            rows.expect(sync, stamp_ns)
        else:
            self._count_missing(sync.symbol, "rows", "snapshots")

    def trade(self, trade: Trade, stamp_ns: int, *, filled: bool) -> None:
        """Compare a trade."""
        if trades := self._trades.get(trade.symbol):
            trades.expect(trade, stamp_ns, filled=filled)
        else:
            self._count_missing(trade.symbol, "trades", "trades")

    def _count_missing(self, symbol: str, what: str, room: str) -> None:
        """Count a row whose file is missing. The file is reported once."""
        if not self._is_wanted(symbol):
            return
        counts = self._found.counts_of(symbol)
        if not counts.different[what]:
            file = f"{room} of {symbol} in {self._files.segment.name}"
            self._found.different(file, "the file is missing", symbol=symbol)
        counts.different[what] += 1

    def trade_gap(self, symbol: str, missing: Missing, stamp_ns: int, reason: str) -> None:
        """Expect a row for trades that are missing for good."""
        row = trade_gap_row(symbol, missing, stamp_ns, reason)
        self._tables["trade_gaps"].expect(row, inherited=missing.inherited)

    def gap(
        self, symbol: str, gap: OpenGap, end_ns: int | None = None, next_id: int | None = None
    ) -> None:
        """Expect a row for a gap that ended, or that is open when the recording ends."""
        row = gap_row(symbol, gap, end_ns, next_id)
        self._tables["gaps"].expect(row, inherited=gap.inherited)

    def check(self, check: ModelCheck) -> None:
        """Expect a row for a comparison with a witness."""
        self._tables["checks"].expect(check_row(check))

    def note(self, note: NoteOnTape) -> None:
        """Expect a row for an occurrence that is not a gap."""
        self._tables["notes"].expect(note_row(note))

    def finish(self, *, complete: bool, has_trades: bool) -> None:
        """End all comparisons at the end of the tape. Further stored rows are differences, or unverifiable if it is incomplete."""
        for rows in self._rows.values():
            rows.finish(complete=complete)
        for trades in self._trades.values():
            trades.finish(complete=complete)
        for name, table in self._tables.items():
            file = self._files.tables.get(name)
            if file:
                table.compare(
                    file, self._root / file, self._found, self._is_wanted, complete=complete
                )
            elif name != "trade_gaps" or has_trades:
                missing = f"{name} of {self._files.segment.name}"
                self._found.different(missing, "the file is missing")


def _is_wanted(wanted: frozenset[str] | None, symbol: str | None) -> bool:
    return wanted is None or symbol is None or symbol in wanted


def verify_segment(
    root: Path, files: SegmentFiles, wanted: frozenset[str] | None, step: Step
) -> SegmentResult:
    """Verify one segment alone. Reads its files, writes nothing."""
    found = Findings()
    result = SegmentResult(files.segment, found)
    check_seals(root, files, found)
    for symbol in filter(partial(_is_wanted, wanted), files.rows):
        found.counts_of(symbol).segments += 1
    if files.tape is None:
        _count_without_tape(root, files, wanted, result)
        return result
    comparison = SegmentComparison(root, files, found, wanted)
    replay = SegmentReplay(comparison)
    complete = _read(root, files.tape, replay, found, step)
    comparison.finish(complete=complete, has_trades=replay.has_trades)
    result.start = replay.start.fields if replay.start else None
    result.begin, result.reason, result.format = replay.begin, replay.reason, replay.format
    if complete:
        result.end = replay.end
        result.rests = frozenset(s for s, m in replay.syncs.items() if m.rests_on_start())
        _compare_last_checkpoints(files.tape, replay, found)
    return result


def read_beginning(root: Path, files: SegmentFiles) -> SegmentResult:
    """The beginning of a segment, as a result without an end. Raises DamagedTape."""
    result = SegmentResult(files.segment, Findings())
    if files.tape is None:
        raise DamagedTape(f"{files.segment.name} has no tape")
    replay = SegmentReplay(SegmentComparison(root, files, Findings(), frozenset()))
    for _, _, line in lines(root / files.tape):
        replay.feed(line)
        if not replay.is_beginning:
            break
    result.start = replay.start.fields if replay.start else None
    result.begin, result.format = replay.begin, replay.format
    return result


def _read(root: Path, tape: str, replay: SegmentReplay, found: Findings, step: Step) -> bool:
    """Read a tape. Returns whether it could be read to its end."""
    number = known = 0
    try:
        for number, at, line in lines(root / tape):
            replay.feed(line)
            if number % _LINES_A_STEP == 0:
                step(at - known)
                known = at
        replay.finish()
    except DamagedTape as error:
        found.different(tape, f"the tape is damaged in or after line {number}: {error}")
        found.add(Finding(Kind.UNVERIFIABLE, tape, "what follows on it cannot be verified"))
        return False
    finally:
        step((root / tape).stat().st_size - known)
    return True


def _compare_last_checkpoints(tape: str, replay: SegmentReplay, found: Findings) -> None:
    """Compare the checkpoints at the end of a recording, which its tape has for the next recording."""
    if replay.reason == "rotated":
        return
    for symbol in sorted(replay.end.books.keys() | replay.last_checkpoints.keys()):
        ours, stored = replay.end.books.get(symbol, {}), replay.last_checkpoints.get(symbol, {})
        unequal = ours.items() ^ stored.items()
        if unequal:
            part, _ = min(unequal)
            found.different(
                tape,
                "its last checkpoint does not follow from the tape",
                symbol=symbol,
                column=part,
                expected=ours.get(part, "none"),
                stored=stored.get(part, "none"),
            )


def _count_without_tape(
    root: Path, files: SegmentFiles, wanted: frozenset[str] | None, result: SegmentResult
) -> None:
    """Count the rows of a segment without a tape, and note their last epoch.

    With a receipt they had been verified when the tape was removed, and the manifest shows that they are as they were.
    """
    found = result.found
    for symbol, file in files.rows.items():
        if not _is_wanted(wanted, symbol):
            continue
        try:
            with parquet_errors(), open_parquet(root / file) as opened:
                check_columns(opened.schema_arrow, snapshots_schema(opened.metadata))
                result.epochs[symbol] = 0
                for batch in opened.iter_batches(columns=["epoch"], use_threads=False):
                    epochs = batch.column("epoch").to_numpy()
                    counts = found.counts_of(symbol)
                    if files.was_verified:
                        counts.verified_before += len(epochs)
                    else:
                        counts.unverifiable += len(epochs)
                    result.epochs[symbol] = int(epochs.max(initial=result.epochs[symbol]))
        except (OSError, Damaged) as error:
            found.different(file, damage(error), symbol=symbol)
    name = files.segment.name
    if files.was_verified and files.removed:
        for symbol, rows in files.removed.unproven_rows.items():
            if _is_wanted(wanted, symbol):
                found.counts_of(symbol).trusted += rows
                what = (
                    f"when its tape was removed, {counted(rows, 'row')} rested on a checkpoint that no "
                    "tape proved"
                )
                found.add(Finding(Kind.TRUST, name, what, symbol=symbol))
        return
    found.add(Finding(Kind.UNVERIFIABLE, name, "has no tape: none of its rows can be verified"))
