"""Every gap once.

A *gap* is an interval in which a symbol's book was not known. It ends an epoch: the gap of epoch 3 lies between the last
row of epoch 3 and the first row of epoch 4, with which the book is known again. Gaps and rows are therefore matched by
epoch, never by time: our clock may have been wrong, but epochs only grow.

Three cases:

- **Declared**: the gap is a row of `gaps/`, or follows from a tape that is not sealed yet. A gap that was open when its
  segment ended has a second row where it is closed, perhaps days later; the second row counts. An epoch has several gaps
  if its symbol was delisted before its book was known again: each of them but the last ends with the delisting, without a
  next id.
- **Undeclared**: the epoch changes from one sealed row to the next, and no gap declares the change, because its file is
  missing or damaged. Only the two rows are known, so the gap lies between them.
- **Delisted**: no gap declares the change, and `notes/` says that the symbol was not listed then. There was no book to
  know, so this is not a gap.

`gap_table` has the times that were declared. In `gap_list` the times fit the rows, even if a wrong clock stamped the gap
or the file that closes it is missing: see `wrong_clock.fit_gap`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from booktape.core.tape_records import DELISTED
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.records import Gap
from booktape.reader.rows import in_order, row_extents
from booktape.reader.tape_query import FIRST_ROWS_ONLY, unsealed_outputs
from booktape.reader.times import moment_at
from booktape.reader.wrong_clock import fit_gap, rightly_stamped
from booktape.store.extents import GroupExtent
from booktape.store.schema import GAPS, TABLES


def gap_table(
    archive: ArchiveFiles, symbol: str | None = None, before_us: int | None = None
) -> pa.Table:
    """All gaps, declared or not, with the columns of `gaps`, earliest first.

    With a `symbol`, gaps from unsealed tapes are only guaranteed to be right for times before `before_us`.
    """
    rows = _declared(archive, symbol, before_us)
    names = archive.symbols() if symbol is None else [symbol]
    declared = {(row["symbol"], row["epoch"]) for row in rows}
    undeclared = [gap for name in names for gap in _undeclared(archive, name, declared)]
    delisted = _delistings(archive) if undeclared else {}
    for gap in undeclared:
        times = delisted.get(gap.symbol, ())
        if not any(gap.start_time <= at <= (gap.end_time or at) for at in times):
            rows.append(asdict(gap))
    rows.sort(key=lambda row: (row["start_time"], row["symbol"]))
    return pa.Table.from_pylist(rows, GAPS)


def _declared(
    archive: ArchiveFiles, symbol: str | None, before_us: int | None
) -> list[dict[str, Any]]:
    """The gaps in files and on unsealed tapes, each once."""
    before_ns = None if before_us is None else before_us * 1_000
    # Unsealed tapes first: a segment that is sealed meanwhile is then read twice, instead of being missed.
    tail = [
        TABLES["gaps"].batch(unsealed_outputs(archive, tape, symbol, before_ns, FIRST_ROWS_ONLY))
        for tape in archive.tail()
    ]
    # Known weakness: every file of gaps is needed, because a gap may be closed much later.
    table = pa.concat_tables([archive.sealed_gaps(), pa.Table.from_batches(tail, GAPS)])
    if symbol is not None:
        table = table.filter(pc.field("symbol") == symbol)
    found: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        alike = found[row["symbol"], row["epoch"], row["reason"]]
        if alike and alike[-1]["end_time"] is None:
            alike[-1] = row  # the same gap: closed, or still open
        elif all(_is_another(row, closed) for closed in alike):
            alike.append(row)
    return [row for rows in found.values() for row in rows]


def _is_another(row: dict[str, Any], closed: dict[str, Any]) -> bool:
    """Whether a row is of another gap than a closed one with the same epoch and reason.

    A closed gap never opens again, but an open row of it may be read late. Another gap of the epoch follows only if the
    symbol was delisted in between: then the first one ends without a next id.
    """
    start = row["start_time"]
    ended_with_symbol = closed["next_update_id"] is None
    return ended_with_symbol and closed["start_time"] != start and closed["end_time"] <= start


def _undeclared(
    archive: ArchiveFiles, symbol: str, declared: set[tuple[str, int]]
) -> Iterator[Gap]:
    """A gap between two consecutive rows wherever a change of the epoch is not `declared`, by symbol and epoch."""
    for last, first in pairwise(_sealed_rows(archive, symbol, declared)):
        # A forged epoch may be any number, so epochs are checked one by one, up to the first that is not declared.
        for epoch in range(last.last_epoch, first.first_epoch):
            if (symbol, epoch) not in declared:
                times = moment_at(last.last_us), moment_at(max(last.last_us, first.first_us))
                yield Gap.undeclared(symbol, epoch, times, (last.last_id, first.first_id))
                break


def _sealed_rows(
    archive: ArchiveFiles, symbol: str, declared: set[tuple[str, int]]
) -> Iterator[GroupExtent]:
    """The extents of a symbol's row groups, or of single rows where a change within a group is not `declared`.

    Segments whose tape is not sealed are left out: their file of gaps may not be published yet.
    """
    unsealed = {tape.segment for tape in archive.unsealed()}
    files = [file for file in archive.rows(symbol) if file.segment not in unsealed]
    for file in in_order(archive, files):
        for group in archive.extents(file):
            epochs = range(group.first_epoch, group.last_epoch)
            if all((symbol, epoch) in declared for epoch in epochs):
                yield group
            else:
                yield from row_extents(archive, file, group)


def _delistings(archive: ArchiveFiles) -> dict[str, list[datetime]]:
    """The times at which each symbol was found to be no longer listed."""
    found: dict[str, list[datetime]] = {}
    for row in archive.read_tables("notes", archive.tables("notes")).to_pylist():
        if row["kind"] == "status" and row["detail"] == DELISTED:
            found.setdefault(row["symbol"], []).append(row["time"])
    return found


def gaps_by_symbol(table: pa.Table) -> Mapping[str, list[Gap]]:
    """The rows of `gap_table` by symbol, in its order; an empty list for a symbol without gaps."""
    found: defaultdict[str, list[Gap]] = defaultdict(list)
    for row in table.to_pylist():
        found[row["symbol"]].append(Gap.from_row(row))
    return found


def stamped_gaps(archive: ArchiveFiles, symbol: str, before_us: int | None = None) -> list[Gap]:
    """One symbol's gaps, by epoch, with the times that were stamped: the start by the clock of its epoch's rows."""
    gaps = gaps_by_symbol(gap_table(archive, symbol, before_us))[symbol]
    return sorted(gaps, key=lambda gap: gap.epoch)


def fitted_gaps(archive: ArchiveFiles, symbol: str, stamped: Iterable[Gap]) -> list[Gap]:
    """The gaps that `stamped_gaps` returned, with times that fit those of the symbol's rows."""
    files = in_order(archive, archive.rows(symbol))
    right = rightly_stamped([group for file in files for group in archive.extents(file)])
    return [fit_gap(gap, right) for gap in stamped]


def gap_list(archive: ArchiveFiles, symbol: str, before_us: int | None = None) -> list[Gap]:
    """One symbol's gaps, by epoch, with times that fit those of its rows."""
    return fitted_gaps(archive, symbol, stamped_gaps(archive, symbol, before_us))
