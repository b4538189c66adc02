"""Damages a copy of an archive in ways that no one would think of: contents, sizes, names, several files at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

from hypothesis import strategies as st

from booktape.store.layout import TABLE, TAPE
from fuzz.mutated import CHANCES, mutate, mutated, revalue
from verify.small import reseal, sealed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROOMS: Final = ("tape", "snapshots", "gaps", "checks", "notes", "manifests", "removed")
LINES_MAX: Final = 6
"""Lines of a tape that are changed at once."""

FILES_MAX: Final = 3
"""Files of an archive that are changed at once."""

_ENDINGS: Final = (TAPE, TABLE, ".json")
NAMES: Final = (
    *("00010101T000000.000000Z-a", "99991231T235959.999999Z-a", "20261122T101300.000000Z-"),
    *("19700101T000000.000000Z-first", "x", "%42", "a\x1b[31m", "\udcff"),
)


def changed_lines(tapes: Sequence[Sequence[bytes]]) -> st.SearchStrategy[list[bytes]]:
    """The lines of one of the tapes, some of them changed, doubled, moved or left out."""
    changes = st.integers(0, LINES_MAX)
    return st.builds(lambda chance, count: _change_lines(chance, tapes, count), CHANCES, changes)


def _change_lines(chance: Random, tapes: Sequence[Sequence[bytes]], count: int) -> list[bytes]:
    lines = list(chance.choice(tapes))
    for _ in range(count):
        at = chance.randrange(len(lines))
        line = lines.pop(at)
        match chance.choice(("change", "value", "double", "move", "remove")):
            case "change":
                lines.insert(at, mutate(chance, [line], chance.randint(1, 4)))
            case "value":
                lines.insert(at, revalue(chance, line))
            case "double":
                lines[at:at] = [line, line]
            case "move":
                lines.insert(chance.randint(0, len(lines)), line)
        lines = lines or [b"\n"]
    return lines


@st.composite
def changed_tapes(draw: st.DrawFn, tapes: Sequence[Sequence[bytes]]) -> bytes:
    """The same as the bytes of a tape, whole or cut off."""
    text = zstd.compress(b"".join(draw(changed_lines(tapes))))
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


def damage(data: st.DataObject, root: Path) -> None:
    """Change some files of an archive. Its manifests are made to fit, or not."""
    for _ in range(data.draw(st.integers(1, FILES_MAX))):
        files = [path for room in ROOMS for path in sealed(root, room)]
        path = data.draw(st.sampled_from(files))
        _damage_file(data, path, data.draw(st.sampled_from(files)))
    if data.draw(st.booleans()):
        reseal(root)


def _damage_file(data: st.DataObject, path: Path, other: Path) -> None:
    what = data.draw(
        st.sampled_from(["bytes", "cut", "swap", "rename", "move", "copy", "remove", "special"])
    )
    content = path.read_bytes()
    if what == "bytes":
        path.write_bytes(data.draw(mutated([content])))
    elif what == "cut":
        os.truncate(path, data.draw(st.integers(0, 2 * len(content))))
    elif what == "swap":
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif what == "rename":
        ending = next(one for one in _ENDINGS if path.name.endswith(one))
        _put(content, path.with_name(data.draw(st.sampled_from(NAMES)) + ending))
        path.unlink()
    elif what == "move":
        path.unlink()
        _put(content, other.with_name(path.name))
    elif what == "copy":
        _put(content, other.with_name(path.name))
    else:
        path.unlink()
        if what == "special":
            data.draw(st.sampled_from([os.mkfifo, os.mkdir, _link_to_nothing]))(path)


def _put(content: bytes, path: Path) -> None:
    """Write this content, unless something other than a file has the name: writing into a FIFO waits for ever."""
    if path.is_file() or not os.path.lexists(path):
        path.write_bytes(content)


def _link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")
