"""Where may be written: asked before the first byte, so that a mistake leaves nothing behind.

Nothing here makes, changes or removes anything.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from booktape.errors import UsageError
from booktape.store.layout import Layout

_PARTITIONS: Final = ("symbol=", "date=")
_OWN: Final = frozenset(
    {
        *("snapshots", "tape", "gaps", "checks", "notes", "manifests"),
        *("unsealed", "rebuilding", "set-aside"),
    }
)
"""The folders of an archive: whatever lies in them is read as a part of it, or cleared up."""


def check_is_utf8(path: str) -> None:
    """Raises UsageError for a path that Arrow, which reads and writes Parquet, cannot be given."""
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise UsageError(f"{shown} is not UTF-8, which Parquet needs. Rename the folder.") from None


def check_folder(option: str, folder: Path) -> None:
    """Raises UsageError unless files may be written into this folder, which may have to be made.

    It must not be a file, or lead nowhere, or lie where the readers of another archive would take
    what is written there for a part of that one.
    """
    check_is_utf8(str(folder.absolute()))
    _check_way(option, folder)
    # Both ways to it, by its names and by where they lead: readers come by either.
    ways = (Path(os.path.abspath(folder)), folder.resolve())  # noqa: PTH100 - it undoes `..`
    folders = [above for way in ways for above in (way, *way.parents)]
    for above in folders:
        if above.name in _OWN and _is_archive(above.parent):
            raise UsageError(
                f"{option} {folder} lies inside the archive {above.parent}. Choose another {option}."
            )
    for above in folders:
        if above.name.startswith(_PARTITIONS):
            raise UsageError(
                f"{option} {folder} lies in {above.name}: readers would take symbol or date from "
                f"that name. Choose another {option}."
            )


def check_file(option: str, file: Path) -> None:
    """Raises UsageError unless a file of this name may be written; its folder must be there."""
    check_folder(option, file.parent)
    if _mode(option, file.parent) is None:
        raise UsageError(f"{option} {file}: there is no folder {file.parent}. Make it first.")
    mode = _mode(option, file)
    if mode is not None and not stat.S_ISREG(mode):
        raise UsageError(f"{option} {file} is not a file. Choose another {option}.")


def check_archive(option: str, layout: Layout) -> None:
    """Raises UsageError unless an archive may be written here, or be continued.

    Files are written under `unsealed/` and renamed into place, which no operating system does from
    one file system to another: no part of an archive may be a link to another disk, or a mount.
    """
    check_folder(option, layout.root)
    start = layout.unsealed if layout.unsealed.is_dir() else layout.root
    for folder in _written_to(layout):
        if not _can_be_renamed(start, folder):
            raise UsageError(
                f"{folder} lies on another disk than {start}: files could not be moved there whole. "
                f"Choose another {option}, or keep all of an archive on one disk."
            )
    for name in ("unsealed", "rebuilding", "set-aside"):
        if (layout.root / name).is_symlink():
            raise UsageError(
                f"{layout.root / name} is a link. Files are removed and moved there, which is done in "
                f"an archive's own folders only. Remove the link, or choose another {option}."
            )


def _check_way(option: str, folder: Path) -> None:
    """Raises UsageError where something that is no folder stands in the way."""
    for path in (folder, *folder.absolute().parents):
        mode = _mode(option, path)
        if mode is not None:
            if not stat.S_ISDIR(mode):
                raise UsageError(f"{option}: {path} is not a folder. Choose another {option}.")
            return


def _mode(option: str, path: Path) -> int | None:
    """What is there, as `stat` says it; None where nothing is. Raises UsageError for a link to that."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise UsageError(
                f"{option}: {path} is a link that leads nowhere. Choose another {option}."
            ) from None
    except NotADirectoryError:
        pass  # what stands in the way is one of those above it
    except OSError as error:
        raise UsageError(f"{option}: {path} cannot be used: {error.strerror}.") from error
    return None


def _is_archive(folder: Path) -> bool:
    """Whether a recorder, or a rebuild, has been at work here."""
    return (
        os.path.exists(folder / ".lock")  # noqa: PTH110 - pathlib's raises where it may not look
        or _holds(folder / "snapshots", "symbol=")
        or _holds(folder / "tape", "date=")
    )


def _holds(folder: Path, start: str) -> bool:
    return any(entry.name.startswith(start) for entry in _entries(folder))


def _written_to(layout: Layout) -> Iterator[Path]:
    """The folders that are there already, and that files are renamed into from today on."""
    yield from _if_there(layout.root)
    today = f"date={datetime.now(UTC):%Y-%m-%d}"
    for entry in _entries(layout.root):
        if entry.name in _OWN and entry.is_dir():
            yield Path(entry.path)
            yield from _if_there(Path(entry.path) / today)
    for entry in _entries(layout.snapshots):
        if entry.name.startswith("symbol=") and entry.is_dir():
            yield Path(entry.path)
            yield from _if_there(Path(entry.path) / today)


def _if_there(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield folder


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds; nothing, where there is none, or where we may not look into it."""
    with (
        suppress(FileNotFoundError, NotADirectoryError, PermissionError),
        os.scandir(folder) as found,
    ):
        return list(found)
    return []


def _can_be_renamed(start: Path, end: Path) -> bool:
    """Whether a file in one folder may get a name in the other."""
    if start.stat().st_dev != end.stat().st_dev:
        return False
    # A folder that is mounted a second time has the same number. Linux refuses a rename from one
    # mount to another before it looks for the file; this one is not there, so nothing is renamed.
    name = f".{secrets.token_hex(16)}"
    try:
        (start / name).rename(end / name)
    except OSError as error:
        return error.errno != errno.EXDEV
    return True
