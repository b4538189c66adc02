"""`verify` of a bucket reports the same as for a copy of the bucket in a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

import obstore
import pytest
from obstore.store import ObjectStore

from booktape.errors import BucketRefused, BucketUnavailable, UsageError, WriteFailed
from booktape.processes.task_map import Shard
from booktape.store.catalog import sealed_tapes
from booktape.store.layout import Layout
from booktape.verify.kept_results import KeptResults
from booktape.verify.order import Scope
from booktape.verify.report import as_json
from booktape.verify.run import verify
from booktape.verify.stored_files import stored_files
from bucket.conftest import lead_to, new_address
from bucket.copies import download, store_at, upload
from bucket.faulty_proxy import Fault, FaultyProxy
from support.mounts import mounted
from verify.small import BTC, build, sealed

Change: TypeAlias = Callable[[ObjectStore, Path], Any]
"""To a bucket, from the archive that is in it."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five segments of three recordings. Never written to."""
    root = tmp_path_factory.mktemp("bucket") / "archive"
    build(root)
    return root


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder into which segments are fetched: nothing may be left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def store(address: str, s3_port: int, archive: Path) -> ObjectStore:
    """The archive in a bucket."""
    found = store_at(address, s3_port)
    upload(archive, found)
    return found


@pytest.fixture(scope="module")
def shared(s3_port: int, archive: Path) -> str:
    """The archive in a bucket that no test changes."""
    found = new_address(s3_port)
    with pytest.MonkeyPatch.context() as environment:
        lead_to(s3_port, environment)
        upload(archive, store_at(found, s3_port))
    return found


def report_of(where: str, **scope: Any) -> dict[str, Any]:
    """The report, except for the location."""
    found = as_json(verify(stored_files(where), Scope(**scope)))
    del found["directory"]
    return found


def name_in(archive: Path, path: Path) -> str:
    return path.relative_to(archive).as_posix()


def removed(room: str, number: int) -> Change:
    """An object of a folder is gone."""
    return lambda store, root: obstore.delete(store, name_in(root, sealed(root, room)[number]))


def changed(room: str, number: int, change: Callable[[bytes], bytes]) -> Change:
    """An object of a folder has other bytes."""

    def put(store: ObjectStore, root: Path) -> None:
        path = sealed(root, room)[number]
        obstore.put(store, name_in(root, path), change(path.read_bytes()))

    return put


def added(name: str) -> Change:
    """Rows of another segment, under another name."""

    def put(store: ObjectStore, root: Path) -> None:
        first, second = sealed(root, "snapshots")[:2]
        name_of = name.format(day=second.parent.name, name=second.name)
        obstore.put(store, name_of, first.read_bytes())

    return put


CHANGES: Final[dict[str, Change]] = {
    "nothing": lambda _store, _root: None,
    "a missing tape": removed("tape", 1),
    "the last tape is missing": removed("tape", -1),
    "missing rows": removed("snapshots", 0),
    "a missing table": removed("checks", 2),
    "a cut tape": changed("tape", 1, lambda data: data[:-9]),
    "a tape of other bytes": changed("tape", 1, lambda data: data[:40] + b"x" + data[41:]),
    "a tape that begins otherwise": changed("tape", 2, lambda data: b"x" * len(data)),
    "an empty object": changed("snapshots", 1, lambda _: b""),
    "another object of the same size": changed("gaps", 1, lambda data: data[:-1] + b"x"),
    "a manifest that is none": changed("manifests", 1, lambda _: b"{"),
    "a manifest of another segment": changed(
        "manifests", 1, lambda data: data.replace(b"first", b"other")
    ),
    "a foreign object": added("snapshots/symbol=BTCUSDT/{day}/foreign.parquet"),
    "rows under another day": added("snapshots/symbol=BTCUSDT/date=1970-01-02/{name}"),
    "rows without a symbol": added("snapshots/{name}"),
    "a hidden object": added("snapshots/symbol=BTCUSDT/{day}/.{name}"),
    "litter that a reader reads": added("snapshots/symbol=BTCUSDT/{day}/Thumbs.db"),
    "litter": lambda store, _: obstore.put(store, "snapshots/.DS_Store", b"of a system"),
    "a folder of something else": added("gaps/more/{day}/{name}"),
    "a tape that is not sealed": lambda store, root: obstore.put(
        store,
        "unsealed/20300101T000000.000000Z-x/tape.jsonl.zst",
        sealed(root, "tape")[0].read_bytes(),
    ),
}


HARMLESS: Final = ("nothing", "litter", "a tape that is not sealed")
OF_OBJECTS: Final = (
    *("missing rows", "a missing table", "an empty object", "another object of the same size"),
    "a manifest that is none",
)
OF_TAPES: Final = ("a missing tape", "a tape that begins otherwise", "the last tape is missing")
IN_TAPES: Final = ("a cut tape", "a manifest of another segment")
OF_NAMES: Final = (
    *("a foreign object", "rows under another day", "rows without a symbol", "a hidden object"),
    *("litter that a reader reads", "a folder of something else"),
)


def test_every_change_is_in_one_of_the_groups() -> None:
    """Except for one that takes a group's place."""
    grouped = {*HARMLESS, *OF_OBJECTS, *OF_TAPES, *IN_TAPES, *OF_NAMES}
    assert CHANGES.keys() - grouped == {"a tape of other bytes"}


@pytest.mark.parametrize(
    "changes",
    [
        *(HARMLESS, OF_OBJECTS, OF_TAPES, IN_TAPES, OF_NAMES),
        *(pytest.param((change,), id=change, marks=pytest.mark.long) for change in CHANGES),
    ],
)
def test_a_bucket_is_verified_like_its_copy(
    store: ObjectStore, address: str, archive: Path, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    """The same findings, in the same words, for every kind of damage, several at once or each alone."""
    for change in changes:
        CHANGES[change](store, archive)
    copied = download(store, tmp_path / "copy")
    expected = report_of(str(copied))
    assert expected["clean"] == (set(changes) <= set(HARMLESS))
    assert report_of(address) == expected
    assert not list(Path(tempfile.gettempdir()).iterdir())


@pytest.mark.parametrize("scope", [{"symbols": frozenset({BTC})}, {"from_us": 35_000_000}])
@pytest.mark.usefixtures("proxy")
def test_part_of_a_bucket_is_verified_like_its_copy(
    shared: str, archive: Path, scope: dict[str, Any]
) -> None:
    """One symbol, or the segments of a range of time."""
    assert report_of(shared, **scope) == report_of(str(archive), **scope)


def test_a_segment_without_a_manifest_is_on_the_way(
    store: ObjectStore, address: str, archive: Path
) -> None:
    """The manifest is put last. So the segment is named, and is neither verified nor missing."""
    last = sealed_tapes(Layout(archive))[-1].name
    obstore.delete(store, name_in(archive, sealed(archive, "manifests")[-1]))
    found = report_of(address)
    assert found["clean"]
    assert found["segments"] == len(sealed(archive, "tape")) - 1
    assert found["on_the_way"] == [last]


def test_a_hole_is_not_on_the_way(store: ObjectStore, address: str, archive: Path) -> None:
    """A segment without a manifest that another one continues is missing: its successor arrived, and it did not."""
    obstore.delete(store, name_in(archive, sealed(archive, "manifests")[1]))
    found = report_of(address)
    assert not found["clean"]
    assert any("is missing" in one["what"] for one in found["findings"])


def test_a_segment_that_arrives_meanwhile_does_no_harm(
    proxy: FaultyProxy, store: ObjectStore, address: str, archive: Path
) -> None:
    """Manifests are listed first: later objects are on their way, and never found in part."""
    last = [name_in(archive, path) for path in archive.rglob("*") if is_of_last(archive, path)]
    obstore.delete(store, last)
    listings = 0

    def put_between(request: Any) -> None:
        nonlocal listings
        if request.method == "GET" and "list-type" in request.path:
            listings += 1
            if listings == 3:
                for name in sorted(last, key=lambda each: each.startswith("manifests")):
                    obstore.put(store, name, (archive / name).read_bytes())

    proxy.after_request = put_between
    found = report_of(address)
    assert listings > 3
    assert not any("missing" in one["what"] and one["symbol"] for one in found["findings"])
    assert len(found["on_the_way"]) == 1


def is_of_last(archive: Path, path: Path) -> bool:
    last = sealed_tapes(Layout(archive))[-1].name
    return path.is_file() and path.name.startswith(last)


def test_kept_results_are_not_fetched_again(
    proxy: FaultyProxy, store: ObjectStore, address: str, archive: Path, tmp_path: Path
) -> None:
    """Shards, and the run that combines them: only an object that changed is read again."""
    expected = report_of(str(archive))
    for number in (1, 2):
        stored = stored_files(address)
        kept = KeptResults(tmp_path / "results", stored, None)
        verify(stored, Scope(shard=Shard(number, 2)), 1, kept=kept)
    proxy.requests.clear()
    stored = stored_files(address)
    found = as_json(
        verify(stored, Scope(), 1, kept=KeptResults(tmp_path / "results", stored, None))
    )
    del found["directory"]
    assert found == expected
    read = [one.path for one in proxy.requests if "/snapshots/" in one.path]
    assert not read
    changed("snapshots", 0, lambda data: data + b"x")(store, archive)
    stored = stored_files(address)
    found = as_json(
        verify(stored, Scope(), 1, kept=KeptResults(tmp_path / "results", stored, None))
    )
    assert not found["clean"]


def test_an_empty_address_is_a_mistake(address: str) -> None:
    """The error has the name as it was given."""
    with pytest.raises(UsageError, match=f"^{address} holds no recording"):
        report_of(address)


# ── the way to it ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("at", "fault"),
    [
        # The library itself retries these for some seconds.
        pytest.param("list-type", Fault.REFUSED, marks=pytest.mark.long),
        pytest.param("list-type", Fault.BUSY, marks=pytest.mark.long),
        pytest.param("list-type", Fault.CUT_ANSWER, marks=pytest.mark.long),
        pytest.param("/tape/", Fault.BROKEN, marks=pytest.mark.long),
        pytest.param("/snapshots/", Fault.REFUSED, marks=pytest.mark.long),
        ("/tape/", Fault.CUT_ANSWER),
        ("/tape/", Fault.CUT_HEAD),
        ("/snapshots/", Fault.CUT_HEAD),
    ],
)
def test_trouble_on_the_way_is_not_a_finding(
    proxy: FaultyProxy, shared: str, at: str, fault: Fault
) -> None:
    """It ends the run with one error, which a later run does not meet; or it passes."""
    proxy.choose = lambda _, path: fault if at in path else Fault.NONE
    with pytest.raises(BucketUnavailable, match=f"^{shared}.* cannot be reached") as error:
        report_of(shared)
    assert "a-word-that-no-log-may-hold" not in str(error.value)


@pytest.mark.parametrize("every", [20, pytest.param(5, marks=pytest.mark.long)])
def test_an_occasional_fault_is_overcome(
    proxy: FaultyProxy, shared: str, archive: Path, every: int
) -> None:
    """One in several requests is reset: the report is the same as without."""
    requests = count(1)
    proxy.choose = lambda *_: Fault.NONE if next(requests) % every else Fault.REFUSED
    assert report_of(shared) == report_of(str(archive))
    assert any(request.fault is Fault.REFUSED for request in proxy.requests)


def test_a_refusal_ends_the_run(proxy: FaultyProxy, shared: str) -> None:
    """No permission: another attempt would end in the same way."""
    proxy.choose = lambda _, path: Fault.FORBIDDEN if "/tape/" in path else Fault.NONE
    with pytest.raises(BucketRefused, match="refused"):
        report_of(shared)


@pytest.mark.usefixtures("proxy")
def test_a_disk_that_holds_one_segment_is_enough(
    shared: str, archive: Path, temporary: Path
) -> None:
    """A smaller disk is named in an error. Nothing is left there."""
    with mounted(temporary, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        # Each file takes a page there.
        assert 4_096 * sum(path.is_file() for path in archive.rglob("*")) > 64 << 10
        assert report_of(shared)["clean"]
        assert not list(temporary.iterdir())
    with (
        mounted(temporary, "-t", "tmpfs", "-o", "size=8k", "tmpfs"),
        pytest.raises(WriteFailed, match="the disk is full"),
    ):
        report_of(shared)
