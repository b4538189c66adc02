"""A file of an export is whole or not there, and never takes another one's place."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from booktape.errors import UsageError, WriteFailed
from booktape.export.files import file_name, gzip_file, stamp, whole


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    """Until then its name is free; the folder is made."""
    path = tmp_path / "a" / "b.csv"
    with whole(path) as (partial, _):
        partial.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"
    assert list(path.parent.iterdir()) == [path]


def test_half_a_file_goes_away(tmp_path: Path) -> None:
    """Whatever broke it off."""

    def broken_off() -> None:
        with whole(tmp_path / "b.csv") as (partial, _):
            partial.write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_replaced(tmp_path: Path) -> None:
    """The user is told which one is in the way."""
    path = tmp_path / "b.csv"
    path.write_text("old")
    with pytest.raises(UsageError, match=r"b\.csv is there already"), whole(path):
        raise AssertionError
    assert path.read_text() == "old"


def _full() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("last", [_full, lambda: None])
def test_a_disk_that_is_full_at_the_last_moment_leaves_nothing(
    tmp_path: Path, last: Callable[[], None]
) -> None:
    """What a compressor writes only when it is closed counts, too."""
    path = tmp_path / "b.csv"

    def write() -> None:
        with whole(path) as (partial, stack):
            partial.write_text("x")
            stack.callback(last)

    if last is not _full:
        write()
        assert path.exists()
        return
    with pytest.raises(WriteFailed, match=r"Cannot write .*b\.csv: the disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "out").write_text("")
    with pytest.raises(WriteFailed, match="Cannot write"), whole(tmp_path / "out" / "b.csv"):
        raise AssertionError


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Neither the time nor the file's name stands in it."""
    for name in ("a", "b"):
        with ExitStack() as stack:
            gzip_file(tmp_path / name, stack).write(b"hello\n")
    packed = (tmp_path / "a").read_bytes()
    assert packed == (tmp_path / "b").read_bytes()
    assert packed[4:8] == bytes(4)
    assert gzip.decompress(packed) == b"hello\n"


def test_names_sort_by_time_and_hold_plain_ascii() -> None:
    """The epoch tells two stretches apart that begin at once."""
    assert stamp(1_781_000_000_123_456, 3) == "20260609T101320.123456Z-3"
    assert file_name("币安USDT") == "%E5%B8%81%E5%AE%89USDT"
