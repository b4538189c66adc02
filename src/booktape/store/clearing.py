"""The only module that removes files or moves them out of the way.

**It removes only what booktape made.** A segment's folder under `unsealed/` has a name that only booktape
gives (a time and a random tag). In it, only regular files with names that booktape gives are removed. A file
written elsewhere is recognised by its inode. Everything else stays, or is set aside: moved, unchanged, into
a new folder under `set-aside/`. booktape never reads or removes what is there.

**It follows no link.** A folder is opened without following links, and its entries are removed relative to
the open folder.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from booktape.store.layout import Layout, Segment, is_unsealed_name
from booktape.store.opening import open_file

_NAME_KEPT: Final = 60
"""A folder's name under `set-aside/` begins with this many characters of the moved name: more might be too long."""


def clear_segment(layout: Layout, segment: Segment, *, keep: Path | None = None) -> None:
    """Remove booktape's own files of an unsealed segment, then its folder if that is empty.

    With `keep`, that file and the folder stay. Foreign files always stay. May be called again after an
    OSError, and when nothing is left.
    """
    folder = layout.unsealed_of(segment)
    with suppress(FileNotFoundError), _open_folder(folder) as descriptor:
        for name in _names(descriptor):
            if _is_ours(name, descriptor) and (keep is None or name != keep.name):
                os.unlink(name, dir_fd=descriptor)
    if keep is None:
        remove_empty_folder(folder)


def remove_unsealed(path: Path) -> None:
    """Remove one file of an unsealed segment, if it exists and booktape made it."""
    with suppress(FileNotFoundError), _open_folder(path.parent) as descriptor:
        if Segment.parse(path.parent.name) and _is_ours(path.name, descriptor):
            os.unlink(path.name, dir_fd=descriptor)


def remove_sealed(path: Path) -> None:
    """Remove a sealed file, if it exists. The caller knows that booktape made it and that it is whole elsewhere."""
    path.unlink(missing_ok=True)


def remove_own_file(path: Path, made: os.stat_result) -> None:
    """Remove a file that this process made, unless another file now has its name."""
    with suppress(FileNotFoundError):
        if os.path.samestat(path.lstat(), made):
            path.unlink()


def remove_own_tree(folder: Path) -> None:
    """Remove a folder that booktape made under a random name, with everything in it, if it still exists.

    Links in it are removed, not followed. A link of that name raises OSError.
    """
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def remove_empty_folder(folder: Path) -> None:
    """Remove a folder if it is empty. A link of that name stays."""
    try:
        folder.rmdir()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        # Some systems report a folder that is not empty as EEXIST.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def foreign_entries(layout: Layout, segment: Segment) -> list[Path]:
    """The entries of an unsealed segment's folder that booktape did not make."""
    folder = layout.unsealed_of(segment)
    with suppress(FileNotFoundError), _open_folder(folder) as descriptor:
        return [folder / name for name in _names(descriptor) if not _is_ours(name, descriptor)]
    return []


def set_aside(layout: Layout, path: Path) -> Path:
    """Move a file or folder, unchanged, into `set-aside/`. Returns its new path."""
    aside = _new_place(layout, path)
    try:
        path.rename(aside)
    except OSError:
        remove_empty_folder(aside.parent)
        raise
    return aside


def keep_copy(layout: Layout, path: Path) -> Path:
    """Keep a copy of a file in `set-aside/`, durably. Returns its path; `path` stays where it is."""
    copy = _new_place(layout, path)
    with open_file(path) as source, copy.open("xb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    return copy


def _new_place(layout: Layout, path: Path) -> Path:
    folder = layout.set_aside / f"{path.name[:_NAME_KEPT]}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    return folder / path.name


def is_regular(path: Path) -> bool:
    """Whether this path itself is a regular file, and not a link, a FIFO or a folder."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def is_irregular(path: Path) -> bool:
    """Whether anything but a regular file has this path: a link, a FIFO, a socket or a folder."""
    return os.path.lexists(path) and not is_regular(path)


@contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    """A descriptor of this folder, which stays valid if the folder is renamed. A link raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def _is_ours(name: str, folder: int) -> bool:
    """Whether booktape made this entry of a segment's folder."""
    if not is_unsealed_name(name):
        return False
    with suppress(FileNotFoundError):
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False
