"""Only what booktape made is removed; nothing behind a link is touched."""

from __future__ import annotations

import ast
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import booktape
from booktape.store.clearing import (
    clear_segment,
    foreign_entries,
    remove_own_file,
    remove_unsealed,
    set_aside,
)
from booktape.store.layout import Layout, Segment

SEGMENT = Segment(0, "first")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = Layout(tmp_path).unsealed_of(SEGMENT)
    made.mkdir(parents=True)
    return made


def everything(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mode) for path in folder.rglob("*"))


def test_every_file_that_a_segment_writes_is_removed(tmp_path: Path, folder: Path) -> None:
    """Each file is removed by its name in the layout, then the folder."""
    layout = Layout(tmp_path)
    for path in (
        layout.starting_tape(SEGMENT),
        layout.writing_tape(SEGMENT),
        layout.torn_tape(SEGMENT),
        layout.writing_rows(SEGMENT, "BTCUSDT"),
        layout.writing_rows(SEGMENT, "币安USDT"),
        *(layout.writing_table(SEGMENT, name) for name in ("gaps", "checks", "notes")),
        layout.writing_manifest(SEGMENT),
    ):
        path.write_bytes(b"ours")
    assert foreign_entries(layout, SEGMENT) == []
    clear_segment(layout, SEGMENT, keep=layout.torn_tape(SEGMENT))
    assert list(folder.iterdir()) == [layout.torn_tape(SEGMENT)]
    clear_segment(layout, SEGMENT)
    assert not folder.exists()
    clear_segment(layout, SEGMENT)


def test_everything_else_stays(tmp_path: Path, folder: Path) -> None:
    """A file with another name; a link, a FIFO or a folder with any name."""
    layout, thesis = Layout(tmp_path), tmp_path / "thesis"
    thesis.write_text("a thesis")
    for name in ("thesis", "tape.jsonl.zst.bak", "symbol=%41.parquet", "symbol=é.parquet", ".x"):
        (folder / name).write_text("a thesis")
    (folder / "tape.jsonl.zst").symlink_to(thesis)
    os.mkfifo(folder / "torn.jsonl.zst")
    (folder / "manifest.json").mkdir()
    before = everything(tmp_path)
    assert len(foreign_entries(layout, SEGMENT)) == 8
    clear_segment(layout, SEGMENT)
    for name in ("thesis", "tape.jsonl.zst", "manifest.json"):
        remove_unsealed(folder / name)
    assert everything(tmp_path) == before
    assert thesis.read_text() == "a thesis"


def test_a_segment_that_is_a_link_is_not_followed(tmp_path: Path, folder: Path) -> None:
    """Not even to files with our names."""
    (folder / "tape.jsonl.zst").write_text("another one's")
    other = Layout(tmp_path / "other")
    other.unsealed.mkdir(parents=True)
    other.unsealed_of(SEGMENT).symlink_to(folder)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        clear_segment(other, SEGMENT)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        remove_unsealed(other.writing_tape(SEGMENT))
    assert (folder / "tape.jsonl.zst").exists()


def test_a_file_of_another_folder_is_not_removed(tmp_path: Path) -> None:
    """A name of ours outside a segment's folder is not ours."""
    (tmp_path / "manifest.json").write_text("a thesis")
    remove_unsealed(tmp_path / "manifest.json")
    assert (tmp_path / "manifest.json").exists()


def test_our_own_file_is_recognised_by_its_inode(tmp_path: Path) -> None:
    """A file that replaced it is not ours."""
    path = tmp_path / "file"
    path.write_text("ours")
    made = path.stat()
    path.rename(tmp_path / "moved")
    path.write_text("a thesis")
    remove_own_file(path, made)
    assert path.read_text() == "a thesis"
    remove_own_file(tmp_path / "moved", made)
    assert not (tmp_path / "moved").exists()
    remove_own_file(tmp_path / "moved", made)


def test_a_file_is_set_aside_unchanged(tmp_path: Path) -> None:
    """A link stays a link; two files of the same name are both kept; any name is short enough."""
    layout = Layout(tmp_path)
    for name in ("x", "x", "n" * 255):
        (tmp_path / name).symlink_to("gone")
        moved = set_aside(layout, tmp_path / name)
        assert stat.S_ISLNK(moved.lstat().st_mode)
        assert moved.name == name
        assert not os.path.lexists(tmp_path / name)
    assert len(list(layout.set_aside.iterdir())) == 3


def _removals(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        if name in {"unlink", "rmdir", "rmtree", "removedirs", "truncate", "ftruncate", "shutil"}:
            yield f"{path.name}: {name}"


def test_nothing_else_in_the_code_removes_anything() -> None:
    """Only one place does, which can be read at a glance."""
    root = Path(booktape.__file__).parent
    found = {path.name for path in root.rglob("*.py") if list(_removals(path))}
    assert found == {"clearing.py"}
