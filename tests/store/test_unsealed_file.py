"""A file that the disk refuses is written again, and a file with lost data is never sealed."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from booktape.errors import WriteFailed
from booktape.store.parquet_file import ParquetFile, table_file
from booktape.store.unsealed_file import FileSeal, UnsealedFile

PARTS = (b"first", b"second" * 400_000, b"third")


def written(path: Path) -> UnsealedFile:
    file = UnsealedFile(path)
    for part in PARTS:
        file.append(part)
        file.write()
    return file


def fails_once(
    monkeypatch: pytest.MonkeyPatch, name: str, number: int, first: Callable[..., object]
) -> None:
    """The next call of this function first does `first`, then fails; later calls work."""
    really, calls = getattr(os, name), iter([True])

    def call(*args: object) -> object:
        if next(calls, False):
            first(*args)
            raise OSError(number, os.strerror(number))
        return really(*args)

    monkeypatch.setattr(os, name, call)


def test_the_file_holds_what_was_appended_and_is_open_only_while_it_is_written(
    tmp_path: Path,
) -> None:
    """Its seal is its size and its SHA-256; no descriptor stays open."""
    before = len(list(Path("/dev/fd").iterdir()))
    file = written(tmp_path / "new" / "file")
    assert len(list(Path("/dev/fd").iterdir())) == before
    whole = b"".join(PARTS)
    assert file.seal() == FileSeal(len(whole), hashlib.sha256(whole).hexdigest())
    assert file.path.read_bytes() == whole
    assert file.seal() == FileSeal.of_file(file.path), "asking again is allowed"


def test_a_failed_close_counts_as_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network disk may report only then that there was no space, having kept nothing."""
    file = written(tmp_path / "file")
    file.append(b"last")

    def lose(descriptor: int) -> None:
        os.truncate(file.path, sum(map(len, PARTS)))
        os.closerange(descriptor, descriptor + 1)

    fails_once(monkeypatch, "close", errno.EDQUOT, lose)
    with pytest.raises(WriteFailed, match="the disk is full"):
        file.write()
    file.write()
    assert file.path.read_bytes() == b"".join((*PARTS, b"last"))


def test_after_a_failed_fsync_everything_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system counts failed pages as written: a second fsync alone proves nothing."""
    file = written(tmp_path / "file")
    fails_once(monkeypatch, "fsync", errno.ENOSPC, lambda _: None)
    with pytest.raises(WriteFailed):
        file.seal()
    rewritten: list[tuple[int, int]] = []
    really = os.pwrite

    def write(descriptor: int, data: bytes, at: int) -> int:
        rewritten.append((at, len(data)))
        return really(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", write)
    whole = b"".join(PARTS)
    assert file.seal() == FileSeal(len(whole), hashlib.sha256(whole).hexdigest())
    assert sum(count for _, count in rewritten) == len(whole)
    assert rewritten[0][0] == 0


@pytest.mark.parametrize("spoil", [b"First", b"firs"])
def test_a_file_with_lost_data_is_not_sealed(tmp_path: Path, spoil: bytes) -> None:
    """The disk accepted every write but holds something else: no final name, no manifest, one sentence."""
    file = written(tmp_path / "file")
    content = file.path.read_bytes()
    file.path.write_bytes(spoil + content[len(b"first") :])
    with pytest.raises(WriteFailed, match="does not hold what was written to it") as raised:
        file.seal()
    assert not raised.value.may_pass


def batch(count: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"n": pa.array(range(count), pa.int64())})


def test_each_batch_is_a_row_group_and_none_is_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed write the row group is still in memory, and the file continues with it."""
    file = ParquetFile(tmp_path / "file", batch(0).schema)
    file.append(batch(3))
    fails_once(monkeypatch, "pwrite", errno.ENOSPC, lambda *_: None)
    with pytest.raises(WriteFailed):
        file.write()
    file.append(batch(2))
    file.write()
    file.seal(5)
    metadata = pq.read_metadata(tmp_path / "file")
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [3, 2]


def test_a_file_with_too_few_rows_is_not_sealed(tmp_path: Path) -> None:
    """Its footer must have as many rows as the segment was given."""
    file = table_file(tmp_path / "file", batch(3).schema)
    file.append(batch(3))
    with pytest.raises(WriteFailed, match="it should hold 4 rows, but holds 3") as raised:
        file.seal(4)
    assert not raised.value.may_pass
