"""A manifest lists the files of a sealed segment, and a crash at any step leaves it true."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from booktape.store.layout import Layout, Segment
from booktape.store.manifest import seal_manifest
from booktape.store.unsealed_file import FileSeal
from store.fragile import Disk
from store.small_recording import record
from support.archives import open_archive

SEGMENT = Segment(0, "a")
ROOMS = ("tape", "snapshots", "gaps", "checks", "notes")


def manifests(root: Path) -> dict[str, dict[str, Any]]:
    """The content of each manifest: path → seal, by segment."""
    read = [json.loads(path.read_bytes()) for path in sorted(root.glob("manifests/*/*.json"))]
    return {one["segment"]: one["files"] for one in read}


def assert_all_sealed(root: Path) -> None:
    """Every final file, and nothing else, is listed correctly in the manifest of its segment."""
    found = manifests(root)
    listed = {file: seal for files in found.values() for file, seal in files.items()}
    paths = [path for room in ROOMS for path in (root / room).rglob("*") if path.is_file()]
    assert listed == {path.relative_to(root).as_posix(): sealed(path) for path in paths}
    for segment, files in found.items():
        assert all(segment in file for file in files)


def sealed(path: Path) -> dict[str, Any]:
    """The entry that a manifest must have for a file."""
    content = path.read_bytes()
    seal = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if path.suffix != ".parquet":
        return seal
    table = pq.read_table(io.BytesIO(content))
    if "snapshots" in path.parts:
        ids = table["update_id"].to_pylist()
        seal |= {"first_id": ids[0], "last_id": ids[-1]}
    return seal | {"rows": table.num_rows}


def test_a_manifest_lists_each_file_of_its_segment(tmp_path: Path) -> None:
    """It has size, SHA-256, rows, first and last update id, and the path relative to the archive."""
    record(tmp_path)
    assert_all_sealed(tmp_path)
    assert len(manifests(tmp_path)) == 2
    assert not list(tmp_path.glob("unsealed/*"))


def test_a_manifest_replaces_an_earlier_one(tmp_path: Path) -> None:
    """Even when a crash left half of one: recovered files may be compressed differently."""
    layout = Layout(tmp_path)
    layout.writing_manifest(SEGMENT).parent.mkdir(parents=True)
    for content in (b"abc", b"abcd"):
        (tmp_path / "file").write_bytes(content)
        layout.writing_manifest(SEGMENT).write_bytes(b'{"seg')
        seal_manifest(
            layout, SEGMENT, {layout.tape(SEGMENT): FileSeal.of_file(tmp_path / "file")}, {}
        )
    (files,) = manifests(tmp_path).values()
    name = layout.tape(SEGMENT).relative_to(tmp_path).as_posix()
    assert files == {name: {"bytes": 4, "sha256": hashlib.sha256(b"abcd").hexdigest()}}


@pytest.mark.parametrize("apart", [17, pytest.param(3, marks=pytest.mark.long)])
def test_every_step_from_the_first_seal_may_be_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: int
) -> None:
    """Killed at any operation: after the next start all files are as listed."""
    disk = Disk(monkeypatch)
    record(tmp_path / "whole")
    # The first rename begins the first segment, the second rename the next.
    first_seal = [step for step, name in enumerate(disk.log) if name == "rename"][2]
    steps = 0
    for chosen in itertools.count(first_seal, apart):
        root = tmp_path / str(chosen)
        with disk.dies_at(chosen):
            record(root)
        if not disk.failed:
            break
        with open_archive(root):
            pass
        assert_all_sealed(root)
        steps += 1
    assert steps * apart > 30
