"""Objects appear whole, are never overwritten, and are verified, whatever happens on the way to the service."""

from __future__ import annotations

import asyncio
from pathlib import Path

import obstore
import pytest
from obstore.store import from_url

from booktape.errors import BucketRefused, BucketUnavailable, ObjectDiffers, UsageError
from booktape.ship import bucket as bucket_module
from booktape.ship.bucket import Bucket, reason
from booktape.ship.content import Content
from bucket.faulty_proxy import Fault, FaultyProxy

KEY = "snapshots/symbol=%E5%B8%81USDT/date=2026-11-22/one.parquet"


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return content_of(tmp_path, b"all of the bytes" * 1_000)


def content_of(folder: Path, data: bytes) -> Content:
    (folder / "file").write_bytes(data)
    return Content.of_file(folder / "file", folder)


def put(address: str, content: Content, *, look_first: bool = False) -> bool:
    """Put it at KEY; returns whether it was already there."""
    return asyncio.run(Bucket("--ship", address).put(KEY, content, look_first=look_first))


def stored(address: str) -> bytes:
    store = from_url(address, client_options={"allow_http": True})
    return bytes(obstore.get(store, KEY).bytes())


def test_an_object_has_the_bytes_of_the_file(address: str, content: Content) -> None:
    """Under the same name, percent signs included."""
    assert not put(address, content)
    assert stored(address) == bytes(content.data)


def test_an_empty_file_is_an_object_too(address: str, tmp_path: Path) -> None:
    """Although it cannot be mapped into memory."""
    assert not put(address, content_of(tmp_path, b""))
    assert stored(address) == b""


@pytest.mark.parametrize("look_first", [False, True])
def test_an_existing_object_with_the_same_bytes_is_left(
    proxy: FaultyProxy, address: str, content: Content, look_first: bool
) -> None:
    """It counts as shipped; once it has been compared it is not even sent."""
    put(address, content)
    proxy.requests.clear()
    assert put(address, content, look_first=look_first)
    sent = [request for request in proxy.requests if request.method == "PUT"]
    assert len(sent) == (not look_first)


@pytest.mark.parametrize("look_first", [False, True])
@pytest.mark.parametrize("other", [b"of another size", b"ALL of the bytes" * 1_000])
def test_another_object_is_never_overwritten(
    address: str, content: Content, tmp_path: Path, other: bytes, look_first: bool
) -> None:
    """Of another size or of the same: it stays, and the error names it."""
    put(address, content_of(tmp_path, other))
    with pytest.raises(ObjectDiffers, match=f"{address}/{KEY} already exists, with different"):
        put(address, content, look_first=look_first)
    assert stored(address) == other


@pytest.mark.parametrize(
    "fault",
    [Fault.REFUSED, Fault.CUT_REQUEST, Fault.CUT_ANSWER, Fault.BUSY, Fault.BROKEN, Fault.LATE],
)
def test_trouble_on_the_way_is_worth_another_try(
    proxy: FaultyProxy, address: str, content: Content, fault: Fault
) -> None:
    """Every kind is the same error. The next attempt succeeds, whether the object was made or not."""
    proxy.choose = lambda method, _: fault if method == "PUT" else Fault.NONE
    with pytest.raises(BucketUnavailable):
        put(address, content)
    proxy.choose = lambda _method, _path: Fault.NONE
    put(address, content, look_first=True)
    assert stored(address) == bytes(content.data)


def test_a_request_without_an_answer_is_given_up(
    proxy: FaultyProxy, address: str, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time that grows with its bytes."""
    monkeypatch.setattr(bucket_module, "REQUEST_S", 0.2)
    proxy.choose = lambda _method, _path: Fault.SILENT
    with pytest.raises(BucketUnavailable, match="no answer in time"):
        put(address, content)


def test_a_slow_connection_succeeds(proxy: FaultyProxy, address: str, content: Content) -> None:
    """Twenty pieces, with pauses."""
    proxy.choose = lambda _method, _path: Fault.SLOW
    assert not put(address, content)
    assert stored(address) == bytes(content.data)


def test_credentials_that_can_only_put_are_enough(
    proxy: FaultyProxy, address: str, content: Content
) -> None:
    """If a service does not say whether there is an object, the put itself finds out."""
    proxy.choose = lambda method, _: Fault.NONE if method == "PUT" else Fault.FORBIDDEN
    assert not put(address, content, look_first=True)


def test_an_object_is_read_back_if_its_etag_is_no_md5(
    proxy: FaultyProxy, address: str, content: Content
) -> None:
    """For example where the service encrypts with its own keys."""
    proxy.choose = lambda _method, _path: Fault.OTHER_ETAG
    assert not put(address, content)
    assert [request.method for request in proxy.requests] == ["PUT", "GET"]


def test_an_object_that_the_service_shortened_is_found(
    proxy: FaultyProxy, address: str, content: Content
) -> None:
    """Its ETag matches the stored bytes, not the bytes that were sent."""
    proxy.choose = lambda _method, _path: Fault.SHORTENED
    with pytest.raises(ObjectDiffers):
        put(address, content)


def test_a_missing_bucket_is_refused(address: str, content: Content) -> None:
    """By the error code of the answer."""
    with pytest.raises(
        BucketRefused, match=r"s3://no-such/x refused: status 404 Not Found \(NoSuch"
    ):
        put("s3://no-such/x", content)
    assert address


def test_a_folder_is_a_bucket(tmp_path: Path, content: Content) -> None:
    """Its objects have no checksum, so they are read back. A different file is not overwritten."""
    (tmp_path / "nas").mkdir()
    address = f"file://{tmp_path}/nas"
    assert not put(address, content)
    assert put(address, content)
    assert (tmp_path / "nas" / KEY).read_bytes() == bytes(content.data)
    with pytest.raises(ObjectDiffers):
        put(address, content_of(tmp_path, b"other"))


def test_a_missing_folder_is_not_made(tmp_path: Path, content: Content) -> None:
    """It may be a disk that is not mounted yet, and is mounted before the next attempt."""
    bucket = Bucket("--ship", f"file://{tmp_path}/nas")
    with pytest.raises(BucketRefused, match="there is no folder"):
        asyncio.run(bucket.put(KEY, content, look_first=True))
    (tmp_path / "nas").mkdir()
    assert not asyncio.run(bucket.put(KEY, content, look_first=True))


@pytest.mark.parametrize(
    "address",
    ["s3://bucket", "s3://bucket/a/b/", "gs://bucket/a", "file:///a/b", "file:///a%20b"],
)
def test_an_address_is_kept_as_it_was_written(address: str) -> None:
    """Except for a slash at its end."""
    assert Bucket("--ship", address).address == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    [
        *("", "bucket", "s3:bucket", "s3://", "s3:///x", "ftp://a/b", "https://a/b", "file://a/b"),
        *("file:///", "s3://a/b c", "s3://a/ü", "s3://a/../b", "az://container/x"),
        *("s3://id:secret@a/b", "s3://a/b?secret=c", "s3://a/b#c", "s3://a/" + "b" * 250),
    ],
)
def test_an_invalid_address_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence that contains no secret."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(UsageError, match=r"^--ship ") as refused:
        Bucket("--ship", address)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_reason_contains_no_secret() -> None:
    """No query of an address, which may be signed; of an answer only the error code."""
    azure = (
        "Generic MicrosoftAzure error: Error performing PUT https://a.example/c/x?sig=SECRET&se=2 in 3ms - "
        "Server returned non-2xx status code: 400 Bad Request: <Error><Code>AuthError</Code>"
        "<Message>SECRET</Message></Error>\n\nDebug source:\nSECRET"
    )
    assert reason(azure) == "status 400 Bad Request (AuthError)"
    refused = (
        "Generic S3 error: Error performing PUT http://id:SECRET@h/b in 3ms - HTTP error: error sending request"
        '\n\nDebug source:\n Os { code: 111, message: "Connection refused" } http://h/?sig=SECRET'
    )
    assert reason(refused) == "HTTP error: error sending request (Connection refused)"
    assert "SECRET" not in reason("Generic error: http://id:SECRET@host/?sig=SECRET failed")
