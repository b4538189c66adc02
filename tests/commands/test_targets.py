"""Where a command may write: a place that is impossible or forbidden is refused before the first byte."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cyclopts import CycloptsError

import booktape
from booktape.cli import app
from booktape.errors import NothingRecorded, UsageError
from reader.day import write
from support.mounts import again, tmpfs

DAY = "date=2026-06-09"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of ten seconds; never written to."""
    root = tmp_path_factory.mktemp("written") / "archive"
    write(root, 10, segment_s=10)
    (root / ".lock").touch()
    return root


@pytest.fixture
def archive(written: Path, tmp_path: Path) -> Path:
    """An archive other than the one written to."""
    return Path(shutil.copytree(written, tmp_path / "archive"))


def commands(archive: Path, out: Path) -> dict[str, list[str]]:
    """Each command that writes, with its target."""
    where = str(archive)
    return {
        "record": ["record", "BTCUSDT", "--exchange", "sim", "--duration", "1", "--out", str(out)],
        "rebuild": ["rebuild", where, "--every", "1", "--out", str(out)],
        "export": ["export", where, "--format", "csv", "--out", str(out)],
        "plot": ["plot", where, "calendar", "--file", str(out / "calendar.png")],
    }


COMMANDS = list(commands(Path(), Path()))


def run(command: list[str]) -> None:
    app(command, exit_on_error=False, print_error=False, result_action="return_value")


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Each path below a folder, with its kind and size; links are not followed."""
    return dict(_found(folder))


def _found(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    for path in folder.rglob("*"):
        state = path.lstat()
        yield str(path), (state.st_mode, state.st_size)


def refused(archive: Path, name: str, out: Path, sentence: str) -> None:
    """Checks that the command ends with this sentence and changes nothing on the disk."""
    before = everything(archive.parent)
    with pytest.raises(UsageError, match=sentence) as caught:
        run(commands(archive, out)[name])
    assert str(caught.value).startswith("--file" if name == "plot" else "--out")
    assert everything(archive.parent) == before


INSIDE = (
    *("snapshots", "snapshots/new", "tape", f"tape/{DAY}/new", "gaps", "checks", "notes/new"),
    *("unsealed", "rebuilding/new", "manifests", "set-aside/new"),
)


@pytest.mark.parametrize(
    ("name", "inside"),
    [*((name, "snapshots/new") for name in COMMANDS), *(("export", inside) for inside in INSIDE)],
)
def test_nothing_is_written_inside_another_archive(archive: Path, name: str, inside: str) -> None:
    """Readers would take it for part of that archive, and a recorder would clear it up."""
    refused(archive, name, archive / inside, f"lies inside the archive {archive}")


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_written_there_through_a_link_either(
    archive: Path, tmp_path: Path, name: str
) -> None:
    """Both the real location and the name by which it would be seen count."""
    (tmp_path / "link").symlink_to(archive / "snapshots")
    refused(archive, name, tmp_path / "link", "lies inside the archive")
    (tmp_path / "elsewhere").mkdir()
    (archive / "snapshots" / "out").symlink_to(tmp_path / "elsewhere")
    refused(archive, name, archive / "snapshots" / "out", "lies inside the archive")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("below", ["symbol=X", "symbol=X/new", "a/symbol=%2e/b", f"{DAY}/new"])
def test_nothing_is_written_where_readers_take_a_column_from_the_path(
    archive: Path, tmp_path: Path, name: str, below: str
) -> None:
    """They would find two symbols or two dates in one path."""
    refused(archive, name, tmp_path / below, "readers would take symbol or date from that name")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_target_that_is_a_file_or_leads_nowhere_is_refused(
    archive: Path, tmp_path: Path, name: str
) -> None:
    """So is a target below one."""
    (tmp_path / "file").write_text("a thesis")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    refused(archive, name, tmp_path / "file", r"file is not a folder")
    refused(archive, name, tmp_path / "file" / "new", r"file is not a folder")
    refused(archive, name, tmp_path / "nowhere", "nowhere is a link that leads nowhere")
    refused(archive, name, tmp_path / "nowhere" / "new", "nowhere is a link that leads nowhere")
    refused(archive, name, tmp_path / "circle", "circle cannot be used")
    refused(archive, name, tmp_path / ("n" * 256), "cannot be used: File name too long")


NO_TEXT = os.fsdecode(b"caf\xe9")  # as on an old disk


@pytest.mark.parametrize(
    "command", ["record", "info", "verify", "rebuild", "export", "plot", "replay"]
)
def test_a_folder_whose_name_is_not_utf_8_is_refused(
    archive: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parquet files there could not be opened: one sentence; also where only the way to it is none."""
    odd = archive.rename(tmp_path / NO_TEXT)
    before = everything(tmp_path)
    words = commands(odd, odd / "out").get(command, [command, str(odd)])
    with pytest.raises((CycloptsError, UsageError), match=r"caf\\xe9.* is not UTF-8.*Rename"):
        run(words)
    monkeypatch.chdir(odd)
    with pytest.raises((CycloptsError, UsageError), match=r"caf\\xe9.* is not UTF-8.*Rename"):
        run(commands(Path(), Path("out")).get(command, [command, "."]))
    assert everything(tmp_path) == before


def test_the_library_refuses_it_too(archive: Path, tmp_path: Path) -> None:
    """As it refuses an address of no file system."""
    odd = archive.rename(tmp_path / NO_TEXT)
    with pytest.raises(UsageError, match="is not UTF-8"):
        booktape.open(odd)


def test_names_in_an_archive_that_are_not_utf_8_are_ignored(archive: Path) -> None:
    """No recorder creates such names, and they hide nothing."""
    rows = booktape.open(archive).coverage()
    for folder in [archive, *(path for path in archive.rglob("*") if path.is_dir())]:
        (folder / NO_TEXT).mkdir()
        (folder / f"{NO_TEXT}.txt").touch()
    assert booktape.open(archive).coverage() == rows
    run(["info", str(archive)])


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_target_is_refused(
    archive: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed, or from an empty variable: it must not mean the current folder."""
    monkeypatch.chdir(tmp_path)
    before = everything(tmp_path)
    command = commands(archive, Path("out"))[name]
    option, variable = command[-2], "BOOKTAPE_" + command[-2].removeprefix("--").upper()
    with pytest.raises(CycloptsError, match=f"{option}: It is empty"):
        run([*command[:-1], ""])
    monkeypatch.setenv(variable, "")
    with pytest.raises(CycloptsError, match=f"{variable}: It is empty"):
        run(command[:-2])
    assert everything(tmp_path) == before


def test_a_picture_needs_a_folder_and_replaces_only_files(archive: Path, tmp_path: Path) -> None:
    """A folder of that name, a link that leads nowhere, and a missing folder are refused."""
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    for file, sentence in (
        ("folder.png", "is not a file"),
        ("nowhere.png", "is a link that leads nowhere"),
        ("missing/calendar.png", "there is no folder"),
    ):
        before = everything(tmp_path)
        with pytest.raises(UsageError, match=sentence):
            run(["plot", str(archive), "calendar", "--file", str(tmp_path / file)])
        assert everything(tmp_path) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_folders_that_resemble_an_archive_are_not_one(
    archive: Path, tmp_path: Path, name: str
) -> None:
    """`snapshots` is an ordinary word, and beside the folders of an archive there may be others."""
    folders = (archive / "exported", tmp_path / "snapshots", tmp_path / "tape" / "gaps")
    for folder in folders[:1] if name == "record" else folders:
        folder.mkdir(parents=True)
        with suppress(NothingRecorded):  # a busy machine may take longer than a second
            run(commands(archive, folder)[name])
        assert everything(folder)


@pytest.mark.parametrize("name", ["record", "rebuild"])
@pytest.mark.parametrize("part", ["unsealed", "rebuilding", "set-aside"])
def test_a_folder_in_which_files_are_removed_must_not_be_a_link(
    archive: Path, tmp_path: Path, name: str, part: str
) -> None:
    """Not even to the same disk: files there might belong to another archive."""
    out, other = tmp_path / "out", tmp_path / "other"
    for folder in (out, other):
        folder.mkdir()
    (out / part).symlink_to(other)
    before = everything(tmp_path)
    with pytest.raises(UsageError, match=f"{part} is a link"):
        run(commands(archive, out)[name])
    assert everything(tmp_path) == before


PARTS = ["tape", "gaps", "manifests", "unsealed", "snapshots"]


@pytest.mark.parametrize("name", ["record", "rebuild"])
@pytest.mark.parametrize("part", [*PARTS, "snapshots/symbol=BTCUSDT"])
def test_a_part_of_an_archive_on_another_disk_is_refused(
    archive: Path, tmp_path: Path, name: str, part: str
) -> None:
    """With such a link, renaming a file into place would fail, which would be noticed an hour later."""
    out = tmp_path / "out"
    (out / part).parent.mkdir(parents=True)
    with tmpfs(tmp_path / "disk") as disk:
        (out / part).symlink_to(disk)
        before = everything(tmp_path)
        with pytest.raises(UsageError, match=r"lies on another disk than .*keep the whole archive"):
            run(commands(archive, out)[name])
        assert everything(tmp_path) == before
    (out / part).unlink()


@pytest.mark.parametrize("name", ["record", "rebuild"])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_an_archive_that_is_a_mount_of_the_same_disk_is_refused(
    archive: Path, tmp_path: Path, name: str, part: str
) -> None:
    """It has the same device number, but the system renames nothing from one mount to another."""
    out = tmp_path / "out"
    (tmp_path / "elsewhere").mkdir()
    with again(tmp_path / "elsewhere", out / part):
        before = everything(tmp_path)
        with pytest.raises(UsageError, match="lies on another disk than"):
            run(commands(archive, out)[name])
        assert everything(tmp_path) == before


def test_an_archive_that_is_all_on_another_disk_is_one_archive(
    archive: Path, tmp_path: Path
) -> None:
    """Through a link or a mount; so is an archive with a part that is a link to the same disk."""
    with tmpfs(tmp_path / "disk") as disk:
        (tmp_path / "out").symlink_to(disk)
        run(commands(archive, tmp_path / "out")["rebuild"])
        shutil.move(disk / "tape", disk / "moved")
        (disk / "tape").symlink_to(disk / "moved")
        run(commands(archive, tmp_path / "out")["rebuild"])
        assert list((disk / "moved").iterdir())
