"""Sealed segments without a recorder: the content of their files does not matter to shipping."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import defaultdict
from io import BytesIO
from pathlib import Path

import obstore
from obstore.store import from_url

from booktape.store.layout import Layout, Segment
from booktape.store.manifest import Contents, read_manifest, seal_manifest
from booktape.store.unsealed_file import FileSeal

HOUR_US = 3_600 * 10**6
SYMBOL = "币安USDT"


def seal(root: Path, number: int, size_bytes: int = 200) -> Segment:
    """One segment with a tape, rows and three small tables; the tape comes last, as with a recorder."""
    layout = Layout(root)
    segment = Segment(number * HOUR_US, f"a{number}")
    files = [layout.rows(segment, SYMBOL), *(layout.table(segment, name) for name in TABLES)]
    files.append(layout.tape(segment))
    seals = {}
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(".not yet")
        hidden.write_bytes(os.urandom(size_bytes))
        seals[path] = FileSeal.of_file(hidden)
        if path == files[-1]:
            seal_manifest(layout, segment, seals, {files[0]: Contents(1, 7, 9)})
            shutil.rmtree(layout.unsealed_of(segment))
        hidden.rename(path)
    return segment


TABLES = ("gaps", "checks", "notes")


def objects(address: str, port: int, folder: str | None = None) -> dict[str, tuple[int, str]]:
    """Size and ETag of each object below an address, by its name."""
    store = from_url(
        address, client_options={"allow_http": True}, endpoint=f"http://127.0.0.1:{port}"
    )
    listed = (each for part in obstore.list(store, folder) for each in part)
    return {each["path"]: (each["size"], (each["e_tag"] or "").strip('"')) for each in listed}


def expected(root: Path) -> dict[str, tuple[int, str]]:
    """What `objects` has to show once all sealed segments of an archive are shipped."""
    found = {}
    for path in [*root.glob("manifests/*/*.json")]:
        names = [
            *read_manifest(BytesIO(path.read_bytes())).files,
            path.relative_to(root).as_posix(),
        ]
        for name in names:
            data = (root / name).read_bytes()
            found[name] = len(data), hashlib.md5(data, usedforsecurity=False).hexdigest()
    return found


def assert_whole(address: str, port: int, wanted: dict[str, tuple[int, str]]) -> set[str]:
    """Each manifest in the bucket has all of its files there; no object is cut off or foreign. Returns the names.

    Manifests are listed first: a list comes in pages, so an object that is put meanwhile may be only on a later page.
    """
    manifests = objects(address, port, "manifests")
    found = objects(address, port)
    assert found.items() <= wanted.items()
    of_segment: dict[str, set[str]] = defaultdict(set)
    for name in wanted:
        of_segment[_segment(name)].add(name)
    for name in manifests:
        missing = of_segment[_segment(name)] - found.keys()
        assert not missing, f"{name} is visible, and {missing} is not"
    return set(found)


def _segment(name: str) -> str:
    return name.rpartition("/")[2].partition("-")[0]
