"""A folder of files for each segment: published complete, and only once, by any worker.

`OUT/<segment>/` has the files of one segment and `export.json`, which records the request and the number of rows in
each file. The folder gets its name when all of it is written. So a segment whose folder exists is finished, and two
attempts at one segment do not harm each other: the first one counts, and both write the same bytes.
"""

from __future__ import annotations

import errno
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from booktape.errors import UsageError
from booktape.export.files import Outcome, Written
from booktape.processes.descriptors import refuse_used_up
from booktape.store.clearing import remove_own_tree
from booktape.store.durable_files import disk_errors_named, make_folder, sync_path
from booktape.store.opening import open_file

_ABOUT: Final = "export.json"
_TAKEN: Final = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True, slots=True)
class ExportedSegment:
    """The number of files of one segment, and of their rows.

    `was_there`: an earlier run had made the folder. `left_out`: nothing was written, because a file is damaged.
    """

    segment: str
    files: int = 0
    rows: int = 0
    was_there: bool = False
    left_out: bool = False


def _known_export(out: Path, segment: str, request: Mapping[str, object]) -> ExportedSegment | None:
    """The export that an earlier run wrote, or None. Raises UsageError if that run had other options."""
    about = out / segment / _ABOUT
    try:
        with open_file(about) as file:
            found = json.loads(file.read())
        files = found["files"]
        if found["request"] != request:
            raise UsageError(
                f"{out / segment} was exported with other options. Choose another --out."
            )
        return ExportedSegment(segment, len(files), sum(files.values()), was_there=True)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        refuse_used_up(error)
        raise UsageError(f"{about} was not made by booktape. Choose another --out.") from error


def export_segment(
    out: Path,
    segment: str,
    request: Mapping[str, object],
    write: Callable[[Path], Iterable[Outcome]],
    is_damaged: Callable[[], bool],
) -> ExportedSegment:
    """Let `write` fill a new folder, and give the folder the segment's name. Do nothing if an earlier run has done it.

    If `is_damaged` is true afterwards, nothing is kept. Known weakness: a process that is killed leaves its folder,
    whose name begins with a dot. Raises WriteFailed, UsageError.
    """
    if known := _known_export(out, segment, request):
        return known
    folder = out / f".{segment}-{secrets.token_hex(8)}"
    with disk_errors_named(folder):
        make_folder(out)
        folder.mkdir()
    try:
        files = {one.path.name: one.rows for one in write(folder) if isinstance(one, Written)}
        if is_damaged():
            return ExportedSegment(segment, left_out=True)
        about = {"request": request, "files": files}
        with disk_errors_named(folder):
            (folder / _ABOUT).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
            for path in (*folder.iterdir(), folder):
                sync_path(path)
        _publish(folder, out / segment)
    finally:
        with disk_errors_named(folder):
            remove_own_tree(folder)
    # If another attempt was faster, it must have had the same options.
    _known_export(out, segment, request)
    return ExportedSegment(segment, len(files), sum(files.values()))


def _publish(folder: Path, final: Path) -> None:
    with disk_errors_named(final):
        try:
            folder.rename(final)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            # Another attempt at this segment was faster.
        sync_path(final.parent)
