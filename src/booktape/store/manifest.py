"""The manifest of a sealed segment: the size and SHA-256 of each of its files, and what is in them.

    {"format": 1, "segment": "20261122T101300.000000Z-3f9a2c81",
     "files": {"tape/date=2026-11-22/….jsonl.zst": {"bytes": 123, "sha256": "…"},
               "gaps/date=2026-11-22/….parquet": {"bytes": 123, "sha256": "…", "rows": 0},
               "snapshots/symbol=BTCUSDT/date=2026-11-22/….parquet":
                   {"bytes": 123, "sha256": "…", "rows": 360, "first_id": 9, "last_id": 3609}, …}}

Paths are relative to the archive. `rows` is the number of a table's rows, `first_id` and `last_id` are the
update ids of the first and the last row; manifests of version 0.1.0 have none of the three. From the manifest `verify`
finds a file that was lost, added or changed, even if its content still reads the same. The manifest protects against
accidents, not against a forger, who can rewrite it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgspec
from msgspec import Struct

from booktape.errors import Damaged
from booktape.store.clearing import remove_unsealed
from booktape.store.durable_files import disk_errors_named, make_folder, sync_path
from booktape.store.layout import MANIFEST_BYTES_MAX, Layout, Segment
from booktape.store.opening import open_file
from booktape.store.unsealed_file import FileSeal, UnsealedFile


class _Format(Struct):
    format: int = 1


class Contents(NamedTuple):
    """What a table holds: its number of rows, and the update ids of the first and the last row."""

    rows: int
    first_id: int | None = None
    last_id: int | None = None


class SealedFile(Struct, frozen=True, omit_defaults=True):
    """One file of a segment: its size and checksum, and its `Contents` if it is a table."""

    bytes: int
    sha256: str
    rows: int | None = None
    first_id: int | None = None
    last_id: int | None = None


FORMAT: Final = 1
"""The format of manifests. A manifest that names no format has format 1."""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """All files of one segment, by path relative to the archive."""

    segment: str
    files: dict[str, SealedFile]
    format: int = FORMAT


def read_manifest(file: IO[bytes]) -> Manifest:
    """Decode a manifest. Raises OSError, and Damaged for anything else, including a later format."""
    content = file.read(MANIFEST_BYTES_MAX + 1)
    if len(content) > MANIFEST_BYTES_MAX:
        raise Damaged(f"it is not a manifest: it has more than {MANIFEST_BYTES_MAX >> 20} MiB")
    try:
        later = msgspec.json.decode(content, type=_Format).format
        if later > FORMAT:
            raise Damaged(f"its format is {later}, but this version reads format {FORMAT}")
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"it is not a manifest: {error}") from error


def manifest_of(layout: Layout, segment: Segment) -> Manifest:
    """The manifest of a segment. Raises OSError, Damaged with the file's name."""
    path = layout.manifest(segment)
    try:
        with open_file(path) as file:
            return read_manifest(file)
    except Damaged as error:
        raise Damaged(f"{path}: {error}") from error


def seal_manifest(
    layout: Layout,
    segment: Segment,
    files: Mapping[Path, FileSeal],
    contents: Mapping[Path, Contents],
) -> None:
    """Write the manifest of `files`, by their final paths, durably. May be called again after a WriteFailed.

    `contents` says what is in those that are tables.

    Unlike any other file, a manifest replaces an existing one. A crash may have come after the manifest and before
    the tape; then recovery compresses the tape again, into different bytes.
    """
    sealed = {
        path.relative_to(layout.root).as_posix(): SealedFile(
            seal.bytes, seal.sha256, *contents.get(path, ())
        )
        for path, seal in files.items()
    }
    unsealed, final = layout.writing_manifest(segment), layout.manifest(segment)
    with disk_errors_named(unsealed):
        remove_unsealed(unsealed)
    manifest = UnsealedFile(unsealed)
    manifest.append(msgspec.json.encode(Manifest(segment.name, sealed)) + b"\n")
    manifest.seal()
    with disk_errors_named(final):
        make_folder(final.parent)
        unsealed.rename(final)
        sync_path(final.parent)
