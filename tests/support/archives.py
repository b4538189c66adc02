"""An archive as a starting recorder has it: locked and repaired."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from booktape.core.tape_records import FORMAT, Checkpoint, SegmentStart
from booktape.store.archive import Archive, lock_archive
from booktape.store.catalog import lineage_of


@contextmanager
def open_archive(root: Path) -> Iterator[Archive]:
    """Lock the directory and recover what a killed recorder left in it.

    Raises DirectoryInUse when another recorder has it.
    """
    with lock_archive(root) as archive:
        archive.repair()
        yield archive


def past_of(archive: Archive, symbols: tuple[str, ...], now_ns: int) -> dict[str, Checkpoint]:
    """What a recording of these symbols that began now would continue from."""
    lineage = lineage_of(archive._layout)
    start = SegmentStart(now_ns, "", "", 1, 1, symbols, format=FORMAT)
    return archive.past(lineage, lineage.last(), start)
