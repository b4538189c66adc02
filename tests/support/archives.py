"""An archive as a recorder that starts has it: locked, and repaired."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from booktape.store.archive import Archive, own_archive


@contextmanager
def open_archive(root: Path) -> Iterator[Archive]:
    """Lock the directory and recover what a killed recorder left in it.

    Raises DirectoryInUse when another recorder has it.
    """
    with own_archive(root) as archive:
        archive.repair()
        yield archive
