"""Reads an archive's checks, its notes, the lines of its tapes, and how far it has come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

import booktape
from booktape.errors import NotRecorded
from booktape.store.tape_reader import read_lines
from e2e.promises import Row

PATIENCE_S: Final = 180.0
"""Real time, on a machine that may be busy."""


def table_of(root: Path, name: str) -> list[Row]:
    """Every row of `checks` or `notes`, oldest file first."""
    files = sorted(root.glob(f"{name}/date=*/*.parquet"), key=lambda path: path.name)
    return [row for path in files for row in pq.read_table(path, partitioning=None).to_pylist()]


def lines_of(root: Path, *kinds: str) -> Iterator[dict[str, Any]]:
    """The lines of these kinds on all sealed tapes, in order."""
    heads = tuple(f'{{"k":"{kind}"'.encode() for kind in kinds)
    for path in sorted(root.glob("tape/date=*/*.zst"), key=lambda path: path.name):
        yield from (json.loads(line) for line in read_lines(path) if line.startswith(heads))


def rows_on_tape(root: Path, symbols: Sequence[str]) -> list[int]:
    """The number of rows of each symbol in the archive, including tapes that are being written."""
    try:
        found = {symbol.symbol: symbol.rows for symbol in booktape.open(root).coverage()}
    except NotRecorded:
        found = {}
    return [found.get(symbol, 0) for symbol in symbols]


async def until_rows(root: Path, symbols: Sequence[str], rows: int) -> None:
    """Wait until there are this many rows of each symbol."""
    async with asyncio.timeout(PATIENCE_S):
        while min(rows_on_tape(root, symbols)) < rows:
            await asyncio.sleep(0.1)
