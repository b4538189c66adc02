"""Every interval in which a book was not known, once: sealed and unsealed, open and closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow as pa

from booktape.core.tape_records import DELISTED
from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.records import Gap
from booktape.reader.small_tables import sealed_tables
from booktape.reader.tape_query import NO_ROWS, outputs
from booktape.reader.timeline import timeline, undeclared
from booktape.store.schema import GAPS, TABLES


def gap_table(
    place: ArchiveFiles,
    symbol: str | None = None,
    *,
    unsealed: bool = True,
    before_us: int | None = None,
) -> pa.Table:
    """All gaps, as `gaps` holds them, the earliest first; and those that no file declares.

    Of the rows of one gap the one that closes it counts, not the one that left it open. With a
    `symbol`, gaps of the unsealed end need only be right for what lies before `before_us`.
    """
    rows = _declared(place, symbol, unsealed=unsealed, before_us=before_us)
    delisted: dict[str, list[datetime]] | None = None
    for name in place.symbols() if symbol is None else [symbol]:
        own = [Gap.from_row(row) for (one, _), row in rows.items() if one == name]
        for gap in undeclared(place, name, own):
            delisted = _delistings(place) if delisted is None else delisted
            # A symbol that was not listed had no book that could have been known.
            until = gap.end_time or gap.start_time
            if not any(gap.start_time <= at <= until for at in delisted.get(name, ())):
                rows[name, gap.epoch] = asdict(gap)
    found = sorted(rows.values(), key=lambda row: (row["start_time"], row["symbol"]))
    return pa.Table.from_pylist(found, GAPS)


def _declared(
    place: ArchiveFiles, symbol: str | None, *, unsealed: bool, before_us: int | None
) -> dict[tuple[str, int], dict[str, Any]]:
    """What files and unsealed tapes tell, by symbol and epoch."""
    # The unsealed ones first: a segment that is sealed meanwhile is then read twice, not missed.
    tail = list(_unsealed(place, symbol, before_us)) if unsealed else []
    # Known weakness: every file of the archive is opened, since a gap may be closed much later.
    merged = pa.concat_tables([GAPS.empty_table(), *sealed_tables(place, "gaps"), *tail])
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for row in merged.to_pylist():
        known = rows.get((row["symbol"], row["epoch"]))
        # No gap opens again: an open row that was read late does not replace the closed one.
        if symbol in {None, row["symbol"]} and not (known and known["end_time"]):
            rows[row["symbol"], row["epoch"]] = row
    return rows


def _delistings(place: ArchiveFiles) -> dict[str, list[datetime]]:
    """When symbols were found not to be listed any more."""
    found: dict[str, list[datetime]] = {}
    for table in sealed_tables(place, "notes"):
        for row in table.to_pylist():
            if row["kind"] == "status" and row["detail"] == DELISTED:
                found.setdefault(row["symbol"], []).append(row["time"])
    return found


def gap_list(
    place: ArchiveFiles, symbol: str, *, unsealed: bool, before_us: int | None = None
) -> list[Gap]:
    """One symbol's gaps, by epoch, with times that go with those of its rows.

    A gap that was declared while our clock was wrong by more than a day has the times of the rows around
    it instead.
    """
    table = gap_table(place, symbol, unsealed=unsealed, before_us=before_us)
    gaps = sorted((Gap.from_row(row) for row in table.to_pylist()), key=lambda gap: gap.epoch)
    times = timeline(place, symbol)
    return [times.fit(gap) for gap in gaps]


def _unsealed(place: ArchiveFiles, symbol: str | None, before_us: int | None) -> Iterator[pa.Table]:
    before_ns = None if before_us is None else before_us * 1_000
    for tape in place.unsealed():
        said = outputs(place, tape, symbol, before_ns, NO_ROWS)
        yield pa.Table.from_batches([TABLES["gaps"].batch(said)])
