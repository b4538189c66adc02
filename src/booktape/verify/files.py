"""Which files there are, to which segment each belongs, and whether they are what was sealed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from booktape.descriptors import refuse_used_up
from booktape.store.layout import Layout, Segment, symbol_of
from booktape.verify.findings import Finding, Findings, Kind

TABLES: Final = ("gaps", "checks", "notes")
_ROOMS: Final = ("tape", "snapshots", "manifests", *TABLES)
_LITTER: Final = frozenset(
    {
        "lost+found",
        "Thumbs.db",
        "desktop.ini",
        "$RECYCLE.BIN",
        "System Volume Information",
        "@eaDir",
        "#recycle",
    }
)
_SUFFIXES: Final = {"tape": ".jsonl.zst", "manifests": ".json"}


@dataclass
class SegmentFiles:
    """The files of one segment, by what they hold. Paths are relative to the archive."""

    segment: Segment
    tape: str | None = None
    manifest: str | None = None
    rows: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)

    @property
    def sealed(self) -> list[str]:
        """All but the manifest itself."""
        tape = [self.tape] if self.tape else []
        return sorted([*tape, *self.rows.values(), *self.tables.values()])


def find_segments(root: Path, found: Findings) -> list[SegmentFiles]:
    """Every segment of which any file is there, oldest first; what belongs to none is reported."""
    segments: dict[Segment, SegmentFiles] = {}
    for file in _files(root):
        segment = _segment_of(PurePosixPath(file))
        if segment is None:
            found.different(file, "is no file of this archive")
        else:
            _put(segments.setdefault(segment, SegmentFiles(segment)), PurePosixPath(file))
    return [segments[segment] for segment in sorted(segments)]


def _files(root: Path) -> Iterator[str]:
    for room in _ROOMS:
        found = []
        # Not `rglob`: from Python 3.13 on it passes over a folder that it had no descriptor for.
        for folder, _, names in os.walk(root / room, onerror=refuse_used_up):
            found += [Path(folder, name).relative_to(root) for name in names]
        yield from sorted(f.as_posix() for f in found if not any(map(_is_litter, f.parts)))


def _is_litter(name: str) -> bool:
    """What operating systems and file servers leave in any folder; no recorder gives such names.

    Those that begin with a dot are macOS's `.DS_Store` and `._…`, NFS's `.nfs…`, and their like.
    """
    return name.startswith(".") or name in _LITTER


def _segment_of(file: PurePosixPath) -> Segment | None:
    """The segment of a path, if it stands exactly where a file of that segment must stand."""
    room, *folders = file.parts[:-1]
    segment = Segment.parse(file.name, _SUFFIXES.get(room, ".parquet"))
    if segment is None:
        return None
    wanted = [segment.date] if room != "snapshots" else [*folders[:1], segment.date]
    is_ours = folders == wanted
    if room == "snapshots":
        is_ours = is_ours and folders[0].startswith("symbol=")
    return segment if is_ours else None


def _put(files: SegmentFiles, file: PurePosixPath) -> None:
    room, *folders = file.parts[:-1]
    if room == "tape":
        files.tape = str(file)
    elif room == "manifests":
        files.manifest = str(file)
    elif room == "snapshots":
        files.rows[symbol_of(folders[0])] = str(file)
    else:
        files.tables[room] = str(file)


# ── as they were sealed ─────────────────────────────────────────────────────────────────────


def check_seals(root: Path, files: SegmentFiles, found: Findings) -> None:
    """Each file is one that the manifest lists, and has the size and SHA-256 that it says."""
    where = Layout(root).manifest(files.segment).relative_to(root).as_posix()
    seals = _read_manifest(root, files, where, found)
    if seals is None:
        return
    for file in sorted(seals.keys() | set(files.sealed)):
        if not (root / file).is_file():
            _report_lost(file, found)
        elif file not in seals:
            found.different(file, "is not among the files that were sealed")
        else:
            _compare(root, file, seals[file], found)


def _read_manifest(
    root: Path, files: SegmentFiles, where: str, found: Findings
) -> dict[str, Any] | None:
    if files.manifest is None:
        found.different(where, "is missing: nobody can say which files were sealed")
        return None
    try:
        said = json.loads((root / where).read_bytes())
        segment, seals = said["segment"], said["files"]
        if segment == files.segment.name and isinstance(seals, dict):
            return seals
        found.different(where, "is not this segment's", expected=files.segment.name, stored=segment)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        refuse_used_up(error)
        found.different(where, f"cannot be read: {error!r}")
    return None


def _report_lost(file: str, found: Findings) -> None:
    if file.startswith("tape/"):
        found.add(Finding(Kind.UNVERIFIABLE, file, "is gone, and with it all proof of its segment"))
    else:
        found.different(file, "is gone")


def _compare(root: Path, file: str, seal: object, found: Findings) -> None:
    try:
        size, digest = measure(root / file)
    except OSError as error:
        refuse_used_up(error)
        found.different(file, f"cannot be read: {error}")
        return
    said = (seal.get("bytes"), seal.get("sha256")) if isinstance(seal, dict) else (None, None)
    if said[0] != size:
        found.different(
            file, "has not the size it was sealed with", expected=str(said[0]), stored=str(size)
        )
    elif said[1] != digest:
        found.different(
            file, "is not as it was sealed (SHA-256)", expected=str(said[1]), stored=digest
        )


def measure(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()
