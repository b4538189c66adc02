"""A stray (a file that belongs to no segment of its archive) is named by copies and removals, and left alone."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from booktape.errors import DamagedArchive
from booktape.retention.compact import compact
from booktape.retention.limits import Limit
from booktape.retention.prune import Rules, prune
from booktape.store.layout import TABLE, Layout, Segment
from retention.test_changed_since import (
    IRREGULAR,
    contents,
    first_of,
    folder,
    link,
    linked_folder,
    longer,
)
from retention.test_command import call
from store.contents import digests
from store.small_recording import record
from verify.small import BTC, FIRST, opening, verified

TABLES = ["snapshots", "gaps", "checks", "notes"]


def copied_under_another_name(root: Path, table: str) -> Path:
    """A file of the first segment under the name of a segment that does not exist."""
    layout, segment = Layout(root), first_of(root)
    other = Segment(segment.start_us + 1, segment.tag)
    path_of = layout.rows if table == "snapshots" else layout.table
    key = BTC if table == "snapshots" else table
    return Path(shutil.copy(path_of(segment, key), path_of(other, key)))


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_a_file_of_a_nonexistent_segment_is_named(
    archive: Path, tmp_path: Path, table: str, *, copied: bool
) -> None:
    """Readers show its rows, and the copy has none of them; also if everything else had been copied earlier."""
    out = tmp_path / "days"
    if copied:
        assert not compact(archive, out).left_out
    stray = copied_under_another_name(archive, table)
    for there in (0, 3) if not copied else (3,):
        outcome = compact(archive, out)
        (name,) = outcome.left_out
        assert name == stray.name.removesuffix(TABLE)
        assert stray.relative_to(archive).as_posix() in outcome.left_out[name]
        assert outcome.there == there
    assert not list(out.rglob(stray.name))
    assert verified(out).exit_code == 0
    assert verified(archive).exit_code == 1
    stray.unlink()
    assert not compact(archive, out).left_out


def test_a_stray_is_named_and_exit_is_1(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other days are copied."""
    stray = copied_under_another_name(archive, "snapshots")
    assert call("compact", archive, "--out", tmp_path / "days") == 1
    out = capsys.readouterr().out
    assert stray.name in out
    assert "3 days copied" in out


def notes_of_a_user(root: Path) -> Path:
    path = root / "snapshots" / f"symbol={BTC}" / "notes.txt"
    path.write_text("mine")
    return path


def rows_outside_of_a_day(root: Path) -> Path:
    rows = Layout(root).rows(first_of(root), BTC)
    return Path(shutil.copy(rows, rows.parents[1] / rows.name))


def link_to_rows(root: Path) -> Path:
    rows = Layout(root).rows(first_of(root), BTC)
    path = rows.with_name("again.parquet")
    path.symlink_to(rows)
    return path


def a_symbol_of_another_archive(root: Path) -> Path:
    path = root / "snapshots" / "symbol=LINKED"
    path.symlink_to(root / "snapshots" / f"symbol={BTC}")
    return path


@pytest.mark.parametrize(
    "put", [notes_of_a_user, rows_outside_of_a_day, link_to_rows, a_symbol_of_another_archive]
)
def test_files_that_do_not_belong_to_an_archive_are_named(
    archive: Path, tmp_path: Path, put: Callable[[Path], Path]
) -> None:
    """By the same rule as in `verify`: some reader may take rows from them, and they are not copied."""
    stray = put(archive)
    outcome = compact(archive, tmp_path / "days")
    assert stray.relative_to(archive).as_posix() in str(outcome.left_out)


def test_many_strays_are_counted(archive: Path, tmp_path: Path) -> None:
    """Twenty are named."""
    for number in range(30):
        (archive / "gaps" / f"{number}.txt").write_text("mine")
    left_out = compact(archive, tmp_path / "days").left_out
    assert len(left_out) == 21
    assert "10 more" in str(left_out)


def test_litter_of_operating_systems_is_not_a_stray(archive: Path, tmp_path: Path) -> None:
    (archive / "snapshots" / ".DS_Store").write_text("?")
    (archive / "gaps" / "lost+found").mkdir()
    assert not compact(archive, tmp_path / "days").left_out


def test_a_file_that_came_after_its_day_was_copied_is_named(archive: Path, tmp_path: Path) -> None:
    """It is neither in the manifest of its segment nor in the copy."""
    compact(archive, tmp_path / "days")
    rows = Layout(archive).rows(first_of(archive), BTC)
    added = Layout(archive).rows(first_of(archive), "ADDED")
    added.parent.mkdir(parents=True)
    shutil.copy(rows, added)
    outcome = compact(archive, tmp_path / "days")
    assert "symbol=ADDED" in str(outcome.left_out)
    assert outcome.there == 3


@pytest.mark.parametrize("change", [longer, folder])
def test_a_manifest_that_became_unreadable_after_its_day_was_copied_is_named(
    archive: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """The content of that day is then unknown. The run continues."""
    manifest = Layout(archive).manifest(first_of(archive))
    compact(archive, tmp_path / "days")
    change(manifest)
    if change is longer:
        manifest.write_bytes(manifest.read_bytes()[:-9])
    outcome = compact(archive, tmp_path / "days")
    assert manifest.stem in str(outcome.left_out)
    assert outcome.there == 3


def test_files_of_an_unsealed_segment_are_not_strays(tmp_path: Path) -> None:
    """A recorder that is sealing, or was killed while sealing, has already renamed some of them."""
    source = tmp_path / "source"
    record(source, FIRST, opening=opening(0), tag="first")
    stray = copied_under_another_name(source, "snapshots")
    (source / "unsealed" / stray.name.removesuffix(TABLE)).mkdir(parents=True)
    assert not compact(source, tmp_path / "days").left_out


def test_a_prune_of_verified_segments_leaves_strays_alone(archive: Path) -> None:
    """It removes files that a manifest names. A stray does not affect which files are removed."""
    stray = copied_under_another_name(archive, "snapshots")
    assert len(prune(archive, Rules(everything=Limit(age_s=0)), 10**15).segments) == 4
    assert stray.is_file()


# ── what is no regular file ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tapes", "place", "change"),
    [
        *itertools.product(["there"], ["rows"], [*IRREGULAR, linked_folder]),
        *itertools.product(["there"], ["gaps", "tape", "manifest"], [folder, link]),
        *itertools.product(["removed"], ["rows", "manifest"], [folder, link]),
    ],
)
def test_a_day_with_anything_but_a_file_in_place_of_one_is_left_out(
    archive: Path, tmp_path: Path, place: str, change: Callable[[Path], None], tapes: str
) -> None:
    """It is named; no run waits for it or stops at it, and nothing of it is changed. The other days are copied."""
    layout, segment = Layout(archive), first_of(archive)
    paths = {
        "rows": layout.rows(segment, BTC),
        "gaps": layout.table(segment, "gaps"),
        "tape": layout.tape(segment),
        "manifest": layout.manifest(segment),
    }
    if tapes == "removed":
        prune(archive, Rules(tapes=Limit(age_s=0)), 10**15)
    change(paths[place])
    before = contents(archive)
    outcome = compact(archive, tmp_path / "days")
    assert paths[place].name in str(outcome.left_out) or "linked folder" in str(outcome.left_out)
    assert contents(archive) == before
    if change is not linked_folder:
        assert len(outcome.days) == 2


@pytest.mark.parametrize("place", ["rows", "gaps", "manifest", "receipt"])
@pytest.mark.parametrize("change", [folder, link])
def test_something_else_in_a_place_of_the_copy_stays_and_is_named(
    archive: Path, tmp_path: Path, place: str, change: Callable[[Path], None]
) -> None:
    """In place of a file of a day that is to be written: the day is left out, others are copied."""
    out = tmp_path / "days"
    layout, segment = Layout(out), first_of(archive)
    compact(archive, out)
    whole = digests(out)
    paths = {
        "rows": layout.rows(segment, BTC),
        "gaps": layout.table(segment, "gaps"),
        "manifest": layout.manifest(segment),
        "receipt": layout.removal(segment),
    }
    change(paths[place])
    if place != "receipt":
        layout.removal(segment).unlink()
    before = contents(out)
    if place == "receipt":
        with pytest.raises(DamagedArchive, match=paths[place].name):
            call("compact", archive, "--out", out)
    else:
        outcome = compact(archive, out)
        assert paths[place].name in str(outcome.left_out)
        assert outcome.there == 2
    assert contents(out) == before
    if paths[place].is_dir() and not paths[place].is_symlink():
        shutil.rmtree(paths[place])
    else:
        paths[place].unlink()
    assert not compact(archive, out).left_out
    assert whole.keys() <= digests(out).keys()
