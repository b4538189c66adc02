"""Many segments through every fault: nothing missing, duplicated, cut, or visible early."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from booktape.errors import BucketRefused, BucketUnavailable, NotShipped, WriteFailed
from booktape.ship.backlog import describe_shipping
from booktape.ship.bucket import Bucket
from booktape.ship.content import Content
from booktape.ship.receipts import read_receipts
from booktape.ship.shipper import Shipper
from booktape.store.layout import Layout, Segment
from booktape.store.manifest import Contents, seal_manifest
from booktape.store.unsealed_file import FileSeal
from bucket.faulty_proxy import Fault, FaultyProxy
from bucket.segments import HOUR_US, SYMBOL, assert_whole, expected, objects, seal
from support.mounts import mounted

SEGMENTS: Final = int(os.environ.get("BOOKTAPE_BUCKET_SEGMENTS", "100"))
"""`make bucket` ships a thousand."""

FAULTY: Final = 0.05
"""The share of requests that meet a fault."""

WAY: Final = [
    *(Fault.REFUSED, Fault.CUT_REQUEST, Fault.CUT_ANSWER, Fault.BUSY, Fault.BROKEN, Fault.LATE),
    Fault.SLOW,
]
"""Possible faults on the way to a service that keeps its promises."""


def ship_all(root: Path, address: str, patience_s: float = 60.0) -> Shipper:
    """Ship the sealed segments; raises the error that ends it."""

    async def run() -> Shipper:
        shipper = Shipper(Layout(root), Bucket("--ship", address), patience_s=patience_s)
        await shipper.end()
        await shipper.run()
        return shipper

    return asyncio.run(run())


@pytest.mark.long
def test_many_segments_through_every_fault(
    proxy: FaultyProxy, address: str, s3_port: int, tmp_path: Path
) -> None:
    """Meanwhile another reader checks: every file that a manifest names is there, whole, each time."""
    for number in range(SEGMENTS):
        seal(tmp_path, number)
    wanted = expected(tmp_path)
    chance = random.Random(0)
    proxy.choose = lambda *_: chance.choice(WAY) if chance.random() < FAULTY else Fault.NONE
    looks = 0

    async def look_while(shipping: asyncio.Future[Shipper]) -> None:
        nonlocal looks
        while not shipping.done():
            await asyncio.to_thread(assert_whole, address, s3_port, wanted)
            looks += 1
            await asyncio.wait({shipping}, timeout=0.1)

    async def run() -> Shipper:
        shipping = asyncio.ensure_future(asyncio.to_thread(ship_all, tmp_path, address))
        await look_while(shipping)
        return await shipping

    shipper = asyncio.run(run())
    shipper.check()
    assert objects(address, s3_port) == wanted
    assert len(read_receipts(Layout(tmp_path), address)) == SEGMENTS
    assert looks > 5
    met = Counter(request.fault for request in proxy.requests)
    assert set(WAY) <= met.keys()
    # Nothing is sent twice, except after a fault.
    puts = Counter(request.path for request in proxy.requests if request.method == "PUT")
    assert sum(count - 1 for count in puts.values()) <= sum(met[fault] for fault in WAY)


def test_a_manifest_comes_last(proxy: FaultyProxy, address: str, tmp_path: Path) -> None:
    """After every other object of its segment was confirmed."""
    seal(tmp_path, 1)
    ship_all(tmp_path, address)
    puts = [request.path for request in proxy.requests if request.method == "PUT"]
    assert len(puts) == 6
    assert [path for path in puts if "/manifests/" in path] == puts[-1:]


def test_shipped_segments_are_not_requested_again(
    proxy: FaultyProxy, address: str, tmp_path: Path
) -> None:
    """A receipt in the archive records them. Another bucket has its own receipts."""
    seal(tmp_path, 1)
    ship_all(tmp_path, address)
    proxy.requests.clear()
    ship_all(tmp_path, address)
    assert not proxy.requests
    ship_all(tmp_path, f"{address}/other")
    assert proxy.requests


def test_without_receipts_existing_objects_are_found_and_not_sent(
    proxy: FaultyProxy, address: str, tmp_path: Path
) -> None:
    """One request for each object, while the previous one was there; then the rest is put."""
    for number in range(3):
        seal(tmp_path, number)
    ship_all(tmp_path, address)
    for receipt in tmp_path.glob("shipped/*/*/*"):
        receipt.unlink()
    seal(tmp_path, 3)
    proxy.requests.clear()
    ship_all(tmp_path, address)
    puts = [request.path for request in proxy.requests if request.method == "PUT"]
    assert len(puts) == 6
    assert all("a3" in path for path in puts)


def test_a_different_object_with_the_same_name_stays_and_the_rest_continues(
    address: str, s3_port: int, tmp_path: Path
) -> None:
    """Its segment gets no manifest there. The others are shipped, and the end says what is missing: exit 1."""
    first, second = seal(tmp_path, 1), seal(tmp_path, 2)
    name = Layout(tmp_path).tape(first).relative_to(tmp_path).as_posix()
    (tmp_path / "other").write_bytes(b"of someone else")
    other = Content.of_file(tmp_path / "other", tmp_path)
    asyncio.run(Bucket("--ship", address).put(name, other, look_first=False))
    shipper = ship_all(tmp_path, address)
    assert list(shipper.refused) == [first]
    with pytest.raises(NotShipped, match="already exists, with different content") as missing:
        shipper.check()
    assert missing.value.exit_code == 1
    found = objects(address, s3_port)
    assert found[name] == (len(b"of someone else"), other.md5)
    manifests = [each for each in found if each.startswith("manifests/")]
    assert [second.name in each for each in manifests] == [True]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "no manifest", "another manifest"])
def test_a_segment_changed_since_it_was_sealed_is_not_shipped(
    address: str, s3_port: int, tmp_path: Path, damage: str
) -> None:
    """It is named, and the others are shipped."""
    first, second = seal(tmp_path, 1), seal(tmp_path, 2)
    layout = Layout(tmp_path)
    rows, manifest = layout.rows(first, SYMBOL), layout.manifest(first)
    match damage:
        case "cut":
            rows.write_bytes(rows.read_bytes()[:-1])
        case "changed":
            rows.write_bytes(b"x" + rows.read_bytes()[1:])
        case "gone":
            rows.unlink()
        case "no manifest":
            manifest.unlink()
        case _:
            manifest.write_bytes(b"{}")
    shipper = ship_all(tmp_path, address)
    assert list(shipper.refused) == [first]
    with pytest.raises(NotShipped, match=first.name):
        shipper.check()
    found = [each for each in objects(address, s3_port) if each.startswith("manifests/")]
    assert [second.name in each for each in found] == [True]


def test_a_manifest_cannot_make_us_send_any_other_file(address: str, tmp_path: Path) -> None:
    """A forged one that names a file outside the archive."""
    root = tmp_path / "archive"
    segment = seal(root, 1)
    (tmp_path / "secret").write_bytes(b"secret")
    layout = Layout(root)
    forged = {root / "snapshots" / ".." / ".." / "secret": FileSeal.of_file(tmp_path / "secret")}
    seal_manifest(layout, segment, forged, {})
    shipper = ship_all(root, address)
    assert "which is not a file of its segment" in shipper.refused[segment]


def test_a_refusal_ends_a_command_at_once(proxy: FaultyProxy, address: str, tmp_path: Path) -> None:
    """No permission: another attempt would end in the same way."""
    seal(tmp_path, 1)
    proxy.choose = lambda *_: Fault.FORBIDDEN
    with pytest.raises(BucketRefused, match="status 403 Forbidden"):
        ship_all(tmp_path, address)


def test_patience_ends(proxy: FaultyProxy, address: str, tmp_path: Path) -> None:
    """After no object has arrived for this time; the error says what is waiting."""
    seal(tmp_path, 1)
    proxy.choose = lambda *_: Fault.BUSY
    with pytest.raises(BucketUnavailable, match="status 503 Service Unavailable"):
        ship_all(tmp_path, address, patience_s=0.5)
    (line,) = describe_shipping(Layout(tmp_path))
    assert line.startswith(f"shipped to {address}: 0; waiting: 1 segment (0.0 MB, the oldest for ")


def test_a_temporary_refusal_does_not_stop_a_recorder(
    proxy: FaultyProxy, address: str, s3_port: int, tmp_path: Path
) -> None:
    """Without a limit to its patience it continues: credentials are renewed, buckets are made."""
    seal(tmp_path, 1)
    proxy.choose = lambda *_: Fault.FORBIDDEN

    async def run() -> None:
        shipper = Shipper(Layout(tmp_path), Bucket("--ship", address))
        shipping = asyncio.create_task(shipper.run())
        while len(proxy.requests) < 20:
            await asyncio.sleep(0.01)
        assert shipper.backlog().segments == 1
        proxy.choose = lambda *_: Fault.NONE
        await shipper.end()
        await shipping
        shipper.check()

    asyncio.run(run())
    assert objects(address, s3_port) == expected(tmp_path)


def test_segments_sealed_meanwhile_are_found(
    address: str, s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is checked every few seconds."""
    monkeypatch.setattr("booktape.ship.shipper.LOOK_S", 0.05)

    async def run() -> None:
        shipper = Shipper(Layout(tmp_path), Bucket("--ship", address))
        shipping = asyncio.create_task(shipper.run())
        for number in range(3):
            segment = seal(tmp_path, number)
            async with asyncio.timeout(60):
                while segment not in read_receipts(Layout(tmp_path), address):
                    await asyncio.sleep(0.01)
        shipping.cancel()

    asyncio.run(run())
    assert objects(address, s3_port) == expected(tmp_path)


def test_the_backlog_is_counted(tmp_path: Path, address: str) -> None:
    """Segments, the bytes of all their files, and since when the oldest has waited."""
    for number in range(2):
        seal(tmp_path, number, 1_000)

    async def look() -> Shipper:
        shipper = Shipper(Layout(tmp_path), Bucket("--ship", address))
        await shipper.look()
        return shipper

    backlog = asyncio.run(look()).backlog()
    assert (backlog.segments, backlog.bytes) == (2, 2 * 5 * 1_000)
    assert backlog.text(time.time() + 3_600).startswith("2 segments (0.0 MB, the oldest for 1:00:")


def test_a_file_too_large_for_one_request_is_named(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is what to do about it; nothing of it is visible."""
    monkeypatch.setattr("booktape.ship.content.OBJECT_BYTES_MAX", 199)
    segment = seal(tmp_path, 1)
    assert "record shorter ones" in ship_all(tmp_path, address).refused[segment]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of more than 1,000 bytes count as large."""
    for module in ("content", "shipper"):
        monkeypatch.setattr(f"booktape.ship.{module}.READ_BYTES_MAX", 1_000)


@pytest.mark.usefixtures("large")
def test_a_large_file_takes_no_memory(address: str, s3_port: int, tmp_path: Path) -> None:
    """It is mapped, arrives like any other file, and leaves nothing beside the archive."""
    seal(tmp_path, 1, 3 << 20)
    before = set(tmp_path.iterdir())
    ship_all(tmp_path, address).check()
    assert objects(address, s3_port) == expected(tmp_path)
    assert set(tmp_path.iterdir()) - before == {tmp_path / "shipped"}


@pytest.mark.usefixtures("large")
def test_a_large_file_truncated_while_it_is_sent_does_no_harm(tmp_path: Path) -> None:
    """The bytes that were read are sent. A mapping of the file itself would kill this process."""
    path = tmp_path / "file"
    path.write_bytes(b"all of the bytes" * 10_000)
    content = Content.of_file(path, tmp_path)
    assert not isinstance(content.data, bytes)
    path.write_bytes(b"")
    assert bytes(content.data) == b"all of the bytes" * 10_000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("large")
def test_a_full_disk_keeps_a_large_file_waiting(address: str, s3_port: int, tmp_path: Path) -> None:
    """There is no room for its copy: nothing is called damaged, and it is shipped once there is room."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=2m", "tmpfs") as root:
        seal(root, 1, 200_000)
        ballast = root / "ballast"
        ballast.write_bytes(bytes(900_000))
        with pytest.raises(WriteFailed, match="the disk is full"):
            ship_all(root, address, patience_s=0.5)
        ballast.unlink()
        ship_all(root, address).check()
        assert objects(address, s3_port) == expected(root)


def test_a_name_that_only_looks_like_ours_is_not_a_file_of_a_segment() -> None:
    """Only the exact path, and only of this segment."""
    layout, segment = Layout(Path("/archive")), Segment(HOUR_US, "a")
    good = f"snapshots/symbol=BTCUSDT/{segment.date}/{segment.name}.parquet"
    assert layout.is_file_of(good, segment)
    assert layout.is_file_of(f"tape/{segment.date}/{segment.name}.jsonl.zst", segment)
    for bad in (
        f"/{good}",
        good.replace("snapshots", "elsewhere"),
        good.replace("snapshots/", "snapshots/../snapshots/"),
        good.replace("symbol=", ""),
        f"tape/{segment.date}/{segment.name}.parquet",
        f"manifests/{segment.date}/{segment.name}.json",
        "",
    ):
        assert not layout.is_file_of(bad, segment), bad
    assert not layout.is_file_of(good, Segment(HOUR_US, "b"))


def test_contents_default_to_nothing_known() -> None:
    """Only files of rows have update ids."""
    assert Contents(3) == (3, None, None)
