"""Temporary folders: none is left for ever, whatever became of the process that made it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import pytest

from booktape.errors import WriteFailed
from booktape.store.temporary_folder import clear_temporary_folders, temporary_folder

SPAWN: Final = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_removed_with_everything_in_it(place: Path) -> None:
    """Even after an error."""

    def fail() -> None:
        with temporary_folder() as folder:
            (folder / "a" / "b").mkdir(parents=True)
            (folder / "a" / "b" / "file").write_text("x")
            assert folder.parent == place
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(place.iterdir())


def stay(place: str, ours: Connection) -> None:
    """Make a folder, say so, and wait to be killed."""
    tempfile.tempdir = place
    with temporary_folder() as folder:
        (folder / "file").write_text("x")
        ours.send(str(folder))
        ours.recv()


def test_the_folder_of_a_killed_process_is_removed_by_the_next(place: Path) -> None:
    """But not while its process lives."""
    theirs, ours = SPAWN.Pipe()
    process = SPAWN.Process(target=stay, args=(str(place), ours))
    process.start()
    folder = Path(theirs.recv())
    clear_temporary_folders()
    with temporary_folder():
        assert (folder / "file").exists()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert (folder / "file").exists()
    with temporary_folder() as own:
        assert list(place.iterdir()) == [own]
    assert not list(place.iterdir())


def test_nothing_else_is_removed(place: Path) -> None:
    """No other folder, no file, no link, and nothing behind a link."""
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "thesis").write_text("x")
    (place / "booktape-segment-").mkdir()
    (place / "booktape-segment-12345678").write_text("a file")
    (place / "booktape-segment-abcdefgh").symlink_to(place / "elsewhere")
    before = sorted(place.iterdir())
    with temporary_folder() as folder:
        (folder / "link").symlink_to(place / "elsewhere")
    assert sorted(place.iterdir()) == before
    assert (place / "elsewhere" / "thesis").exists()


def test_a_missing_location_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported like a disk that cannot be written."""
    monkeypatch.setattr(tempfile, "tempdir", str(place / "gone"))
    with pytest.raises(WriteFailed, match="booktape-segment-"), temporary_folder():
        pass
