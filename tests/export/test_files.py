"""A file of an export is whole or absent, and never replaces another file."""

from __future__ import annotations

import errno
import gzip
import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from booktape.errors import UsageError, WriteFailed
from booktape.export.files import check_cell, file_name, gzip_file, new_file, stamp


@pytest.mark.parametrize("symbol", ["=1+1", "+1", "-1", "@SUM", "A,B", 'A"B', "A\nB", "A B"])
def test_a_symbol_that_would_break_a_cell_is_refused(symbol: str) -> None:
    """So is one that would be a formula: CSV has no way to say that it is neither."""
    with pytest.raises(UsageError, match="cannot be written to a CSV file"):
        check_cell(symbol)


def test_a_symbol_of_the_exchange_is_a_cell() -> None:
    """Whatever letters it has."""
    for symbol in ("BTCUSDT", "1000SATSUSDT", "币安人生USDT"):
        check_cell(symbol)


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    """Until then its name is free; the folder is made."""
    path = tmp_path / "a" / "b.csv"
    with new_file(path) as (file, _):
        file.write(b"x")
        assert not path.exists()
    assert path.read_text() == "x"
    assert list(path.parent.iterdir()) == [path]


def test_a_partial_file_is_removed(tmp_path: Path) -> None:
    """Whatever interrupted it."""

    def broken_off() -> None:
        with new_file(tmp_path / "b.csv") as (file, _):
            file.write(b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_replaced(tmp_path: Path) -> None:
    """The error names the file that is in the way."""
    path = tmp_path / "b.csv"
    path.write_text("old")
    with pytest.raises(UsageError, match=r"b\.csv exists already"), new_file(path):
        raise AssertionError
    assert path.read_text() == "old"


def write_while(path: Path, meanwhile: Callable[[], object]) -> None:
    """Something happens between the first check and the last moment, which may be hours apart."""
    with new_file(path) as (file, _):
        file.write(b"new")
        meanwhile()


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """A link counts as a file."""
    path, link = tmp_path / "file.csv", tmp_path / "link.csv"
    with pytest.raises(UsageError, match="exists already"):
        write_while(path, lambda: path.write_text("old"))
    with pytest.raises(UsageError, match="exists already"):
        write_while(link, lambda: link.symlink_to(tmp_path / "gone"))
    assert path.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [path, link]


def test_a_partial_file_has_its_own_name(tmp_path: Path) -> None:
    """A user's own `.partial`, or a link of that name, is neither followed nor removed."""
    path = tmp_path / "b.csv"
    own, link = tmp_path / "b.csv.partial", tmp_path / "c.csv.partial"
    own.write_text("a thesis")
    link.symlink_to(own)
    for target in (path, tmp_path / "c.csv"):
        with new_file(target) as (file, _):
            file.write(b"x")
        assert target.read_bytes() == b"x"
    assert own.read_text() == "a thesis"
    assert link.is_symlink()


def test_a_link_under_a_predicted_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the random part of the name is guessed, only a new file is written to."""
    thesis = tmp_path / "thesis"
    thesis.write_text("a thesis")
    monkeypatch.setattr(secrets, "token_hex", lambda _: "foreseen")
    (tmp_path / "booktape-foreseen.partial").symlink_to(thesis)
    with pytest.raises(WriteFailed, match="File exists"):
        write_while(tmp_path / "b.csv", lambda: None)
    assert thesis.read_text() == "a thesis"


def test_a_file_that_replaced_a_partial_one_stays(tmp_path: Path) -> None:
    """Only the file made at the beginning is removed at the end, not another one under its name."""

    def take_its_place() -> None:
        (partial,) = tmp_path.iterdir()
        partial.unlink()
        partial.write_text("a thesis")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_while(tmp_path / "b.csv", take_its_place)
    (partial,) = tmp_path.iterdir()
    assert partial.read_text() == "a thesis"


def test_no_file_is_lost_on_a_disk_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the system call's answer on FAT, a file system that the test itself cannot have."""

    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    path, other = tmp_path / "b.csv", tmp_path / "c.csv"
    write_while(path, lambda: None)
    assert path.read_bytes() == b"new"
    with pytest.raises(UsageError, match="exists already"):
        write_while(other, lambda: other.write_text("old"))
    assert other.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [path, other]


def _full() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("last", [_full, lambda: None])
def test_a_disk_that_is_full_at_the_last_moment_leaves_nothing(
    tmp_path: Path, last: Callable[[], None]
) -> None:
    """Bytes that a compressor writes only when it is closed count too."""
    path = tmp_path / "b.csv"

    def write() -> None:
        with new_file(path) as (file, stack):
            file.write(b"x")
            stack.callback(last)

    if last is not _full:
        write()
        assert path.exists()
        return
    with pytest.raises(WriteFailed, match=r"Cannot write .*b\.csv: the disk is full"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    """A file is where the folder should be."""
    (tmp_path / "out").write_text("")
    with pytest.raises(WriteFailed, match="Cannot write"), new_file(tmp_path / "out" / "b.csv"):
        raise AssertionError


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Neither the time nor the file's name is in it."""
    for name in ("a", "b"):
        with ExitStack() as stack:
            file = stack.enter_context((tmp_path / name).open("wb"))
            gzip_file(file, stack).write(b"hello\n")
    packed = (tmp_path / "a").read_bytes()
    assert packed == (tmp_path / "b").read_bytes()
    assert packed[4:8] == bytes(4)
    assert gzip.decompress(packed) == b"hello\n"


def test_names_sort_by_time_and_are_plain_ascii() -> None:
    """The epoch distinguishes two files that begin at the same time."""
    assert stamp(1_781_000_000_123_456, 3) == "20260609T101320.123456Z-3"
    assert file_name("币安USDT") == "%E5%B8%81%E5%AE%89USDT"
