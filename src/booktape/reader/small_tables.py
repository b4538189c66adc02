"""Reads the small tables: `gaps`, `checks` and `notes`."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.tape_query import NO_ROWS, unsealed_outputs
from booktape.store.extents import read_table
from booktape.store.schema import TABLES


def sealed_tables(archive: ArchiveFiles, name: str) -> Iterator[pa.Table]:
    """Every sealed file of one table that can be read, oldest first."""
    if name == "gaps":
        yield from map(archive.gaps, archive.tables(name))
        return
    schema = TABLES[name].schema
    for file in archive.tables(name):
        found = schema.empty_table()
        with archive.skip_damaged(file.path), archive.open(file) as opened:
            found = read_table(opened, schema)
        yield found


def table(archive: ArchiveFiles, name: str, *, unsealed: bool) -> pa.Table:
    """All of `checks` or `notes`, in order. An archive older than these tables has none."""
    tapes = archive.unsealed() if unsealed else []
    sealed = {file.segment for file in archive.tables(name)}
    schema = TABLES[name].schema
    found = [schema.empty_table(), *sealed_tables(archive, name)]
    tail = [_from_tape(archive, tape, name) for tape in tapes if tape.segment not in sealed]
    return pa.concat_tables([*found, pa.Table.from_batches(tail, schema)])


def _from_tape(archive: ArchiveFiles, tape: ArchiveFile, name: str) -> pa.RecordBatch:
    # A row whose book is crossed has a check, so the rows must be made as well.
    every = 0 if name == "checks" else NO_ROWS
    return TABLES[name].batch(unsealed_outputs(archive, tape, None, every=every))
