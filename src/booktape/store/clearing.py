"""The one place that removes anything, or moves it out of the way.

Removed is only what booktape has made itself. A segment's folder under `unsealed/` carries a name that
nobody else gives (a moment and a random tag), and in it only regular files whose names we give are ours.
Of a file that is written elsewhere we know the inode. Everything else stays, or is set aside: moved, as
it is, to a new folder under `set-aside/`, which nothing ever removes or reads.

No link is followed: a folder is opened as what it is, and its entries are removed relative to it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from booktape.store.layout import Layout, Segment, is_unsealed_name

_NAME_KEPT: Final = 60
"""Characters of a name that the folder for it begins with: any name plus a tag would be too long."""


def clear_segment(layout: Layout, segment: Segment, *, but: Path | None = None) -> None:
    """Remove the files that we made of an unsealed segment, then its folder if that is empty.

    `but` is one that stays. What is not ours stays too, and so does the folder then. May be called
    again after an OSError, and where nothing is left.
    """
    folder = layout.unsealed_of(segment)
    with suppress(FileNotFoundError), _opened(folder) as descriptor:
        for name in _names(descriptor):
            if _is_ours(name, descriptor) and (but is None or name != but.name):
                os.unlink(name, dir_fd=descriptor)
    if but is None:
        remove_empty_folder(folder)


def remove_unsealed(path: Path) -> None:
    """Remove one file of an unsealed segment, if it is there and ours."""
    with suppress(FileNotFoundError), _opened(path.parent) as descriptor:
        if Segment.parse(path.parent.name) and _is_ours(path.name, descriptor):
            os.unlink(path.name, dir_fd=descriptor)


def remove_made(path: Path, made: os.stat_result) -> None:
    """Remove a file that we made, if it is still that one which stands there."""
    with suppress(FileNotFoundError):
        if os.path.samestat(path.lstat(), made):
            path.unlink()


def remove_empty_folder(folder: Path) -> None:
    """Remove a folder of ours unless something stands in it; a link of that name stays."""
    try:
        folder.rmdir()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        # Some systems say EEXIST of a folder that is not empty.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def foreign_entries(layout: Layout, segment: Segment) -> list[Path]:
    """What stands in an unsealed segment's folder and was not made by us."""
    folder = layout.unsealed_of(segment)
    with suppress(FileNotFoundError), _opened(folder) as descriptor:
        return [folder / name for name in _names(descriptor) if not _is_ours(name, descriptor)]
    return []


def set_aside(layout: Layout, path: Path) -> Path:
    """Move something out of the way, as it is. Returns where it stands from now on."""
    folder = layout.set_aside / f"{path.name[:_NAME_KEPT]}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    try:
        path.rename(folder / path.name)
    except OSError:
        remove_empty_folder(folder)
        raise
    return folder / path.name


def is_regular(path: Path) -> bool:
    """Whether a regular file stands there, under this very name: no link, no FIFO, no folder."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """A folder itself, whatever its name is made to mean meanwhile. A link raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def _is_ours(name: str, folder: int) -> bool:
    """Whether we made this entry of a segment's folder."""
    if not is_unsealed_name(name):
        return False
    with suppress(FileNotFoundError):
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False
