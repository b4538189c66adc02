"""Of an archive: its checks, its notes, and what its tapes say, for the proofs' tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from booktape.store.tape_reader import read_lines
from e2e.promises import Row


def table_of(root: Path, name: str) -> list[Row]:
    """Every row of `checks` or `notes`, oldest file first."""
    files = sorted(root.glob(f"{name}/date=*/*.parquet"), key=lambda path: path.name)
    return [row for path in files for row in pq.read_table(path, partitioning=None).to_pylist()]


def lines_of(root: Path, *kinds: str) -> Iterator[dict[str, Any]]:
    """The lines of these kinds on all sealed tapes, in order."""
    heads = tuple(f'{{"k":"{kind}"'.encode() for kind in kinds)
    for path in sorted(root.glob("tape/date=*/*.zst"), key=lambda path: path.name):
        yield from (json.loads(line) for line in read_lines(path) if line.startswith(heads))
