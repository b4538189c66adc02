"""Whether the files of an archive are as they were sealed, at a glance."""

from __future__ import annotations

import pyarrow.parquet as pq

from booktape.reader.archive_files import ArchiveFiles
from booktape.reader.progress import tracked
from booktape.reader.tape_query import read_records
from booktape.store.extents import check_sizes
from booktape.store.layout import symbol_folder
from booktape.store.manifest import read_manifest
from booktape.store.schema import TABLES
from booktape.store.tape_reader import first_line


def check_files(place: ArchiveFiles) -> None:
    """Name every file that cannot be opened as what it is, or has not the size it was sealed with.

    A file that is not there is not named: its owner may have thrown it away. Known weakness: what was
    changed without changing a file's size or its ends is found by `verify` only.
    """
    tapes = place.tapes()
    rows = [file for symbol in place.symbols() for file in place.rows(symbol_folder(symbol))]
    tables = [file for name in TABLES for file in place.tables(name)]
    sizes = {file.path: file.bytes for file in [*tapes, *rows, *tables]}
    for tape in tracked(tapes, "looking at tapes"):
        with place.reading(tape.path):
            first_line(read_records(place, tape, frozenset()), tape.path)
    for file in tracked([*rows, *tables], "looking at files"):
        with place.reading(file.path), place.open(file.path) as opened:
            check_sizes(pq.read_metadata(opened))
    for manifest in place.manifests():
        with place.reading(manifest.path), place.open(manifest.path) as opened:
            for name, seal in read_manifest(opened.read()).files.items():
                path = f"{place.root}/{name}"
                if sizes.get(path, seal.bytes) != seal.bytes:
                    why = f"it was sealed with {seal.bytes:,} bytes, and has {sizes[path]:,}"
                    place.report_damage(path, why)
