"""Reads the small tables `checks`, `notes` and `trade_gaps`; those of `gaps` are merged (gaps.py)."""

from __future__ import annotations

import pyarrow as pa

from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.tape_query import NO_ROWS, unsealed_outputs
from booktape.store.schema import TABLES


def table(archive: ArchiveFiles, name: str) -> pa.Table:
    """All of one table, in order. An archive older than the table has none of it."""
    # A row whose book is crossed has a check, so the rows must be made as well.
    every = 0 if name == "checks" else NO_ROWS
    _, tapes = archive.with_tail(lambda: archive.tables(name))
    tail = [
        TABLES[name].batch(unsealed_outputs(archive, tape, None, every=every)) for tape in tapes
    ]
    sealed = archive.sealed_tables(name)
    return pa.concat_tables([*sealed, pa.Table.from_batches(tail, TABLES[name].schema)])
