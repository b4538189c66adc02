"""Objects are read like files, and a failure on the way is never taken for damage."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FileSystem, LocalFileSystem, SubTreeFileSystem

from booktape.errors import BucketError, BucketRefused, BucketUnavailable, UsageError
from booktape.store import bucket_reading
from booktape.store.bucket_reading import (
    ObjectFile,
    bucket_errors,
    bucket_name,
    fetch,
    map_requests,
    open_bucket,
)

DATA = bytes(range(256)) * 40


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> FileSystem:
    """A file system of S3 that gets no requests."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    found, path = open_bucket("s3://bucket/some/prefix")
    assert path == "bucket/some/prefix"
    return found


@pytest.mark.parametrize(
    ("text", "kind", "why"),
    [
        (
            "When reading: AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 7, Couldn't connect to server",
            BucketUnavailable,
            "Couldn't connect to server",
        ),
        ("AWS Error SLOW_DOWN during GetObject operation: x", BucketUnavailable, "SLOW_DOWN"),
        (
            "AWS Error UNKNOWN (HTTP status 503) during HeadObject operation: x",
            BucketUnavailable,
            "status 503",
        ),
        (
            "AWS Error UNKNOWN (HTTP status 429) during HeadObject operation: x",
            BucketUnavailable,
            "status 429",
        ),
        (
            "AWS Error UNKNOWN (HTTP status 400) during ListObjectsV2 operation: ExpiredToken",
            BucketRefused,
            "status 400",
        ),
        ("AWS Error ACCESS_DENIED during GetObject operation: key SECRET", BucketRefused, "ACCESS"),
        ("AWS Error NO_SUCH_BUCKET during ListObjectsV2: x", BucketRefused, "NO_SUCH_BUCKET"),
        ("google::cloud::Status(UNAVAILABLE: x)", BucketUnavailable, "UNAVAILABLE"),
        ("google::cloud::Status(PERMISSION_DENIED: x)", BucketRefused, "PERMISSION_DENIED"),
        ("something else with a SECRET", BucketUnavailable, "no answer that could be read"),
    ],
)
def test_an_error_of_a_service_is_typed(
    s3: FileSystem, text: str, kind: type[BucketError], why: str
) -> None:
    """Its code and status decide; nothing else of its text is shown."""
    with pytest.raises(kind, match=why) as error, bucket_errors(s3, "bucket/x"):
        raise OSError(text)
    assert "s3://bucket/x" in str(error.value)
    assert "SECRET" not in str(error.value)


def test_a_missing_object_is_a_missing_file(s3: FileSystem) -> None:
    """However the service words it."""
    for raised in (
        FileNotFoundError("gone"),
        OSError("AWS Error NO_SUCH_KEY during GetObject operation: x"),
    ):
        with pytest.raises(FileNotFoundError), bucket_errors(s3, "bucket/x"):
            raise raised


def test_errors_of_other_file_systems_stay_as_they_are() -> None:
    """Errors of a disk are interpreted elsewhere."""
    with (
        pytest.raises(OSError, match=r"^bad sector$") as error,
        bucket_errors(LocalFileSystem(), "/x"),
    ):
        raise OSError("bad sector")
    assert type(error.value) is OSError


def test_a_name_is_shown_as_an_address(s3: FileSystem) -> None:
    """Even below a part of a file system; a folder has no address."""
    assert bucket_name(s3, "bucket/x") == "s3://bucket/x"
    assert bucket_name(SubTreeFileSystem("bucket/x", s3), "y") == "s3://bucket/x/y"
    assert bucket_name(LocalFileSystem(), "/x") is None


def test_credentials_are_not_sent_to_another_process(s3: FileSystem) -> None:
    """The other process takes its own from its environment."""
    assert b"SECRET" not in pickle.dumps(s3)


def test_an_address_with_a_password_is_not_shown() -> None:
    """This matters when it cannot be opened."""
    with pytest.raises(UsageError) as error:
        open_bucket("gopher://id:SECRET@bucket/x?key=SECRET")
    assert "gopher://bucket/x cannot be opened" in str(error.value)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize("in_order", [False, True])
def test_an_object_reads_like_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_order: bool
) -> None:
    """At any position, in pieces of any size."""
    monkeypatch.setattr(bucket_reading, "_FIRST_BYTES", 7)
    monkeypatch.setattr(bucket_reading, "CHUNK_BYTES", 100)
    path = tmp_path / "file"
    path.write_bytes(DATA)
    chance = random.Random(0)
    with (
        ObjectFile(LocalFileSystem(), str(path), len(DATA), in_order=in_order) as ours,
        path.open("rb") as theirs,
    ):
        for _ in range(300):
            if chance.random() < 0.3:
                at = chance.randrange(len(DATA) + 20)
                assert ours.seek(at) == theirs.seek(at)
            size = chance.choice((-1, 0, 1, 5, 50, 500))
            assert ours.read(size) == theirs.read(size)
            assert ours.tell() == theirs.tell()


def test_pyarrow_reads_an_object_as_a_python_file(tmp_path: Path) -> None:
    """An exception raised in between passes through unchanged."""
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": list(range(1_000))}), path)
    place = LocalFileSystem(), str(path), path.stat().st_size
    opened = ObjectFile(*place)
    assert pq.read_table(pa.PythonFile(opened, mode="r")).num_rows == 1_000

    class Away(ObjectFile):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise BucketUnavailable("s3://bucket/x", "no answer")

    with pytest.raises(BucketUnavailable):
        pq.read_table(pa.PythonFile(Away(*place), mode="r"))


def test_an_object_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """A short answer does not mean the end of a file."""
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with ObjectFile(LocalFileSystem(), str(path), len(DATA)) as opened:
        path.write_bytes(DATA[:100])
        with pytest.raises(BucketUnavailable, match="an answer was cut"):
            opened.read(len(DATA))


def test_a_fetched_file_equals_the_object(tmp_path: Path) -> None:
    """Missing folders are created."""
    source = tmp_path / "source"
    source.write_bytes(DATA)
    fetch(LocalFileSystem(), str(source), len(DATA), tmp_path / "a" / "b" / "copy")
    assert (tmp_path / "a" / "b" / "copy").read_bytes() == DATA


def test_many_requests_raise_the_first_error() -> None:
    """Without an error the results come in order."""
    assert map_requests(abs, range(-40, 0)) == list(range(40, 0, -1))
    with pytest.raises(ZeroDivisionError):
        map_requests(lambda number: 1 // number, range(40))
