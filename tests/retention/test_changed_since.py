"""Only verified files are removed: files that changed since, and replacements of files, stay and are named."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from booktape.errors import DamagedArchive
from booktape.retention.limits import Limit
from booktape.retention.proof import Proof
from booktape.retention.prune import Rules, prune
from booktape.ship.receipts import open_receipts
from booktape.ship.removal import remove_shipped
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout, Segment
from booktape.verify.files import measure
from retention.test_command import call
from store.fragile import Disk
from verify.small import BTC

LATER_US: Final = 10**15
ALL_TAPES, ALL = Rules(tapes=Limit(age_s=0)), Rules(everything=Limit(age_s=0))
PLACES: Final[dict[str, Callable[[Layout, Segment], Path]]] = {
    "rows": lambda layout, segment: layout.rows(segment, BTC),
    "gaps": lambda layout, segment: layout.table(segment, "gaps"),
    "manifest": Layout.manifest,
}


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def same_size_and_time(path: Path) -> None:
    """Other content that neither the size nor the modification time reveals."""
    before = path.stat()
    content = path.read_bytes()
    path.write_bytes(content.replace(content[9:10], bytes([content[9] ^ 1])))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def gone(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def folder_with_a_file(path: Path) -> None:
    folder(path)
    (path / "thesis").write_text("mine")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def link(path: Path) -> None:
    """To the same bytes elsewhere."""
    path.rename(path.with_name("kept elsewhere"))
    path.symlink_to("kept elsewhere")


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


def linked_folder(path: Path) -> None:
    """The folder of its day, with exactly the same bytes, is in another archive, for example."""
    elsewhere = path.parents[3] / "elsewhere"
    path.parent.rename(elsewhere)
    path.parent.symlink_to(elsewhere)


CHANGED: Final = [longer, same_size_and_time]
IRREGULAR: Final = [folder, folder_with_a_file, fifo, unix_socket, link, link_to_nothing]


def first_of(root: Path) -> Segment:
    return sealed_tapes(Layout(root))[0]


def contents(root: Path) -> set[Path]:
    """Everything except locks."""
    return {path for path in root.rglob("*") if not path.name.startswith(".")}


@pytest.mark.parametrize(
    ("place", "change"),
    [
        *itertools.product(PLACES, [*CHANGED, *IRREGULAR, linked_folder]),
        *itertools.product(["rows", "gaps"], [gone]),
    ],
)
def test_a_file_changed_since_it_was_verified_stays(
    archive: Path, place: str, change: Callable[[Path], None]
) -> None:
    """So do its whole segment and those that continue it, named at each pass; once repaired, it is removed."""
    segment = first_of(archive)
    path = PLACES[place](Layout(archive), segment)
    prune(archive, ALL_TAPES, LATER_US)
    whole = shutil.copytree(archive, archive.parent / "whole")
    change(path)
    before = contents(archive)
    for _ in range(2):
        outcome = prune(archive, ALL, LATER_US)
        assert list(outcome.unverified) == [segment.name]
        assert path.name in outcome.unverified[segment.name]
        assert not outcome.segments
        assert contents(archive) == before
    shutil.rmtree(archive)
    whole.rename(archive)
    assert len(prune(archive, ALL, LATER_US).segments) == 4


def test_a_file_added_since_stays(archive: Path) -> None:
    """It was not verified, and the manifest does not name it: removing the others would leave it alone."""
    segment = first_of(archive)
    rows = Layout(archive).rows(segment, BTC)
    prune(archive, ALL_TAPES, LATER_US)
    added = Layout(archive).rows(segment, "ADDED")
    added.parent.mkdir(parents=True)
    shutil.copy(rows, added)
    assert list(prune(archive, ALL, LATER_US).unverified) == [segment.name]
    assert added.is_file()
    assert rows.is_file()
    added.unlink()
    assert len(prune(archive, ALL, LATER_US).segments) == 4


def test_a_manifest_that_was_made_to_fit_does_not_help(archive: Path) -> None:
    """The receipt has the checksum of the verified one."""
    segment = first_of(archive)
    prune(archive, ALL_TAPES, LATER_US)
    rows, manifest = Layout(archive).rows(segment, BTC), Layout(archive).manifest(segment)
    longer(rows)
    sealed = json.loads(manifest.read_bytes())
    size, digest = measure(rows)
    sealed["files"][rows.relative_to(archive).as_posix()] |= {"bytes": size, "sha256": digest}
    manifest.write_text(json.dumps(sealed))
    outcome = prune(archive, ALL, LATER_US)
    assert "is not the manifest" in outcome.unverified[segment.name]
    assert rows.is_file()


@pytest.mark.parametrize("change", IRREGULAR)
def test_anything_but_a_regular_file_in_place_of_a_tape_stays(
    archive: Path, change: Callable[[Path], None]
) -> None:
    """Not even a link to the same bytes is removed, by either limit; no pass waits for it or stops at it."""
    segment = first_of(archive)
    change(Layout(archive).tape(segment))
    before = contents(archive)
    for rules in (ALL_TAPES, ALL, Rules(Limit(size_bytes=1), Limit(size_bytes=1))):
        outcome = prune(archive, rules, LATER_US)
        assert segment.name in outcome.unverified
        assert re.search("is a link|is no regular file", outcome.unverified[segment.name])
        assert contents(archive) == before


@pytest.mark.parametrize("change", [*CHANGED, *IRREGULAR])
def test_completing_an_interrupted_removal_removes_only_verified_files(
    archive: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """A file that is already gone does not matter; one that changed since blocks each pass, until it is repaired."""
    layout, segment = Layout(archive), first_of(archive)
    prune(archive, ALL_TAPES, LATER_US)
    disk = Disk(monkeypatch)
    step, rows = 0, layout.rows(segment, BTC)
    while not layout.removal(segment).read_text().count('"removed":"all"'):
        with disk.dies_at(step):
            prune(archive, ALL, LATER_US)
        step += 1
    others = [path for path in archive.glob(f"*/*/{segment.name}.parquet") if path != rows]
    others[0].unlink(missing_ok=True)
    kept = rows.read_bytes()
    change(rows)
    outcome = prune(archive, Rules(everything=Limit(age_s=10**9)), LATER_US)
    assert rows.name in outcome.unverified[segment.name]
    assert os.path.lexists(rows)
    assert layout.manifest(segment).is_file()
    if rows.is_dir() and not rows.is_symlink():
        shutil.rmtree(rows)
    else:
        rows.unlink()
    rows.write_bytes(kept)
    prune(archive, ALL, LATER_US)
    assert not list(archive.glob(f"*/**/{segment.name}.parquet"))
    assert not layout.manifest(segment).exists()


@pytest.mark.parametrize("put_back", ["the same", "another"])
def test_a_tape_that_came_back_is_removed_only_if_it_is_the_verified_one(
    archive: Path, put_back: str
) -> None:
    """It may come from a backup."""
    segment = first_of(archive)
    tape = Layout(archive).tape(segment)
    kept = tape.read_bytes()
    prune(archive, ALL_TAPES, LATER_US)
    tape.write_bytes(kept if put_back == "the same" else kept[:-1])
    outcome = prune(archive, ALL_TAPES, LATER_US)
    assert tape.exists() == (put_back == "another")
    assert list(outcome.unverified) == ([segment.name] if put_back == "another" else [])


@pytest.mark.parametrize("change", [longer, folder])
def test_a_file_changed_between_verification_and_removal_stays(
    archive: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """Verification takes minutes. Each file is measured again before it is removed."""
    layout, segment = Layout(archive), first_of(archive)
    verify = Proof.verify

    def verify_then_change(self: Proof, one: Segment) -> str:
        why = verify(self, one)
        if one == segment:
            change(layout.tape(segment))
        return why

    monkeypatch.setattr(Proof, "verify", verify_then_change)
    outcome = prune(archive, ALL_TAPES, LATER_US)
    assert list(outcome.unverified) == [segment.name]
    assert os.path.lexists(layout.tape(segment))


@pytest.mark.parametrize("change", [folder, fifo, link, link_to_nothing])
def test_a_receipt_replaced_by_something_else_ends_the_pass_by_name(
    archive: Path, change: Callable[[Path], None]
) -> None:
    """With exit code 1, like an unreadable one: what was removed, and why, is not guessed. Nothing is replaced."""
    receipt = Layout(archive).removal(first_of(archive))
    prune(archive, ALL_TAPES, LATER_US)
    change(receipt)
    before = contents(archive)
    with pytest.raises(DamagedArchive, match=receipt.name):
        call("prune", archive, "--keep-tape", "0")
    assert contents(archive) == before


def test_a_folder_in_place_of_a_bucket_receipt_does_not_count_as_one(
    archive: Path,
) -> None:
    """Segments that are not in their bucket stay."""
    layout, segment, bucket = Layout(archive), first_of(archive), "s3://bucket/prefix"
    open_receipts(layout, bucket)
    layout.receipt(bucket, segment).mkdir(parents=True)
    assert segment.name in prune(archive, ALL_TAPES, LATER_US).unshipped
    assert layout.tape(segment).exists()


@pytest.mark.parametrize("change", IRREGULAR)
def test_nothing_of_a_shipped_segment_is_removed_either(
    archive: Path, change: Callable[[Path], None]
) -> None:
    """`--ship-keep` also removes files by the manifest: before the first is removed, all must be regular files."""
    layout, segment = Layout(archive), first_of(archive)
    change(layout.table(segment, "gaps"))
    before = contents(archive)
    assert remove_shipped(layout, "file:///bucket", [segment], LATER_US) == []
    assert contents(archive) == before
