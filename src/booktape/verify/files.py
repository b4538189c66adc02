"""Finds the files of each segment, and checks that they are what was sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from booktape.errors import Damaged
from booktape.processes.descriptors import refuse_used_up
from booktape.store.layout import (
    MANIFEST_BYTES_MAX,
    TABLE,
    TAPE,
    Layout,
    Segment,
    is_date_folder,
    is_symbol_folder,
    symbol_of,
)
from booktape.store.opening import open_file
from booktape.verify.findings import Finding, Findings, Kind, damage
from booktape.verify.removed import Removed
from booktape.verify.stored_files import (
    FOLDERS,
    EntryType,
    StoredFiles,
    read_object,
    readable_entries,
    shown,
)

_BY_SYMBOL: Final = frozenset({"snapshots", "trades"})
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
_SUFFIXES: Final = {"tape": TAPE, "manifests": ".json"}
_MANIFEST_FORMATS: Final = (1,)
_ENDINGS: Final = (TABLE, TAPE, ".json")
_MAGIC: Final = b"PAR1"
"""How every Parquet file begins."""


@dataclass
class SegmentFiles:
    """The files of one segment, by what they hold. Paths are relative to the archive.

    `removed` is the receipt, if its tape was removed on purpose.
    """

    segment: Segment
    tape: str | None = None
    manifest: str | None = None
    rows: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    trades: dict[str, str] = field(default_factory=dict)
    removed: Removed | None = None

    @property
    def was_verified(self) -> bool:
        """Whether its tape was removed after all of it had been verified."""
        return self.tape is None and self.removed is not None and self.removed.is_verified

    @property
    def sealed(self) -> list[str]:
        """All but the manifest itself."""
        tape = [self.tape] if self.tape else []
        return sorted([*tape, *self.rows.values(), *self.trades.values(), *self.tables.values()])


def find_segments(stored: StoredFiles, found: Findings) -> list[SegmentFiles]:
    """Every segment of which there is any file, oldest first.

    Anything else is reported: each link, each file that is not regular, each name that is not exactly one
    that a recorder writes. Other tools would read rows from some of them.
    """
    segments: dict[Segment, SegmentFiles] = {}
    for folder in FOLDERS:
        for file in _Folder(stored, folder, found).files():
            segment = _segment_of(PurePosixPath(file))
            if segment is None:
                found.different(file, "is no file of this archive")
            else:
                _put(segments.setdefault(segment, SegmentFiles(segment)), PurePosixPath(file))
    _check_unsealed(stored, found)
    return [segments[segment] for segment in sorted(segments)]


class _Folder:
    """One folder of the archive, such as `snapshots`, with everything below it."""

    def __init__(self, stored: StoredFiles, room: str, found: Findings) -> None:
        self._stored = stored
        self._room = room
        self._found = found
        # A rule for the names of folders at each depth.
        levels = [is_date_folder]
        self._levels = [is_symbol_folder, *levels] if room in _BY_SYMBOL else levels

    def files(self) -> Iterator[str]:
        """The regular files that are not litter, relative to the archive. Anything else is reported."""
        yield from sorted(self._below(self._room, 0))

    def _below(self, folder: str, depth: int, *, litter: bool = False) -> Iterator[str]:
        for entry in readable_entries(self._stored, folder, self._found):
            path = f"{folder}/{entry.name}"
            name = shown(path)
            is_litter = litter or _is_litter(entry.name)
            if entry.type is EntryType.LINK:
                self._found.different(name, "is a link: readers follow it, and it is not proved")
            elif entry.type is EntryType.FOLDER:
                if is_litter:
                    yield from self._below(path, depth + 1, litter=True)
                elif depth < len(self._levels) and self._levels[depth](entry.name):
                    yield from self._below(path, depth + 1)
                else:
                    self._found.different(name, "is no folder of this archive")
            elif entry.type is EntryType.OTHER:
                self._found.different(name, "is no regular file")
            elif not is_litter or _is_read_by_any(self._stored, path):
                yield name


def _check_unsealed(stored: StoredFiles, found: Findings) -> None:
    """Report links and irregular files. Tapes that are not sealed yet are not verified, only named."""
    if stored.is_link("unsealed"):
        found.different("unsealed", "is a link: readers follow it, and it is not proved")
        return
    for entry in readable_entries(stored, "unsealed", found):
        within = [(f"unsealed/{entry.name}", entry.type)]
        if entry.type is EntryType.FOLDER and Segment.parse(entry.name):
            folder = within[0][0]
            within += [
                (f"{folder}/{one.name}", one.type)
                for one in readable_entries(stored, folder, found)
            ]
        for path, kind in within:
            if kind is EntryType.LINK:
                found.different(shown(path), "is a link: readers follow it, and it is not proved")
            elif kind is EntryType.OTHER:
                found.different(shown(path), "is no regular file")


def unsealed_names(stored: StoredFiles) -> list[Segment]:
    """The segments that are not sealed yet, oldest first. booktape makes no links, so none is followed."""
    if stored.is_link("unsealed"):
        return []
    found = (
        Segment.parse(entry.name)
        for entry in readable_entries(stored, "unsealed", Findings())
        if entry.type is EntryType.FOLDER
    )
    return sorted(segment for segment in found if segment)


def _is_litter(name: str) -> bool:
    """Names that operating systems and file servers leave in any folder, and no recorder gives.

    Those that begin with a dot are macOS's `.DS_Store` and `._…`, NFS's `.nfs…` and others.
    """
    return name.startswith(".") or name in _LITTER


def _is_read_by_any(stored: StoredFiles, path: str) -> bool:
    """Whether some reader would read rows from a file, although its name is that of litter.

    DuckDB and polars go by the ending, pandas by the first bytes.
    """
    if path.lower().endswith(_ENDINGS):
        return True
    try:
        with stored.open(path) as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        refuse_used_up(error)
        return False  # no reader can read it


def _segment_of(file: PurePosixPath) -> Segment | None:
    """The segment of a path, if that is exactly the path of a file of the segment."""
    room, *folders = file.parts[:-1]
    segment = Segment.parse(file.name, _SUFFIXES.get(room, TABLE))
    if segment is None:
        return None
    symbol = folders[:1] if room in _BY_SYMBOL else []
    return segment if folders == [*symbol, segment.date] else None


def _put(files: SegmentFiles, file: PurePosixPath) -> None:
    room, *folders = file.parts[:-1]
    if room == "tape":
        files.tape = str(file)
    elif room == "manifests":
        files.manifest = str(file)
    elif room == "snapshots":
        files.rows[symbol_of(folders[0])] = str(file)
    elif room == "trades":
        files.trades[symbol_of(folders[0])] = str(file)
    else:
        files.tables[room] = str(file)


# ── as they were sealed ─────────────────────────────────────────────────────────────────────


def check_seals(root: Path, files: SegmentFiles, found: Findings) -> None:
    """Each file must be in the manifest, with its size and its SHA-256.

    Where a receipt says that the tape was removed, the manifest must be the one that was verified then.
    """
    where = Layout(root).manifest(files.segment).relative_to(root).as_posix()
    seals = _read_manifest(root, files, where, found)
    if seals is None:
        return
    if files.was_verified and files.removed:
        _check_is_that_of(files.removed, root, where, found)
        seals = {file: seal for file, seal in seals.items() if not file.startswith("tape/")}
    for file in sorted(seals.keys() | set(files.sealed)):
        # Only files that were found under their own names are opened, never the target of a link.
        if file not in files.sealed:
            _report_lost(file, found)
        elif file not in seals:
            found.different(file, "is not among the files that were sealed")
        else:
            _compare(root, file, seals[file], found)


def _read_manifest(
    root: Path, files: SegmentFiles, where: str, found: Findings
) -> dict[str, Any] | None:
    if files.manifest is None:
        found.different(where, "is missing: it is unknown which files were sealed")
        return None
    try:
        with open_file(root / where) as file:
            manifest = read_object(file, MANIFEST_BYTES_MAX, ("segment", "files"))
    except (OSError, Damaged) as error:
        found.different(where, damage(error))
        return None
    segment, seals = manifest["segment"], manifest["files"]
    if (known := manifest.get("format", 1)) not in _MANIFEST_FORMATS:
        found.different(where, f"cannot be read: its format is {known}, and this version reads 1")
    elif segment != files.segment.name or not isinstance(seals, dict):
        what = "is not this segment's"
        found.different(where, what, expected=files.segment.name, stored=str(segment))
    else:
        return _of_its_segment(seals, files.segment, where, found)
    return None


def _check_is_that_of(removed: Removed, root: Path, where: str, found: Findings) -> None:
    """The manifest must be the one of the receipt: all that is left of the proof is in it."""
    _, digest = measure(root / where)
    if digest != removed.manifest_sha256:
        what = "is not the manifest that was there when the tape was removed"
        found.different(where, what, expected=removed.manifest_sha256, stored=digest)


def _of_its_segment(
    seals: dict[str, Any], segment: Segment, where: str, found: Findings
) -> dict[str, Any]:
    """The seals of files that can be this segment's. A manifest must not make us open any other file."""
    kept = {}
    for file, seal in seals.items():
        path = PurePosixPath(file)
        is_own = len(path.parts) > 1 and path.parts[0] in FOLDERS and _segment_of(path) == segment
        if is_own and str(path) == file and ".." not in path.parts:
            kept[file] = seal
        else:
            found.different(where, "names a file that is none of its segment", stored=file)
    return kept


def _report_lost(file: str, found: Findings) -> None:
    if file.startswith("tape/"):
        found.add(Finding(Kind.UNVERIFIABLE, file, "is gone, and with it all proof of its segment"))
    else:
        found.different(file, "is gone")


def _compare(root: Path, file: str, seal: object, found: Findings) -> None:
    try:
        size, digest = measure(root / file)
    except OSError as error:
        found.different(file, damage(error))
        return
    sealed = (seal.get("bytes"), seal.get("sha256")) if isinstance(seal, dict) else (None, None)
    if sealed[0] != size:
        found.different(
            file, "has not the size it was sealed with", expected=str(sealed[0]), stored=str(size)
        )
    elif sealed[1] != digest:
        found.different(
            file, "is not as it was sealed (SHA-256)", expected=str(sealed[1]), stored=digest
        )


def measure(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of a file."""
    with open_file(path) as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()
