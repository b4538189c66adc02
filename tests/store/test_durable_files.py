"""A final name stands for a whole, durable file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from booktape.errors import WriteFailed
from booktape.store.durable_files import disk_errors_named, make_folder, publish, sync_path
from booktape.store.layout import Layout, Segment


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """The calls to the operating system, in order: syncs by inode, renames by final name."""
    asked: list[tuple[str, object]] = []
    really_sync, really_rename = os.fsync, Path.rename

    def sync(descriptor: int) -> None:
        asked.append(("sync", os.fstat(descriptor).st_ino))
        really_sync(descriptor)

    def rename(path: Path, final: Path) -> Path:
        asked.append(("rename", final))
        return really_rename(path, final)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    return asked


def next_descriptor() -> int:
    """The lowest free descriptor: it stays the same if nothing was left open."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_a_final_name_is_made_durable_after_the_rename(
    tmp_path: Path, order: list[tuple[str, object]]
) -> None:
    """First each new folder is synced into its parent; then the file is renamed, and its folder synced."""
    unsealed, final = tmp_path / "unsealed", tmp_path / "tape" / "date=1970-01-01" / "final"
    unsealed.write_bytes(b"whole")
    publish(unsealed, final)
    assert final.read_bytes() == b"whole"
    assert not unsealed.exists()
    assert order == [
        ("sync", inode(tmp_path)),
        ("sync", inode(tmp_path / "tape")),
        ("rename", final),
        ("sync", inode(final.parent)),
    ]


def test_a_final_file_is_never_replaced(tmp_path: Path) -> None:
    """The file under a final name stays; the one that would replace it is removed."""
    unsealed = Layout(tmp_path).writing_tape(Segment(0, "first"))
    unsealed.parent.mkdir(parents=True)
    unsealed.write_bytes(b"newer")
    (tmp_path / "final").write_bytes(b"older")
    publish(unsealed, tmp_path / "final")
    assert (tmp_path / "final").read_bytes() == b"older"
    assert not unsealed.exists()


def test_a_rename_that_fails_is_reported(tmp_path: Path) -> None:
    """A publication that fails leaves the unsealed file where it is."""
    (tmp_path / "tape").write_bytes(b"a file where a folder should be")
    (tmp_path / "unsealed").write_bytes(b"whole")
    with pytest.raises(WriteFailed, match=f"Cannot write {tmp_path}/tape/final: "):
        publish(tmp_path / "unsealed", tmp_path / "tape" / "final")
    assert (tmp_path / "unsealed").read_bytes() == b"whole"


def test_folders_that_exist_are_left_alone(tmp_path: Path, order: list[tuple[str, object]]) -> None:
    """Only new folders need to be made durable."""
    make_folder(tmp_path)
    assert order == []


def test_sync_reaches_the_file_itself(tmp_path: Path, order: list[tuple[str, object]]) -> None:
    """Whatever is under a path is synced, and closed again."""
    free = next_descriptor()
    (tmp_path / "file").write_bytes(b"")
    sync_path(tmp_path / "file")
    sync_path(tmp_path)
    assert order == [("sync", inode(tmp_path / "file")), ("sync", inode(tmp_path))]
    assert next_descriptor() == free


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk is full"),
        (OSError(errno.EFBIG, "File too large"), "the disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (OSError("nothing but a text"), "nothing but a text"),
    ],
)
def test_a_refusal_becomes_one_sentence(error: OSError, words: str) -> None:
    """The file, the reason in plain words, and that sealed files are intact."""
    named = pytest.raises(WriteFailed, match=f"^Cannot write a/b: {words}. What was sealed")
    with named as caught, disk_errors_named(Path("a/b")):
        raise error
    assert caught.value.__cause__ is error


def test_our_own_mistakes_are_not_blamed_on_the_disk() -> None:
    """Any other exception passes through unchanged."""
    with pytest.raises(ZeroDivisionError), disk_errors_named(Path("a")):
        raise ZeroDivisionError


def test_a_folder_that_cannot_be_synced_is_no_reason_to_stop() -> None:
    """This is a real one: fsync on a folder of the kernel gives EINVAL, as on some network shares."""
    folder = Path("/proc")
    if not folder.is_dir():
        pytest.skip("there is no /proc here")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    before = next_descriptor()
    sync_path(folder)
    assert next_descriptor() == before


def test_a_file_that_cannot_be_synced_is_a_reason_to_stop() -> None:
    """For a file the same error means that its content may be lost."""
    file = Path("/proc/self/status")
    if not file.exists():
        pytest.skip("there is no /proc here")
    with pytest.raises(OSError, match="Invalid argument"):
        sync_path(file)
