"""The small tables that are read as they stand: `checks` and `notes`."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from booktape.reader.archive_files import ArchiveFile, ArchiveFiles
from booktape.reader.tape_query import NO_ROWS, outputs
from booktape.store.extents import open_parquet
from booktape.store.schema import TABLES


def sealed_tables(place: ArchiveFiles, name: str) -> Iterator[pa.Table]:
    """Every sealed file of one table that can be read, oldest first."""
    schema = TABLES[name].schema
    for file in place.tables(name):
        found = schema.empty_table()
        with place.reading(file.path), place.open(file.path) as opened:
            found = open_parquet(opened).read().select(schema.names).cast(schema)
        yield found


def table(place: ArchiveFiles, name: str, *, unsealed: bool) -> pa.Table:
    """All of `checks` or `notes`, in order; an archive from before they existed has none."""
    tapes = place.unsealed() if unsealed else []
    sealed = {file.segment for file in place.tables(name)}
    schema = TABLES[name].schema
    found = [schema.empty_table(), *sealed_tables(place, name)]
    tail = [_of_tape(place, tape, name) for tape in tapes if tape.segment not in sealed]
    return pa.concat_tables([*found, pa.Table.from_batches(tail, schema)])


def _of_tape(place: ArchiveFiles, tape: ArchiveFile, name: str) -> pa.RecordBatch:
    return TABLES[name].batch(outputs(place, tape, None, every=NO_ROWS))
