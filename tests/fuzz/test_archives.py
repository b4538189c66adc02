"""Whatever stands in an archive: its rows, a finding or one typed error, never anything else."""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import booktape
from booktape.errors import BooktapeError, DamagedFile
from booktape.store.layout import Layout, Segment
from booktape.store.tape_reader import read_lines
from fuzz.mutated import examples, mutated
from support.archives import open_archive
from verify.small import BTC, build, reseal, sealed, verified

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROOMS = ("tape", "snapshots", "gaps", "checks", "notes", "manifests")
LINES_MOST = 6
"""Lines of a tape that are changed at once."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fuzz") / "data"
    build(root)
    return root


@pytest.fixture(scope="module")
def tapes(archive: Path) -> list[list[bytes]]:
    """The lines of each tape of the archive."""
    return [list(read_lines(path)) for path in sealed(archive, "tape")]


@st.composite
def changed_tapes(draw: st.DrawFn, tapes: Sequence[Sequence[bytes]]) -> bytes:
    """One of the tapes, some of its lines changed, doubled, moved or left out."""
    lines = list(draw(st.sampled_from(tapes)))
    for _ in range(draw(st.integers(0, LINES_MOST))):
        at = draw(st.integers(0, len(lines) - 1))
        what = draw(st.sampled_from(["change", "double", "move", "remove"]))
        line = lines.pop(at)
        if what == "change":
            lines.insert(at, draw(mutated([line])))
        elif what == "double":
            lines[at:at] = [line, line]
        elif what == "move":
            lines.insert(draw(st.integers(0, len(lines))), line)
        lines = lines or [b"\n"]
    text = zstd.compress(b"".join(lines))
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


@examples(100)
@given(data=st.data())
def test_recovery(tapes: list[list[bytes]], data: st.DataObject) -> None:
    """A start is never blocked by what a tape in `unsealed/` holds, and neither is the one after it."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        tape = layout.writing_tape(Segment(0, "fuzz"))
        tape.parent.mkdir(parents=True)
        tape.write_bytes(data.draw(changed_tapes(tapes)))
        for _ in range(2):
            with open_archive(layout.root):
                pass
        if sealed(layout.root, "tape"):
            verified(layout.root)


@examples(100)
@given(data=st.data())
def test_verify_and_the_reader(archive: Path, data: st.DataObject) -> None:
    """Any file of an archive, damaged in any way, with manifests that fit or do not."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(archive, Path(folder) / "data"))
        path = data.draw(st.sampled_from(sealed(root, data.draw(st.sampled_from(ROOMS)))))
        path.write_bytes(data.draw(mutated([path.read_bytes()])))
        if data.draw(st.booleans()):
            reseal(root)
        with suppress(BooktapeError):
            verified(root)
        with suppress(BooktapeError):
            read_all(root)


@examples(100)
@given(data=st.data())
def test_crafted_tapes(archive: Path, tapes: list[list[bytes]], data: st.DataObject) -> None:
    """A sealed tape with any lines, which its manifest knows."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(archive, Path(folder) / "data"))
        tape = data.draw(st.sampled_from(sealed(root, "tape")))
        tape.write_bytes(data.draw(changed_tapes(tapes)))
        reseal(root)
        with suppress(BooktapeError):
            verified(root)
        with suppress(BooktapeError):
            read_all(root)


def read_all(root: Path) -> None:
    """Rows, gaps, and every event."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedFile)
        recording = booktape.open(root)
        recording.snapshots(BTC).to_arrow()
        recording.gaps()
        recording.coverage()
        list(recording.replay(BTC))
