"""What was removed from an archive on purpose: a receipt for each segment that has lost anything this way.

    removed/date=2026-01-05/<segment>.json

A receipt is durable before the first file is removed. So whatever reads an archive can tell a file that was removed on
purpose from one that was lost. Receipts stay when everything else of a segment is gone; each has a few hundred bytes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from booktape.errors import Damaged
from booktape.store.catalog import segments_in
from booktape.store.clearing import is_irregular, remove_sealed
from booktape.store.durable_files import disk_errors_named, make_folder, sync_path
from booktape.store.layout import Layout, Segment
from booktape.store.manifest import manifest_of
from booktape.store.opening import open_file

FORMAT = 1
"""The format of receipts."""

RECEIPT_BYTES_MAX: Final = 1 << 20
"""At most this much of a receipt is read. One for a segment with 1,400 symbols, all of them unproven, has 50 kB."""


class Removal(Struct, frozen=True):
    """What was removed from a segment, and what had been proved about it.

    `removed`: its tape, or everything. `verified_by` is the version of booktape that had verified the segment, empty
    if none had. `shipped_to` is the bucket that has the segment, if `--ship-keep` removed it.

    `manifest_sha256` is the checksum of its manifest then, so that rows without a tape can still be compared with what
    was verified. Each segment in `continued_by` began as this one ended. `unproven` names the symbols whose books at
    its end rested on a checkpoint that no tape proved, and `unproven_rows` counts such rows by symbol: normally none.
    """

    segment: str
    removed: Literal["tape", "all"]
    removed_at: str
    format: int = FORMAT
    shipped_to: str = ""
    verified_by: str = ""
    manifest_sha256: str = ""
    continued_by: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    unproven_rows: dict[str, int] = {}


def now_text() -> str:
    """The current time, in the format of receipts."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def read_removal(layout: Layout, segment: Segment) -> Removal | None:
    """The receipt of a segment, or None if it has none. Raises OSError, and Damaged with the file's name."""
    path = layout.removal(segment)
    _check_regular([path])
    try:
        with open_file(path) as file:
            found = msgspec.json.decode(file.read(RECEIPT_BYTES_MAX), type=Removal)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"{path}: it is not a receipt of a removal: {error}") from error
    if found.format != FORMAT:
        raise Damaged(f"{path}: its format is {found.format}, but this version reads {FORMAT}")
    return found


def removed_segments(layout: Layout) -> list[Segment]:
    """The segments that have a receipt, by name."""
    return sorted(segments_in(layout.removed, ".json"))


def remove_tape(layout: Layout, segment: Segment, removal: Removal) -> None:
    """Write the receipt, then remove the tape. Raises WriteFailed, and Damaged if the tape is not a regular file."""
    tape = layout.tape(segment)
    _check_regular([tape])
    write_removal(layout, segment, removal)
    _remove(tape)


def remove_segment(layout: Layout, segment: Segment, removal: Removal) -> None:
    """Write the receipt, then remove all files of the segment. Raises WriteFailed, Damaged.

    Nothing is written or removed if the manifest cannot be read, or if a folder, a link or anything else that is not a
    regular file has the name of one of the files. The tape is removed after the other files, and the manifest, which
    names them all, goes last, so an interrupted removal can be completed later. Folders stay, because a recorder may be
    about to put a file there.
    """
    manifest = layout.manifest(segment)
    with disk_errors_named(manifest):
        names = manifest_of(layout, segment).files
    tape = layout.tape(segment)
    files = [layout.root / name for name in names if layout.is_file_of(name, segment)]
    _check_regular(files)
    write_removal(layout, segment, removal)
    for path in (*sorted(files, key=tape.__eq__), manifest):
        _remove(path)


def write_removal(layout: Layout, segment: Segment, removal: Removal) -> None:
    """Write a receipt durably, replacing any earlier one. Raises WriteFailed."""
    final = layout.removal(segment)
    # No other file has this name: only an earlier receipt is replaced, and no link is followed.
    partial = final.with_name(f".{final.name}-{secrets.token_hex(8)}.partial")
    with disk_errors_named(final):
        make_folder(final.parent)
        with partial.open("xb") as file:
            file.write(msgspec.json.encode(removal) + b"\n")
        sync_path(partial)
        partial.rename(final)
        sync_path(final.parent)


def _check_regular(paths: Iterable[Path]) -> None:
    """Raises Damaged for the first path at which there is anything but a regular file."""
    for path in paths:
        if is_irregular(path):
            raise Damaged(f"{path}: it is not a regular file")


def _remove(path: Path) -> None:
    with disk_errors_named(path):
        remove_sealed(path)
        if path.parent.is_dir():
            sync_path(path.parent)
