"""Every gap once: from sealed files and unsealed tapes, open and closed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow as pa

from booktape.core.tape_records import DELISTED
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.records import Gap
from booktape.reader.tape_query import FIRST_ROWS_ONLY, unsealed_outputs
from booktape.reader.timeline import timeline, undeclared
from booktape.store.schema import GAPS, TABLES


def gap_table(
    archive: ArchiveFiles, symbol: str | None = None, before_us: int | None = None
) -> pa.Table:
    """All gaps with the columns of `gaps`, earliest first, and those that no file declares.

    A gap may have a row that left it open and one that closes it; the second one counts. With a `symbol`,
    gaps from unsealed tapes need only be right for times before `before_us`.
    """
    rows = _declared(archive, symbol, before_us)
    delisted: dict[str, list[datetime]] | None = None
    for name in archive.symbols() if symbol is None else [symbol]:
        own = [Gap.from_row(row) for (one, *_), row in rows.items() if one == name]
        for gap in undeclared(archive, name, own):
            delisted = _delistings(archive) if delisted is None else delisted
            # A symbol that was not listed had no book.
            until = gap.end_time or gap.start_time
            if not any(gap.start_time <= at <= until for at in delisted.get(name, ())):
                rows[name, gap.epoch, gap.reason] = asdict(gap)
    found = sorted(rows.values(), key=lambda row: (row["start_time"], row["symbol"]))
    return pa.Table.from_pylist(found, GAPS)


def _declared(
    archive: ArchiveFiles, symbol: str | None, before_us: int | None
) -> dict[tuple[str, int, str], dict[str, Any]]:
    """The gaps in files and on unsealed tapes, by symbol, epoch and reason.

    A symbol that is delisted while its book is not known, and comes back, has two gaps of one epoch.
    """
    before_ns = None if before_us is None else before_us * 1_000
    # Unsealed tapes first: a segment that is sealed meanwhile is then read twice, and not missed.
    tail = [
        pa.Table.from_batches(
            [
                TABLES["gaps"].batch(
                    unsealed_outputs(archive, tape, symbol, before_ns, FIRST_ROWS_ONLY)
                )
            ]
        )
        for tape in archive.tail()
    ]
    # Known weakness: every file of gaps is needed, because a gap may be closed much later.
    sealed = archive.read_tables("gaps", archive.tables("gaps"))
    merged = pa.concat_tables([*sealed, *tail])
    rows: dict[tuple[str, int, str], dict[str, Any]] = {}
    for row in merged.to_pylist():
        key = row["symbol"], row["epoch"], row["reason"]
        known = rows.get(key)
        # A closed gap never opens again: an open row that is read later does not replace it.
        if symbol in {None, row["symbol"]} and not (known and known["end_time"]):
            rows[key] = row
    return rows


def _delistings(archive: ArchiveFiles) -> dict[str, list[datetime]]:
    """The times at which each symbol was found to be no longer listed."""
    found: dict[str, list[datetime]] = {}
    notes = archive.read_tables("notes", archive.tables("notes"))
    for row in pa.concat_tables(notes).to_pylist():
        if row["kind"] == "status" and row["detail"] == DELISTED:
            found.setdefault(row["symbol"], []).append(row["time"])
    return found


def gaps_by_symbol(table: pa.Table) -> Mapping[str, list[Gap]]:
    """The rows of `gap_table`, in its order; a symbol without any has none."""
    found: defaultdict[str, list[Gap]] = defaultdict(list)
    for row in table.to_pylist():
        found[row["symbol"]].append(Gap.from_row(row))
    return found


def gap_list(archive: ArchiveFiles, symbol: str, before_us: int | None = None) -> list[Gap]:
    """One symbol's gaps, by epoch, with times that fit those of its rows.

    A gap that was declared while our clock was wrong by more than a day gets the times of the rows around it.
    """
    gaps = gaps_by_symbol(gap_table(archive, symbol, before_us))[symbol]
    times = timeline(archive, symbol)
    return [times.fit(gap) for gap in sorted(gaps, key=lambda gap: gap.epoch)]
