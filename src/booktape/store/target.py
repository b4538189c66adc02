"""Checks the folders and files that a command is asked to write, before the first byte is written.

Nothing here makes, changes or removes a file.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from booktape.errors import UsageError
from booktape.store.layout import Layout

_PARTITIONS: Final = ("symbol=", "date=")
_OWN: Final = frozenset(
    {
        *("snapshots", "tape", "gaps", "checks", "notes", "trades", "trade_gaps", "manifests"),
        *("unsealed", "rebuilding", "set-aside", "shipped", "removed"),
    }
)
"""The folders of an archive: their contents are read as a part of it, or removed."""


def check_is_utf8(path: str) -> None:
    """Raises UsageError for a path that no system accepts, or that Arrow, which reads and writes Parquet, refuses."""
    if "\0" in path:
        raise UsageError(f"{path!r} has a NUL, which no file name can contain.")
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise UsageError(f"{shown} is not UTF-8, which Parquet needs. Rename the folder.") from None


def check_folder(option: str, folder: Path) -> None:
    """Raises UsageError unless files may be written into this folder, which need not exist yet.

    It must not be a file or a broken link, nor lie inside an archive, whose readers would read the new
    files as a part of it.
    """
    check_is_utf8(str(folder.absolute()))
    _check_parents(option, folder)
    # Check the path as written and with links resolved: readers may use either.
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


def check_not_source(source: str, out: Path) -> None:
    """Raises UsageError if the folder to write is the archive that is read. `source` may be the address of a bucket."""
    if "://" not in source and out.resolve() == Path(source).resolve():
        raise UsageError(f"{out} is the archive itself. Choose another --out.")


def check_file(option: str, file: Path) -> None:
    """Raises UsageError unless a file may be written here. Its folder must exist."""
    check_folder(option, file.parent)
    if _mode_of(option, file.parent) is None:
        raise UsageError(f"{option} {file}: there is no folder {file.parent}. Make it first.")
    mode = _mode_of(option, file)
    if mode is not None and not stat.S_ISREG(mode):
        raise UsageError(f"{option} {file} is not a file. Choose another {option}.")


def check_archive(option: str, layout: Layout) -> None:
    """Raises UsageError unless an archive may be written or continued here.

    Files are written under `unsealed/` and renamed to their final names. No operating system renames from
    one file system to another, so no folder of an archive may be a link to another disk, or a mount.
    """
    check_folder(option, layout.root)
    start = layout.unsealed if layout.unsealed.is_dir() else layout.root
    for folder in _target_folders(layout):
        if not _can_be_renamed(start, folder):
            raise UsageError(
                f"{folder} lies on another disk than {start}: files could not be moved there whole. "
                f"Choose another {option}, or keep the whole archive on one disk."
            )
    for name in ("unsealed", "rebuilding", "set-aside"):
        if (layout.root / name).is_symlink():
            raise UsageError(
                f"{layout.root / name} is a link. Files there are removed and moved, which booktape does only in "
                f"an archive's own folders. Remove the link, or choose another {option}."
            )


def _check_parents(option: str, folder: Path) -> None:
    """Raises UsageError if the folder, or the nearest parent that exists, is not a folder."""
    for path in (folder, *folder.absolute().parents):
        mode = _mode_of(option, path)
        if mode is not None:
            if not stat.S_ISDIR(mode):
                raise UsageError(f"{option}: {path} is not a folder. Choose another {option}.")
            return


def _mode_of(option: str, path: Path) -> int | None:
    """The mode of whatever has this path; None if nothing has. Raises UsageError for a broken link."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise UsageError(
                f"{option}: {path} is a link that leads nowhere. Choose another {option}."
            ) from None
    except NotADirectoryError:
        pass  # one of its parents is not a folder; the caller checks the parents too
    except OSError as error:
        raise UsageError(f"{option}: {path} cannot be used: {error.strerror}.") from error
    return None


def _is_archive(folder: Path) -> bool:
    """Whether a recorder or a rebuild has written here."""
    return (
        os.path.exists(folder / ".lock")  # noqa: PTH110 - pathlib's raises without permission
        or any(entry.name.startswith("symbol=") for entry in _entries(folder / "snapshots"))
        or any(entry.name.startswith("date=") for entry in _entries(folder / "tape"))
    )


def _target_folders(layout: Layout) -> list[Path]:
    """The existing folders into which files will be renamed from today on."""
    own = [Path(entry.path) for entry in _entries(layout.root) if entry.name in _OWN]
    symbols = _entries(layout.snapshots)
    own += [Path(entry.path) for entry in symbols if entry.name.startswith("symbol=")]
    today = [folder / f"date={datetime.now(UTC):%Y-%m-%d}" for folder in own]
    return [folder for folder in (layout.root, *own, *today) if folder.is_dir()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder; none if there is no folder, or no permission to list it."""
    with (
        suppress(FileNotFoundError, NotADirectoryError, PermissionError),
        os.scandir(folder) as found,
    ):
        return list(found)
    return []


def _can_be_renamed(start: Path, end: Path) -> bool:
    """Whether a file can be renamed from one folder into the other."""
    if start.stat().st_dev != end.stat().st_dev:
        return False
    # A folder that is mounted twice has the same device number. Linux refuses a rename between mounts
    # before it looks for the file. This file does not exist, so nothing is renamed.
    name = f".{secrets.token_hex(16)}"
    try:
        (start / name).rename(end / name)
    except OSError as error:
        return error.errno != errno.EXDEV
    return True
