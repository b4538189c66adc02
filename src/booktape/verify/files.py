"""Finds the files of each segment, and checks that they are what was sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
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
    Entry,
    EntryType,
    StoredFiles,
    read_object,
    readable_entries,
    shown,
)

_BY_SYMBOL: Final = frozenset({"snapshots", "trades"})
_LITTER: Final = frozenset(
    {
        *("lost+found", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN"),
        *("System Volume Information", "@eaDir", "#recycle"),
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

    `removed` is the receipt if its tape was removed on purpose.
    """

    segment: Segment
    tape: str | None = None
    manifest: str | None = None
    rows: dict[str, str] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    trades: dict[str, str] = field(default_factory=dict)
    removed: Removed | None = None

    def put(self, file: PurePosixPath) -> None:
        """Add a file of the segment."""
        room, folder, *_ = file.parts
        if room == "tape":
            self.tape = str(file)
        elif room == "manifests":
            self.manifest = str(file)
        elif room in _BY_SYMBOL:
            (self.rows if room == "snapshots" else self.trades)[symbol_of(folder)] = str(file)
        else:
            self.tables[room] = str(file)

    @property
    def was_verified(self) -> bool:
        """Whether its tape was removed after all of it had been verified."""
        return self.tape is None and self.removed is not None and self.removed.is_verified

    @property
    def all(self) -> list[str]:
        """All files, including the manifest."""
        return [*self.sealed, *([self.manifest] if self.manifest else [])]

    @property
    def sealed(self) -> list[str]:
        """All files but the manifest itself."""
        tape = [self.tape] if self.tape else []
        return sorted([*tape, *self.rows.values(), *self.trades.values(), *self.tables.values()])


def find_segments(stored: StoredFiles, found: Findings) -> list[SegmentFiles]:
    """Every segment of which there is any file, oldest first.

    Anything else is reported: each link, each file that is not regular, and each name that is not exactly one
    that a recorder gives. Other tools would read rows from some of them.
    """
    segments: dict[Segment, SegmentFiles] = {}
    for folder in FOLDERS:
        rules = (is_symbol_folder, is_date_folder) if folder in _BY_SYMBOL else (is_date_folder,)
        for file in sorted(_files_below(stored, folder, rules, found)):
            segment = _segment_of(PurePosixPath(file))
            if segment is None:
                found.different(file, "is no file of this archive")
            else:
                segments.setdefault(segment, SegmentFiles(segment)).put(PurePosixPath(file))
    return [segments[segment] for segment in sorted(segments)]


def _files_below(
    stored: StoredFiles,
    folder: str,
    rules: Sequence[Callable[[str], bool]],
    found: Findings,
    *,
    litter: bool = False,
) -> Iterator[str]:
    """The regular files that are not litter. Anything else is reported. `rules` check the names of folders, by depth."""
    for entry in readable_entries(stored, folder, found):
        path = f"{folder}/{entry.name}"
        is_litter = litter or _is_litter(entry.name)
        if entry.type is EntryType.FOLDER:
            if is_litter or (rules and rules[0](entry.name)):
                yield from _files_below(stored, path, rules[1:], found, litter=is_litter)
            else:
                found.different(shown(path), "is no folder of this archive")
        elif _is_regular(entry, path, found) and (not is_litter or _is_read_by_any(stored, path)):
            yield shown(path)


def _is_regular(entry: Entry, path: str, found: Findings) -> bool:
    """Whether it is a file, or a folder. Anything else is reported."""
    if entry.type is EntryType.LINK:
        found.different(shown(path), "is a link: readers follow it, and it is not proved")
    elif entry.type is EntryType.OTHER:
        found.different(shown(path), "is no regular file")
    return entry.type in {EntryType.FILE, EntryType.FOLDER}


def find_unsealed(stored: StoredFiles, found: Findings) -> list[Segment]:
    """The segments that are not sealed yet, oldest first: they are not verified, only named.

    booktape makes no links, so none is followed; each is reported, as are irregular files.
    """
    segments = []
    is_link = Entry("unsealed", EntryType.LINK) in readable_entries(stored, "", Findings())
    if is_link:
        found.different("unsealed", "is a link: readers follow it, and it is not proved")
    for entry in [] if is_link else readable_entries(stored, "unsealed", found):
        path, segment = f"unsealed/{entry.name}", Segment.parse(entry.name)
        if _is_regular(entry, path, found) and entry.type is EntryType.FOLDER and segment:
            segments.append(segment)
            for one in readable_entries(stored, path, found):
                _is_regular(one, f"{path}/{one.name}", found)
    return sorted(segments)


def _is_litter(name: str) -> bool:
    """Whether operating systems or file servers leave files of this name in any folder. No recorder gives such names.

    Names that begin with a dot are macOS's `.DS_Store` and `._…`, NFS's `.nfs…` and others.
    """
    return name.startswith(".") or name in _LITTER


def _is_read_by_any(stored: StoredFiles, path: str) -> bool:
    """Whether some reader would read rows from a file despite its name.

    DuckDB and polars decide by the ending, pandas by the first bytes.
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
    """The segment of a file, if its path is exactly the one that a recorder gives."""
    room, *folders = file.parts[:-1]
    segment = Segment.parse(file.name, _SUFFIXES.get(room, TABLE))
    if segment is None:
        return None
    symbol = folders[:1] if room in _BY_SYMBOL else []
    return segment if folders == [*symbol, segment.date] else None


# ── as they were sealed ─────────────────────────────────────────────────────────────────────


def check_seals(root: Path, files: SegmentFiles, found: Findings) -> None:
    """Check that each file is in the manifest, with its size and its SHA-256, and that each file of the manifest is there.

    With a receipt, the manifest must be the one that was verified. The tape need not be there then, nor any other file
    while a removal of everything is incomplete.
    """
    where = Layout(root).manifest(files.segment).relative_to(root).as_posix()
    seals = _read_manifest(root, files, where, found)
    if seals is None:
        return
    if files.removed and files.removed.is_verified:
        _check_is_that_of(files.removed, root, where, found)
    if files.was_verified:
        seals = {file: seal for file, seal in seals.items() if not file.startswith("tape/")}
    if files.removed and files.removed.is_whole:
        seals = {file: seal for file, seal in seals.items() if file in files.sealed}
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
        found.different(where, f"cannot be read: its format is {known}, but this version reads 1")
    elif segment != files.segment.name or not isinstance(seals, dict):
        what = "is not this segment's"
        found.different(where, what, expected=files.segment.name, stored=str(segment))
    else:
        return _of_its_segment(seals, files.segment, where, found)
    return None


def _check_is_that_of(removed: Removed, root: Path, where: str, found: Findings) -> None:
    """Check that the manifest is the one of the receipt: nothing else is left of the proof."""
    _, digest = measure(root / where)
    if digest != removed.manifest_sha256:
        what = "is not the manifest that was there when the tape was removed"
        found.different(where, what, expected=removed.manifest_sha256, stored=digest)


def _of_its_segment(
    seals: dict[str, Any], segment: Segment, where: str, found: Findings
) -> dict[str, Any]:
    """The seals of files that can belong to this segment. A manifest must not make us open any other file."""
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
