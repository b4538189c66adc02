"""A TOML file is its tables, or a sentence: never a traceback, and never more memory than a megabyte needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from booktape.errors import UsageError
from booktape.store.toml_file import TOML_BYTES_MAX, read_toml


def test_a_file_is_read_as_its_tables(tmp_path: Path) -> None:
    """They are the same as with Python's own library."""
    path = tmp_path / "a.toml"
    path.write_text("[record]\nevery = 7\n")
    assert read_toml(path) == {"record": {"every": 7}}


@pytest.mark.parametrize(
    "content",
    [b"[record", b"\xff\xfe", b"a = " + b"9" * 5_000, b"a = " + b"[" * 10_000],
    ids=["cut", "no text", "a long number", "nested"],
)
def test_a_file_that_is_not_toml_is_reported_in_one_sentence(
    tmp_path: Path, content: bytes
) -> None:
    """It names the file."""
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.toml is not TOML"):
        read_toml(path)


def test_an_unreadable_file_is_reported_in_one_sentence(tmp_path: Path) -> None:
    """No file, a folder, a FIFO, an endless file."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("gone", "folder", "fifo"):
        with pytest.raises(UsageError, match=f"{name} cannot be read"):
            read_toml(tmp_path / name)
    path = tmp_path / "long.toml"
    path.touch()
    os.truncate(path, TOML_BYTES_MAX + 1)
    with pytest.raises(UsageError, match="more than 1 MiB"):
        read_toml(path)
