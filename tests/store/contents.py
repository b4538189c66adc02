"""What an archive holds, read without its own code where that matters, and the rules for a reader.

A reader knows only the final folders: `assert_only_whole_files` is what it may always count on.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from booktape.core.tape_records import Checkpoint, Connected, SegmentEnd, SegmentStart, TapeRecord
from booktape.store.tape_reader import read_tape
from store.small_recording import Stored


def final_files(root: Path) -> list[Path]:
    """All that a reader may open, in the order of the segments."""
    tables = (path for room in ("gaps", "checks", "notes") for path in root.glob(f"{room}/*/*"))
    found = [*root.glob("tape/*/*"), *tables, *root.glob("snapshots/*/*/*")]
    return sorted(found, key=lambda path: (path.name, str(path)))


def assert_only_whole_files(root: Path) -> dict[Path, str]:
    """Every final file opens and is complete. Returns a digest of each."""
    for path in final_files(root):
        if path.suffix == ".parquet":
            table_rows(path)
        else:
            list(read_tape(path))
    return digests(root)


def digests(root: Path) -> dict[Path, str]:
    """A digest of each final file."""
    return {
        path.relative_to(root): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in final_files(root)
    }


def stored(root: Path) -> Stored:
    """All rows, gaps, checks and notes, in the order of the segments."""
    found = Stored()
    for path in final_files(root):
        if "snapshots" in path.parts:
            symbol = unquote(path.parent.parent.name.removeprefix("symbol="))
            found.rows.setdefault(symbol, []).extend(table_rows(path))
        elif "gaps" in path.parts:
            found.gaps.extend(table_rows(path))
        elif "checks" in path.parts:
            found.checks.update(table_rows(path))
        elif "notes" in path.parts:
            found.notes.extend(table_rows(path))
    return found


def table_rows(path: Path) -> list[tuple[Any, ...]]:
    """The rows of one Parquet file, times as microseconds."""
    return _rows(path.read_bytes())


@cache
def _rows(content: bytes) -> list[tuple[Any, ...]]:
    """Thousands of tests read the same few contents."""
    table = pq.read_table(io.BytesIO(content), use_threads=False)
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in table.columns
    ]
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def tapes(root: Path) -> list[Path]:
    """Every tape that counts: the sealed ones, and what was being written or recovered."""
    sealed = {path.name.removesuffix(".jsonl.zst"): path for path in root.glob("tape/*/*")}
    found: dict[str, Path] = {}
    for folder in root.glob("unsealed/*"):
        for name in ("tape.jsonl.zst", "torn.jsonl.zst"):
            if (folder / name).exists():
                found[folder.name] = folder / name
    found |= sealed
    return [found[name] for name in sorted(found)]


def records_on_tape(root: Path) -> list[TapeRecord]:
    """What arrived, without our notes of where segments begin and end."""
    found: list[TapeRecord] = []
    for path in tapes(root):
        head = True
        for record in read_tape(path, torn=True):
            if isinstance(record, SegmentStart):
                began_ns = record.received_ns
                continue
            # A new segment repeats which connections it took over.
            head = head and isinstance(record, Checkpoint | Connected)
            if isinstance(record, Checkpoint) or (head and record.received_ns == began_ns):
                continue
            if isinstance(record, SegmentEnd):
                break
            found.append(record)
    return found


def end_of_tape(root: Path) -> str | None:
    """Why the newest tape says that it ended; None when it does not."""
    ends = (f.reason for f in read_tape(tapes(root)[-1], torn=True) if isinstance(f, SegmentEnd))
    return next(ends, None)
